"""How far float arithmetic alone moves a cell."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch

from pytest_prunecal.baseline import refresh
from pytest_prunecal.baseline.agreement import check
from pytest_prunecal.baseline.file import parse
from pytest_prunecal.baseline.images import dump, load
from pytest_prunecal.lab import measure
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Setup, start
from pytest_prunecal.lab.engines.local import LocalEngine
from pytest_prunecal.lab.jitter import jitter
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.randomness import generator_of, perturb
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.trace import deviations
from pytest_prunecal.store.sources import Sources
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell, cell_from_id
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.stored_trace import jitter_of
from pytest_prunecal.study.trace import Trace

CELL, DENSE = Cell("resnet20", "weight", 0.5), Cell("resnet20", None, 0.0)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    quick = protocol_file.load("quick", Path())
    tiny = replace(
        quick,
        dataset={"name": "digits", "size": 8, "train": 96, "test": 30},
        base=replace(quick.base, epochs=1, warmup=0, batch=16),
        finetune=replace(quick.finetune, epochs=2, batch=16),
        evaluation=replace(quick.evaluation, corruptions=("contrast",)),
    )
    return Setup(tiny, str(tmp_path_factory.mktemp("store")), "cpu", None, Extensions())


@pytest.fixture
def bench(setup):
    return Bench(setup, Store(setup.store), torch.device("cpu"))


def measured(cell, bench, repeats):
    trial = measure_once(cell, bench).measurement
    return jitter(cell, bench, trial.trace, trial.metrics, repeats)


def test_weights_and_buffers_are_moved_by_a_ten_millionth():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.BatchNorm2d(64))
    before = {name: tensor.double().clone() for name, tensor in network.state_dict().items()}
    perturb(network, generator_of("jitter"))
    after = network.state_dict()
    assert torch.equal(after["1.num_batches_tracked"], before["1.num_batches_tracked"].long())
    moved = torch.cat([(after[name] / before[name] - 1).flatten() for name in ("0.weight", "1.weight")])
    assert 0.9e-7 < float(moved.std()) < 1.2e-7  # float32 rounds to 6e-8
    assert abs(float(moved.mean())) < 1e-8
    assert torch.equal(after["1.running_mean"], torch.zeros(64))  # a share of nothing is nothing


def test_repeats_are_perturbed_each_otherwise_and_each_again_the_same(bench):
    with reproducible(1):
        base = BaseNetwork("resnet20", bench, slimming=False)
        states = [base.network().state_dict(), *(base.perturbed("x", n).state_dict() for n in (1, 2, 1))]
    plain, one, other, again = (torch.cat([t.double().flatten() for t in s.values()]) for s in states)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, plain)
    assert torch.allclose(one, plain, rtol=1e-6, atol=0)


@pytest.fixture(scope="module")
def whole(setup):
    bench = Bench(setup, Store(setup.store), torch.device("cpu"))
    trial = measure_once(CELL, bench).measurement
    return trial, jitter(CELL, bench, trial.trace, trial.metrics, 2)


def test_whole_cells_tell_of_every_metric_and_of_every_stage_that_weights_move(whole):
    trial, found = whole
    assert list(found.trace) == ["dense", "pruned", "structure", "finetune"]
    for stage, values in found.trace.items():
        assert list(values) == [
            name for name, one in trial.trace.stages[stage].items() if isinstance(one, float)
        ]
        assert all(0 <= moved < math.inf for moved in values.values())
    assert 0 < found.trace["pruned"]["nll"] < 1e-4
    assert 0 < found.trace["dense"]["nll"] < 1e-4
    assert 0 < found.trace["finetune"]["loss 1"] < 1e-4
    assert found.trace["finetune"]["rate 1"] == found.trace["finetune"]["sum of rates"] == 0
    assert list(found.metrics) == list(trial.metrics)
    assert {len(values) for values in found.metrics.values()} == {2}
    assert set(found.metrics["parameters"]) == {0.0}
    assert any(chain(*found.metrics.values()))
    assert jitter_of(found.to_dict()) == found


def test_a_repeat_by_hand(bench, whole):
    trial, found = whole
    with reproducible(1):
        network = BaseNetwork("resnet20", bench, slimming=False).network()
        perturb(network, generator_of(1, "jitter", "resnet20", "weight-0.5", 2))
        pruned = measure.pruned_of(network, CELL, bench)
        measure.fine_tune(pruned, CELL, bench)
        second = bench.evaluate(pruned.model, 1, "resnet20", "weight-0.5")
    for name, value in second.metrics.items():
        assert found.metrics[name][1] == value - trial.metrics[name]


def test_the_first_steps_alone_move_as_in_whole_cells(bench, whole):
    _, found = whole
    bare = measured(CELL, bench, 0)
    assert bare.metrics == {}
    assert list(bare.trace) == ["dense", "pruned", "finetune"]
    for stage, values in bare.trace.items():
        assert values == {name: found.trace[stage][name] for name in values}
    assert found.trace["finetune"].keys() - bare.trace["finetune"].keys() == {"sum of rates"}


def test_the_first_steps_alone_are_what_is_trained(bench, monkeypatch):
    trial = measure_once(CELL, bench).measurement
    evaluations, seen = [], []
    evaluate, compressed = Bench.evaluate, measure.FirstSteps.__call__

    def counted(self, *what, **named):
        evaluations.append(what[1:])
        return evaluate(self, *what, **named)

    def watched(self, *step):
        seen.append(step)
        return compressed(self, *step)

    monkeypatch.setattr(Bench, "evaluate", counted)
    monkeypatch.setattr(measure.FirstSteps, "__call__", watched)
    fresh = replace(bench, setup=replace(bench.setup, fresh=True))
    jitter(CELL, fresh, trial.trace, trial.metrics, 0)
    assert len(seen) == 2 * 5
    assert evaluations == [(1, "resnet20")] * 2  # of the base network, once for all cells
    jitter(Cell("resnet20", "filter", 0.5), fresh, trial.trace, trial.metrics, 0)
    assert len(evaluations) == 2


def test_of_the_dense_cell_its_own_evaluation_moves_and_nothing_else(bench, whole):
    found, bare = measured(DENSE, bench, 2), measured(DENSE, bench, 0)
    assert list(found.trace) == ["dense", "structure"]
    assert list(bare.trace) == ["dense"]
    assert found.trace["dense"] == bare.trace["dense"] == whole[1].trace["dense"]
    for name, values in found.trace["dense"].items():
        assert max(map(abs, found.metrics[name])) == values


def test_ordinary_numbers_stay_the_same_after_a_jitter(bench):
    before = measure_once(CELL, bench).measurement
    measured(CELL, bench, 1)
    after = measure_once(CELL, bench).measurement
    assert (after.metrics, after.trace) == (before.metrics, before.trace)


def test_what_cannot_be_subtracted_has_no_deviation():
    trace = Trace("cafe", {"pruned": {"nll": "inf", "brier": 0.5, "steps": 3}})
    repeats = [{"pruned": {"nll": 1.0, "brier": 0.25, "steps": 4}}, {"pruned": {"nll": 2.0, "brier": 0.625}}]
    assert deviations(trace, repeats) == {"pruned": {"brier": 0.25}}


@pytest.fixture
def engine(setup, monkeypatch):
    trained = []

    def counted(cell, bench):
        trained.append((cell.id, bench.protocol.seed))
        return measure_once(cell, bench)

    monkeypatch.setattr("pytest_prunecal.lab.engines.local.measure_once", counted)
    return LocalEngine(setup, Store(setup.store), Sources()), trained


def test_more_seeds_of_a_cell_train_those_that_are_missing(engine):
    local, trained = engine
    one, three, two = (local.measure(CELL, seeds) for seeds in (1, 3, 2))
    assert trained == [("weight-0.5", seed) for seed in (1, 2, 3)]
    assert [found.provenance["seeds"] for found in (one, three, two)] == [1, 3, 2]
    assert one.each == {name: values[:1] for name, values in three.each.items()}
    assert two.each == {name: values[:2] for name, values in three.each.items()}
    assert one.trace == two.trace == three.trace
    assert {sure.first for sure in one.uncertainty.values()} == {None}
    assert three.uncertainty["nll"].first == one.metrics["nll"]
    local.measure(DENSE)
    local.measure(CELL)
    assert trained[3:] == [("dense", 1), ("weight-0.5", 1)]


def test_further_seeds_may_keep_the_first_ones_base_network(engine):
    local, trained = engine
    first = local.measure(CELL, one_base=True)
    found = local.measure(CELL, 2, one_base=True)
    assert trained == [("weight-0.5", 1), ("weight-0.5", 2)]
    assert [one.provenance["bases"] for one in (first, found)] == [1, 1]
    assert found.by_image.base == first.by_image.base == first.trace.base
    assert found.each["nll"][0] == first.metrics["nll"] != found.each["nll"][1]
    (place,) = local.trained_bases(CELL, 2, one_base=True)
    # Bases of their own are others, and only the first seed need not be trained again.
    own = local.measure(CELL, 2)
    assert trained[2:] == [("weight-0.5", 2)]
    assert own.provenance["bases"] == 2
    assert own.by_image.base != found.by_image.base
    assert own.each["nll"][0] == found.each["nll"][0]
    assert own.each["nll"][1] != found.each["nll"][1]
    places = local.trained_bases(CELL, 2)
    assert (places[0], len(places)) == (place, 2)
    assert local.measure(CELL, one_base=True).metrics == first.metrics
    assert len(trained) == 3


def test_a_jitter_needs_no_more_than_a_measurement(engine, whole):
    local, trained = engine
    found = local.measure(CELL, 2)
    assert local.jitter(CELL, 2) == local.jitter(CELL, 2, found) == whole[1]
    assert len(trained) == 2
    trained.clear()
    assert local.jitter(DENSE, 0) == local.jitter(DENSE, 0, local.measure(DENSE))
    assert trained == [("dense", 1)]
    with pytest.raises(ValueError, match="a measurement without a trace has no jitter"):
        local.jitter(CELL, 2, replace(found, trace=None))


def test_what_was_measured_comes_back_from_the_store_and_agrees_with_its_baseline(setup):
    engine = start(setup)
    cells = {cell.id: engine.measure(cell, 3) for cell in (DENSE, CELL, Cell("resnet20", "channel", 0.5))}
    jitters = {cell: engine.jitter(cell_from_id("resnet20", cell), 0) for cell in cells}
    other = start(setup)
    for cell, found in cells.items():
        again = other.measure(cell_from_id("resnet20", cell), 3)
        assert again == replace(found, reused=True)
        assert other.jitter(cell_from_id("resnet20", cell), 0) == jitters[cell]
    change = refresh.Change(
        "resnet20",
        {"torch": "2", "device": "cpu", "threads": "1"},
        {cell: dict(found.metrics) for cell, found in cells.items()},
        uncertainty={cell: found.uncertainty for cell, found in cells.items()},
    )
    text = refresh.apply(None, change, setup.protocol, METRICS, "f.yaml")
    assert "first: " in text
    images = {cell: replace(found.by_image, jitter=jitters[cell]) for cell, found in cells.items()}
    read = load(dump(images), "f.zip")
    assert read == images
    assert {found.seeds for found in read.values()} == {3}
    check(read, parse(text, "f.yaml"), METRICS, "f.zip")
