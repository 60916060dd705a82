"""The training of the learned part of the errors: truth, samples from seeds, calibration, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest

from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.features import INDEX_OF, F
from services.errors.core.learned import Head
from training.errors.calibrate import cells, heads, threshold_of
from training.errors.dataset import Samples, codes, exercises, kin, shows, simulate, truth
from training.errors.metrics import Counts, calibration_error, two_class_macro
from training.errors.network import Settings, Trainer

CATALOGUE = load_catalogue(weights=None)
ORDER = codes(CATALOGUE)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return simulate(5, 12, catalogue=CATALOGUE)


def test_samples_follow_from_the_seed(samples: Samples) -> None:
    again, other = simulate(5, 2, catalogue=CATALOGUE), simulate(6, 2, catalogue=CATALOGUE)
    np.testing.assert_array_equal(again.features, samples.features[: len(again)])
    assert not np.array_equal(other.features[:1], samples.features[:1], equal_nan=True)
    assert samples.features.shape == (len(samples), F)
    assert samples.degree.shape == (len(samples), len(ORDER))
    assert np.nanmax(samples.degree) <= 1.0


def test_truth_is_unknown_where_another_mistake_does_the_same() -> None:
    errors = CATALOGUE["bicep_curl"].errors
    degree = truth("bicep_curl", errors, {"RANGE_LOST": 0.8}, ORDER)
    assert degree[ORDER.index("RANGE_LOST")] == pytest.approx(0.8)
    assert np.isnan(degree[ORDER.index("INCOMPLETE_CONTRACTION")])
    assert degree[ORDER.index("TORSO_SWING")] == 0.0
    assert np.isnan(degree[ORDER.index("KNEE_DIP")])
    assert "ECCENTRIC_TOO_FAST" in kin("bicep_curl", "UNCONTROLLED_LOWERING")
    assert not shows("shoulder_press", "KNEE_DIP", "seat")
    assert shows("shoulder_press", "KNEE_DIP", "none")
    assert shows("shoulder_press", "LEAN_BACK", "seat")


def test_the_threshold_holds_the_precision() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, 4000)
    wrong = rng.random(4000) < p
    t = threshold_of(p, wrong)
    assert wrong[p >= t].mean() >= 0.88
    assert 0.7 < t < 0.9
    assert calibration_error(p, wrong) < 0.04
    assert calibration_error(p, rng.random(4000) < 0.5) > 0.2


def test_counts() -> None:
    named, wrong = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 1], bool)
    one = Counts.of(named, wrong)
    assert (one.hits, one.blamed, one.missed, one.passed) == (2, 1, 1, 1)
    assert one.precision == one.recall == pytest.approx(2 / 3)
    assert two_class_macro(one) == pytest.approx((2 / 3 + 0.5) / 2)
    assert (one + one).f1 == one.f1


def made_easy(samples: Samples, times: int = 12) -> Samples:
    """One exercise whose ELBOW_DRIFT shows in one number, plainly."""
    many = Samples.join([samples] * times)
    rng = np.random.default_rng(3)
    wrong = rng.random(len(many)) < 0.5
    features = np.zeros_like(many.features)
    features[:, 0] = np.where(wrong, 60.0, 10.0) + rng.normal(0, 3, len(many))
    features[:, INDEX_OF["view.confidence"]] = 1.0
    column = ORDER.index("ELBOW_DRIFT")
    degree = np.full_like(many.degree, np.nan)
    degree[:, column] = np.where(wrong, 0.8, 0.0)
    value = np.full_like(many.value, np.nan)
    value[:, column] = 34.0 + rng.normal(0, 1, len(many))
    seen = np.zeros_like(many.seen)
    seen[:, column] = True
    exercise = np.full_like(many.exercise, exercises().index("bicep_curl"))
    return replace(
        many, features=features, degree=degree, value=value, gain=np.ones_like(value), seen=seen, exercise=exercise,
        view=np.full_like(many.view, 2),
    )  # fmt: skip


def test_it_learns_and_calibrates_an_easy_error(samples: Samples) -> None:
    """The network finds the number that tells; its head gives it the weight that the useless rule does not get."""
    easy = made_easy(samples)
    settings = Settings(hidden=(16,), epochs=8, batch=32, rate=1e-2, dropout=0.0)
    trainer = Trainer(easy, 0, settings)
    losses: list[float] = []
    trainer.fit(settings.epochs, settings.rate, lambda _, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]
    learned = trainer.learned(ORDER)
    found = heads(learned, easy, None, CATALOGUE)
    head = found["bicep_curl", "ELBOW_DRIFT"]
    assert isinstance(head, Head)
    cell = cells(easy, learned.network(easy.features.astype(np.float64), easy.exercise), CATALOGUE)
    one = cell["bicep_curl", "ELBOW_DRIFT"]
    assert Counts.of(one.named(head), one.wrong).f1 > 0.95
    assert calibration_error(one.probability(head), one.wrong) < 0.1
