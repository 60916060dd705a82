"""The causal recurrent network that reads a body's motion: a gated recurrent unit of two layers and linear heads.

Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (the GRU).
"""

import torch
from torch import Tensor, nn

from services.segment.core.features import F
from services.segment.core.network import OUTPUTS


class SegmentNetwork(nn.Module):
    """features (B, T, F) → raw outputs (B, T, OUTPUTS), log period of the repetition (B, T).

    Inputs are standardised by buffers that are set once from training data.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, hidden: int = 128, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(F))
        self.register_buffer("deviation", torch.ones(F))
        self.gru = nn.GRU(F, hidden, layers, batch_first=True, dropout=dropout)
        self.head = nn.Linear(hidden, OUTPUTS)
        self.period = nn.Linear(hidden, 1)

    def set_scaling(self, features: Tensor) -> None:
        """Standardisation from a sample (N, F); rare features keep a floor of 0.1."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp(min=0.1))

    def forward(self, features: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        hidden, _ = self.gru((features - self.mean) / self.deviation, state)
        return self.head(hidden), self.period(hidden)[..., 0]

    @torch.no_grad()
    def step(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One tick: features (N, F), state (N, S) → outputs (N, OUTPUTS), next state (N, S)."""
        n, layers, hidden = len(features), self.gru.num_layers, self.gru.hidden_size
        inner = state.view(n, layers, hidden).transpose(0, 1).contiguous()
        out, following = self.gru(((features - self.mean) / self.deviation)[:, None], inner)
        return self.head(out[:, 0]), following.transpose(0, 1).reshape(n, layers * hidden)
