"""One cell over several seeds, and two sides compared image by image."""

import math
import statistics
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab import over_seeds, paired
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.encoded import decode, encode
from pytest_prunecal.lab.over_seeds import BaseResult, Trial
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, Metric
from pytest_prunecal.study.uncertainty import Uncertainty

torch.set_num_threads(1)
IMAGES = 40
COLUMNS = ("accuracy", "ece", "nll", "brier", "mpc", "corrupted_ece")
PAIRED = (*COLUMNS, "rpc")


def combine(trials):
    return over_seeds.combine(trials, METRICS)


def compare(measured, accepted, *, tuned, metrics=METRICS):
    return paired.compare(measured, accepted, metrics, tuned=tuned)


def metrics_of(columns):
    means = {name: float(column.double().mean()) for name, column in columns.items()}
    return means | {"rpc": means["mpc"] / means["accuracy"]}


def random_columns(images, draw):
    return dict(zip(COLUMNS, torch.rand(len(COLUMNS), images, generator=draw), strict=True))


def trial(seed, base="cafe", base_seed=None, images=IMAGES, **extra):
    """A made-up cell: what each image adds is a random number."""
    draw = torch.Generator().manual_seed(seed)
    columns, base_columns = (random_columns(images, draw) for _ in range(2))
    if base_seed is not None:
        base_columns = random_columns(images, torch.Generator().manual_seed(base_seed))
    replicates = {name: torch.randn(500, generator=draw).double() * 0.01 for name in PAIRED}
    measurement = Measurement(
        metrics_of(columns) | {"parameters": 100 + seed, "sparsity": 0.5} | extra,
        {"fog": {"1": {"accuracy": 0.1 * seed, "ece": 0.5}}},
        {"seconds": 1.5, "seed": seed, "torch": "2"},
        ("floored", f"seed {seed}"),
    )
    return Trial(
        measurement, Sampled(columns, replicates), BaseResult(base, metrics_of(base_columns), base_columns)
    )


def test_one_trial_stays_as_it_is():
    one = trial(3)
    found = combine([one])
    assert found.metrics == one.measurement.metrics
    assert found.corrupted == one.measurement.corrupted
    assert found.provenance == one.measurement.provenance | {"seeds": 1}
    assert set(found.uncertainty) == set(PAIRED)
    for name, sure in found.uncertainty.items():
        assert sure == Uncertainty(float(one.sampled.replicates[name].std()))
    assert found.by_image.metrics == found.by_image.first == one.measurement.metrics
    assert found.by_image.base == "cafe"


def test_several_trials_by_hand():
    trials = [trial(seed, mine=0.25 * seed) for seed in (1, 2, 4)]
    found = combine(trials)
    for name in (*PAIRED, "mine"):
        values = [one.measurement.metrics[name] for one in trials]
        assert found.metrics[name] == pytest.approx(statistics.fmean(values))
        assert found.uncertainty[name].sd == pytest.approx(np.std(values, ddof=1))
        assert found.uncertainty[name].seeds == 3
    together = torch.stack([one.sampled.replicates["ece"] for one in trials]).mean(0)
    assert found.uncertainty["ece"].se == pytest.approx(float(together.std()))
    assert found.uncertainty["mine"].se is None
    # Counts stay counts; what never varies carries no uncertainty.
    assert (found.metrics["parameters"], type(found.metrics["parameters"])) == (102, int)
    assert found.uncertainty["parameters"] == Uncertainty(None, pytest.approx(statistics.stdev([1, 2, 4])), 3)
    assert "sparsity" not in found.uncertainty
    assert found.corrupted["fog"]["1"] == pytest.approx({"accuracy": 0.7 / 3, "ece": 0.5})
    assert found.provenance == {"seconds": 4.5, "seed": 1, "torch": "2", "seeds": 3}
    assert found.warnings == ("floored", "seed 1", "seed 2", "seed 4")
    assert found.by_image.first == trials[0].measurement.metrics
    assert found.by_image.metrics == pytest.approx(found.metrics)
    means = torch.stack([one.sampled.columns["nll"] for one in trials]).mean(0)
    read = decode(found.by_image.cell)
    assert float(read["nll"].mean()) == pytest.approx(float(means.mean()), rel=0.005)


def test_the_base_of_several_seeds_is_known_by_all_of_them():
    one, other = combine([trial(1)]), combine([trial(1), trial(2, base="beef")])
    assert combine([trial(1), trial(2)]).by_image.base == one.by_image.base == "cafe"
    assert other.by_image.base != "cafe"
    assert combine([trial(1), trial(2, base="beef")]).by_image.base == other.by_image.base
    assert combine([trial(1, base="beef"), trial(2)]).by_image.base != other.by_image.base


def test_the_same_network_differs_in_nothing():
    side = combine([trial(1)]).by_image
    found = compare(side, side, tuned=True)
    assert (found.same_base, found.tuned, found.unpaired) == (True, True, "")
    assert set(found.paired) == set(found.changes) == set(found.change_errors) == set(PAIRED)
    assert (
        set(found.paired.values())
        == set(found.changes.values())
        == set(found.change_errors.values())
        == {0.0}
    )


