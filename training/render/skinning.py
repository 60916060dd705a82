"""Carries vertices by their bones, on the CPU: each pose is drawn in three passes that would all do it again."""

import numpy as np
from numpy.typing import NDArray

from training.render.mesh import Mesh

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Skin:
    """A mesh with its vertices sorted by bone.

    ``order`` (V,): the vertex of the mesh at each place; ``triangles`` (M, 3) index the sorted vertices;
    ``places`` (V, 6): positions and normals in their bones' spaces.
    """

    def __init__(self, mesh: Mesh) -> None:
        skin = mesh.vertices["skin"]
        first = skin[:, 0].astype(np.int64)
        self.order = np.argsort(first, kind="stable")
        rank = np.empty(len(first), np.int64)
        rank[self.order] = np.arange(len(first))
        self.triangles = rank[mesh.triangles].astype(np.int32)
        sorted_vertices = mesh.vertices[self.order]
        self.places: F32 = np.concatenate([sorted_vertices["position"], sorted_vertices["normal"]], 1)
        self._first_moving = int(np.searchsorted(first[self.order], 1))
        self._blocks = self._split(first[self.order], np.arange(len(first)))
        weight = sorted_vertices["skin"][:, 2]
        shared = np.flatnonzero(weight > 0)
        second = sorted_vertices["skin"][shared, 1].astype(np.int64)
        shared = shared[np.argsort(second, kind="stable")]
        self._shared = self._split(sorted_vertices["skin"][shared, 1].astype(np.int64), shared)
        self._weight: F32 = weight[:, None].astype(np.float32)

    @staticmethod
    def _split(bones: NDArray[np.int64], places: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """(bone, its vertices) for bones in rising order, bone 0 left out."""
        starts = np.flatnonzero(np.diff(bones, prepend=-1))
        return [
            (int(bones[a]), places[a:b]) for a, b in zip(starts, [*starts[1:], len(bones)], strict=True) if bones[a] > 0
        ]

    def posed(self, bones: F64) -> F32:
        """(V, 6) float32 positions and normals in the world, for bones (B, 4, 4)."""
        matrices = bones.astype(np.float32)
        out = self.places.copy()
        for bone, mine in self._blocks:
            span = slice(int(mine[0]), int(mine[-1]) + 1)
            out[span] = _carried(self.places[span], matrices[bone])
        for bone, mine in self._shared:
            w = self._weight[mine]
            out[mine] = (1 - w) * out[mine] + w * _carried(self.places[mine], matrices[bone])
        moving = out[self._first_moving :, 3:]
        moving /= np.maximum(np.sqrt(np.einsum("ij,ij->i", moving, moving)), 1e-9)[:, None]
        return out


def _carried(places: F32, matrix: F32) -> F32:
    turn = matrix[:3, :3].T
    return np.concatenate([places[:, :3] @ turn + matrix[:3, 3], places[:, 3:] @ turn], axis=1)
