"""One cell over several seeds."""

import json
import math
import statistics
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.lab import over_seeds
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.encoded import encode
from pytest_prunecal.lab.over_seeds import BaseResult, Trial
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.trace import Trace
from pytest_prunecal.study.uncertainty import Uncertainty

torch.set_num_threads(1)
IMAGES = 40
COLUMNS = ("accuracy", "ece", "nll", "brier", "mpc", "corrupted_ece")
PAIRED = (*COLUMNS, "rpc")


def combine(trials):
    return over_seeds.combine(trials, METRICS)


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
    assert found.provenance == one.measurement.provenance | {"seeds": 1, "bases": 1}
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
    assert found.uncertainty["parameters"] == Uncertainty(
        None, pytest.approx(statistics.stdev([1, 2, 4])), 3, 101
    )
    assert "sparsity" not in found.uncertainty
    assert found.corrupted["fog"]["1"] == pytest.approx({"accuracy": 0.7 / 3, "ece": 0.5})
    assert found.provenance == {"seconds": 4.5, "seed": 1, "torch": "2", "seeds": 3, "bases": 1}
    assert found.warnings == ("floored", "seed 1", "seed 2", "seed 4")
    assert found.by_image.first == trials[0].measurement.metrics
    assert found.by_image.metrics == pytest.approx(found.metrics)
    means = torch.stack([one.sampled.columns["nll"] for one in trials]).mean(0)
    assert statistics.fmean(found.by_image.cell.values("nll")) == pytest.approx(
        float(means.mean()), rel=0.005
    )


def test_the_base_of_several_seeds_is_known_by_all_of_them():
    one, other = combine([trial(1)]), combine([trial(1), trial(2, base="beef")])
    assert combine([trial(1), trial(2)]).by_image.base == one.by_image.base == "cafe"
    assert other.by_image.base != "cafe"
    assert [found.provenance["bases"] for found in (one, other)] == [1, 2]
    assert combine([trial(1), trial(2, base="beef")]).by_image.base == other.by_image.base
    assert combine([trial(1, base="beef"), trial(2)]).by_image.base != other.by_image.base


def test_several_seeds_say_how_the_distance_from_the_base_varies():
    trials = [trial(seed, base=f"base {seed}") for seed in (1, 2, 3)]
    several, one = combine(trials).by_image, combine([trial(9)]).by_image
    distances = [each.measurement.metrics["nll"] - each.base.metrics["nll"] for each in trials]
    assert (several.seeds, one.seeds, one.change_sd) == (3, 1, {})
    assert several.change_sd["nll"] == pytest.approx(statistics.stdev(distances))


def test_each_seed_keeps_its_numbers_and_the_first_its_trace():
    trials = [trial(seed, mine=0.25 * seed) for seed in (1, 2, 4)]
    traced = [
        replace(one, measurement=replace(one.measurement, trace=Trace(f"base {seed}", {})))
        for seed, one in enumerate(trials)
    ]
    found = combine(traced)
    numbers = [one.measurement.metrics for one in trials]
    assert found.each == {name: [seed[name] for seed in numbers] for name in numbers[0]}
    assert found.by_image.each == found.each
    assert {type(one) for one in found.each["parameters"]} == {int}
    assert {type(one) for one in found.by_image.each["parameters"]} == {float}
    assert found.trace == found.by_image.trace == Trace("base 0", {})
    assert {name: sure.first for name, sure in found.uncertainty.items()} == {
        name: numbers[0][name] for name in found.uncertainty
    }
    alone = combine(traced[1:2])
    assert alone.each == {name: [number] for name, number in numbers[1].items()}
    assert {sure.first for sure in alone.uncertainty.values()} == {None}
    assert alone.trace == Trace("base 1", {})
    assert Measurement.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@hypothesis.given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_what_an_image_adds_is_kept_to_a_percent(values):
    columns = {"nll": torch.tensor(values), "ece": torch.tensor(values) / 2}
    read = encode(columns)
    assert read.names == ("nll", "ece")
    for name in read.names:
        # Rounded twice: to float16, then to six bits of its mantissa.
        assert read.values(name) == pytest.approx(columns[name].tolist(), rel=2**-11 + 2**-7, abs=1e-6)


def test_what_is_too_large_stays_finite():
    columns = {"nll": torch.tensor([1e9, -1e9, 65504.0, 7e4])}
    assert all(map(math.isfinite, encode(columns).values("nll")))