def test_another_network_from_the_same_base():
    measured, accepted = (combine([trial(seed, base_seed=9)]).by_image for seed in (1, 2))
    found = compare(measured, accepted, tuned=True)
    assert found.same_base
    # With the same base on both sides the change from it is the change.
    assert found.changes == pytest.approx(
        {name: measured.metrics[name] - accepted.metrics[name] for name in PAIRED}
    )
    assert found.change_errors == pytest.approx(found.paired)
    differences = trial(1).sampled.columns["nll"] - trial(2).sampled.columns["nll"]
    assert found.paired["nll"] == pytest.approx(float(differences.std()) / math.sqrt(IMAGES), rel=0.2)


def test_another_base():
    measured, accepted = (combine([trial(seed, base=f"base {seed}")]).by_image for seed in (1, 2))
    found = compare(measured, accepted, tuned=False)
    assert (found.same_base, found.tuned) == (False, False)
    assert found.changes["ece"] == pytest.approx(
        (measured.metrics["ece"] - measured.base_metrics["ece"])
        - (accepted.metrics["ece"] - accepted.base_metrics["ece"])
    )
    assert found.change_errors["ece"] > 0


def test_a_base_and_its_cell_that_move_together_are_compared_sharply():
    # Another base, to whose every image the cell adds the same: the change from the base has no error.
    sides = []
    for seed in (1, 2):
        one = trial(seed)
        columns = {name: column + 0.25 for name, column in one.base.columns.items()}
        measurement = replace(one.measurement, metrics=metrics_of(columns))
        sides.append(combine([Trial(measurement, replace(one.sampled, columns=columns), one.base)]).by_image)
    found = compare(*sides, tuned=True)
    assert found.changes["ece"] == pytest.approx(0, abs=1e-6)
    assert found.change_errors["ece"] < 0.05 * found.paired["ece"]


def test_several_seeds_say_how_the_distance_from_the_base_varies():
    trials = [trial(seed, base=f"base {seed}") for seed in (1, 2, 3)]
    several, one = combine(trials).by_image, combine([trial(9)]).by_image
    distances = [each.measurement.metrics["nll"] - each.base.metrics["nll"] for each in trials]
    assert (several.seeds, one.seeds, one.change_sd) == (3, 1, {})
    assert several.change_sd["nll"] == pytest.approx(statistics.stdev(distances))
    spread = compare(one, several, tuned=True).change_spread
    assert spread["nll"] == [(2, several.change_sd["nll"])]
    assert len(compare(several, several, tuned=True).change_spread["rpc"]) == 2


def test_a_network_that_is_never_right_is_compared_all_the_same():
    one = trial(1)
    columns = one.sampled.columns | {"accuracy": torch.zeros(IMAGES)}
    metrics = one.measurement.metrics | {"accuracy": 0.0, "rpc": 0.0}
    wrong = combine(
        [Trial(replace(one.measurement, metrics=metrics), replace(one.sampled, columns=columns), one.base)]
    )
    for sides in ((wrong.by_image, combine([one]).by_image), (combine([one]).by_image, wrong.by_image)):
        found = compare(*sides, tuned=True)
        assert math.isfinite(found.changes["accuracy"])
        assert all(math.isfinite(error) for error in found.paired.values())


def test_other_numbers_of_images_are_refused():
    with pytest.raises(PrunecalError, match=r"^the baseline's results by image are about another number of"):
        compare(combine([trial(1)]).by_image, combine([trial(1, images=41)]).by_image, tuned=True)


def test_a_side_that_lacks_a_column_is_compared_in_the_others():
    measured, accepted = (combine([trial(seed)]).by_image for seed in (1, 2))
    own = random_columns(IMAGES, torch.Generator().manual_seed(3))["ece"]
    newer = replace(
        measured,
        metrics=measured.metrics | {"mine": 0.5},
        base_metrics=measured.base_metrics | {"mine": 0.5},
        cell=encode(decode(measured.cell) | {"mine": own}),
        base_cell=encode(decode(measured.base_cell) | {"mine": own}),
    )
    metrics = METRICS | {"mine": Metric("mine", higher_is_better=True, paired=True)}
    assert compare(newer, accepted, tuned=True, metrics=metrics) == compare(measured, accepted, tuned=True)
    both = compare(newer, newer, tuned=True, metrics=metrics)
    assert set(both.paired) == {*PAIRED, "mine"}
    # A metric that nobody knows any more is left alone.
    assert compare(newer, newer, tuned=True) == compare(measured, measured, tuned=True)


@hypothesis.given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_what_an_image_adds_is_kept_to_a_percent(values):
    columns = {"nll": torch.tensor(values), "ece": torch.tensor(values) / 2}
    read = decode(encode(columns))
    assert list(read) == ["nll", "ece"]
    for name, found in read.items():
        # Rounded twice: to float16, then to six bits of its mantissa.
        assert found.tolist() == pytest.approx(columns[name].tolist(), rel=2**-11 + 2**-7, abs=1e-6)


def test_what_is_too_large_stays_finite():
    columns = {"nll": torch.tensor([1e9, -1e9, 65504.0, 7e4])}
    assert decode(encode(columns))["nll"].isfinite().all()
