"""Training noise from the baseline alone, against SciPy and limma."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import special

from pytest_prunecal.judge.noise import AS_EXPECTED, LEAST_FREEDOM, Accepted, Level, digamma, levels, spread
from pytest_prunecal.study.metric import METRICS, Metric
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

NOISE = Noise(4, 0.4, {kind: {"ece": Share(0.6, 0.5), "default": Share(1.0, value=0.02)} for kind in KINDS})
ECE = METRICS["ece"]


@hypothesis.given(st.floats(1e-3, 1e6))
def test_digamma_is_scipys(x):
    assert digamma(x) == pytest.approx(float(special.digamma(x)), rel=1e-8, abs=1e-8)


def test_a_cells_noise_by_hand():
    one = Accepted(0.08, Uncertainty(0.01), dense=0.02)
    slope = 1 / 0.1
    images, damage = (0.4 + 0.36) * (0.01 * slope) ** 2, (0.5 * 0.06 * slope) ** 2
    found = spread("finetune", "ece", ECE, one, NOISE)
    assert (found.variance, found.freedom, found.seeds) == (pytest.approx(images + damage), LEAST_FREEDOM, 1)
    assert found.by_images == pytest.approx(images / (images + damage))
    several = Accepted(0.08, Uncertainty(0.01, 0.02, 12, 0.07), dense=0.02)
    found = spread("finetune", "ece", ECE, several, NOISE, Level(2.0, 0.5))
    prior = 2 * images + 0.5 * damage
    assert found.variance == pytest.approx((4 * prior + 11 * (0.02 * slope) ** 2) / 15)
    assert (found.freedom, found.seeds) == (15, 12)
    for seeds, freedom in ((2, 8), (5, 8), (6, 9)):
        one = Accepted(0.08, Uncertainty(0.01, 0.02, seeds))
        assert spread("finetune", "ece", ECE, one, NOISE).freedom == freedom


def test_seeds_of_one_base_network_tell_nothing_of_others():
    shared = Accepted(0.08, Uncertainty(0.01, 0.0, 12), share_base=True)
    for kind in ("retrain", "change"):
        assert spread(kind, "ece", ECE, shared, NOISE) == spread(
            kind, "ece", ECE, Accepted(0.08, Uncertainty(0.01)), NOISE
        )
    assert spread("finetune", "ece", ECE, shared, NOISE).seeds == 12


def test_a_count_has_the_noise_of_its_value_alone():
    found = spread("finetune", "macs", METRICS["macs"], Accepted(1000, UNKNOWN), NOISE)
    assert (found.variance, found.by_images) == (pytest.approx(20.0**2), 0)


def cells_of(draws, se=0.01, name="mine"):
    return [{name: Accepted(0.5, Uncertainty(se, float(sd), seeds))} for sd, seeds in draws]


def by_limma(sd, seeds, expected, freedom):
    """fitFDist of limma 3.x with a given prior freedom, of variances in units of what is expected of each."""
    z = np.log(sd**2 / expected)
    half = (seeds - 1) / 2
    e = z - special.digamma(half) + np.log(half)
    return math.exp(
        e.sum() / (len(e) + 1)
        + (special.digamma(freedom / 2) - math.log(freedom / 2)) * len(e) / (len(e) + 1)
    )


@pytest.mark.parametrize("seeds", [2, 3, 12])
def test_the_level_is_limmas_but_for_one_cell_that_agrees(seeds):
    # Smyth's s0^2: exp(mean(e) + digamma(d0/2) - log(d0/2)).
    random = np.random.default_rng(seeds)
    sd = random.gamma(2, 0.02, 21)
    found = levels("finetune", cells_of([(one, seeds) for one in sd]), NOISE, METRICS)["mine"]
    expected = (0.4 + 1.0) * 0.01**2
    value = Accepted(0.5, Uncertainty(0.01))
    assert spread("finetune", "mine", None, value, NOISE).variance == pytest.approx(
        expected + (0.02 * 0.5) ** 2
    )
    # Every cell has the same share of damage: what both parts come to is limma's level.
    share = (0.02 * 0.5) ** 2 / (expected + (0.02 * 0.5) ** 2)
    log = (1 - share) * math.log(found.images) + share * math.log(found.damage)
    limma = by_limma(sd, seeds, expected + (0.02 * 0.5) ** 2, 4)
    weight = (1 - share) ** 2 + share**2
    full = math.log(limma) * 22 / 21  # not drawn towards 1
    assert log == pytest.approx(full * 21 * weight / (1 + 21 * weight), rel=1e-9)


def test_the_parts_are_told_apart_by_least_squares():
    random = np.random.default_rng(3)
    dense, se, rows = 0.02, 0.01, []
    for _ in range(15):
        mean, sd = float(random.uniform(0.02, 0.3)), float(random.gamma(2, 0.01))
        rows.append({"ece": Accepted(mean, Uncertainty(se, sd, 6), dense)})
    found = levels("finetune", rows, NOISE, METRICS)["ece"]
    design, target = [], []
    for row in rows:
        one = row["ece"]
        images, damage = 0.76 * se**2, (0.5 * (one.mean - dense)) ** 2
        share = damage / (images + damage)
        excess = math.log(one.uncertainty.sd**2 / (images + damage)) - special.digamma(2.5) + math.log(2.5)
        design.append([1 - share, share])
        target.append(excess + special.digamma(2) - math.log(2))
    design += [[1, 0], [0, 1]]  # one cell each that agrees with the prior
    target += [0, 0]
    expected, *_ = np.linalg.lstsq(np.array(design), np.array(target), rcond=None)
    assert [math.log(found.images), math.log(found.damage)] == pytest.approx(list(expected))


def test_the_truth_is_found_in_many_cells():
    random = np.random.default_rng(1)
    noise = Noise(4, 0.4, {kind: {"default": Share(1.0)} for kind in KINDS})
    scale = 2.5
    true = scale * 1.4 * 0.01**2 * 4 / random.chisquare(4, 4000)
    sd = np.sqrt(true * random.chisquare(4, 4000) / 4)
    found = levels("finetune", cells_of([(one, 5) for one in sd]), noise, METRICS)["mine"]
    assert found.images == pytest.approx(scale, rel=0.1)
    assert found.damage == 1


def test_what_tells_nothing_is_left_out():
    assert levels("finetune", [], NOISE, METRICS) == {}
    single, equal, rounding = (
        cells_of([(0.03, 1)]),
        cells_of([(0.0, 12)]),
        cells_of([(4e-5, 12)]),  # less than the four decimals of a baseline can show
    )
    assert levels("finetune", [*single, *equal, *rounding], NOISE, METRICS) == {}
    shared = [{"mine": Accepted(0.5, Uncertainty(0.01, 0.03, 12), share_base=True)}]
    assert levels("retrain", shared, NOISE, METRICS) == {}
    assert levels("finetune", shared, NOISE, METRICS)["mine"] != AS_EXPECTED


def test_one_cell_is_believed_by_half():
    noise = Noise(4, 0.4, {kind: {"default": Share(1.0)} for kind in KINDS})
    (found,) = levels("finetune", cells_of([(0.05, 12)]), noise, METRICS).values()
    excess = math.log(0.05**2 / (1.4 * 0.01**2)) - special.digamma(5.5) + math.log(5.5)
    assert math.log(found.images) == pytest.approx((excess + special.digamma(2) - math.log(2)) / 2)


any_sure = st.builds(
    Uncertainty, st.none() | st.floats(0, 1.7e308), st.floats(0, 1.7e308), st.integers(1, 1000)
)
any_number = st.floats(-1.7e308, 1.7e308)


@hypothesis.given(
    st.lists(st.tuples(any_number, any_sure, st.none() | any_number), max_size=4), st.sampled_from(KINDS)
)
@hypothesis.example([(0.5, Uncertainty(1e300, 1e300, 5), 1e300)], "finetune")
def test_no_number_is_too_large(rows, kind):
    metrics = METRICS | {"mine": Metric("mine", higher_is_better=True)}
    for name in ("ece", "accuracy", "mine"):
        cells = [{name: Accepted(mean, sure, dense)} for mean, sure, dense in rows]
        fitted = levels(kind, cells, NOISE, metrics)
        for cell in cells:
            found = spread(kind, name, metrics[name], cell[name], NOISE, fitted.get(name, AS_EXPECTED))
            assert 0 <= found.variance < math.inf
            assert 0 <= found.by_images <= 1
