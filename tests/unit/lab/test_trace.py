"""The trace of a cell, each of its numbers computed a second time by other means."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pytest_prunecal.lab import measure
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.evaluation import corrupted_sets
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.randomness import generator_of
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.trace import FirstSteps, of_logits, of_structure, trace_of
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.stored_trace import trace_of as read
from pytest_prunecal.study.trace import STAGES, STEPS

CELL, DENSE = Cell("resnet20", "weight", 0.5), Cell("resnet20", None, 0.0)
SETS = ("fog", "contrast")


def bench_of(folder, *, fresh=False, extensions=None, **finetune):
    quick = protocol_file.load("quick", Path())
    tiny = replace(
        quick,
        dataset={"name": "digits", "size": 8, "train": 96, "test": 30},
        base=replace(quick.base, epochs=1, warmup=0, batch=16),
        finetune=replace(quick.finetune, **{"epochs": 2, "batch": 16, **finetune}),
        evaluation=replace(quick.evaluation, corruptions=SETS, severities=(1, 3), batch=7),
    )
    setup = Setup(tiny, str(folder), "cpu", None, extensions or Extensions(), fresh=fresh)
    return Bench(setup, Store(setup.store), torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def bench(folder):
    return bench_of(folder)


def stages(cell, bench):
    return measure_once(cell, bench).measurement.trace.stages


def test_a_cell_comes_to_every_stage_and_the_dense_cell_to_those_without_pruning(bench):
    found, dense = stages(CELL, bench), stages(DENSE, bench)
    assert tuple(found) == STAGES
    assert list(dense) == ["data", "corruptions", "dense", "structure"]
    assert [dense[name] for name in ("data", "corruptions", "dense")] == [
        found[name] for name in ("data", "corruptions", "dense")
    ]
    assert found["data"] == {"images and labels": bench.dataset.digest}


def test_mean_pixels_by_numpy(bench):
    clean = bench.dataset.test_images
    expected = {
        f"{name} {severity}": np.mean(corrupt(clean, name, severity, seed=0).numpy(), dtype=np.float64) / 255
        for name in SETS
        for severity in (1, 3)
    }
    found = stages(DENSE, bench)["corruptions"]
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-12)


def test_sets_that_are_made_in_passing_have_the_same_mean_pixels(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(corrupted_sets, "KEPT_BYTES", 0)
    streamed = bench_of(tmp_path)
    assert streamed.corrupted.streamed
    made = []

    def counted(*args, **named):
        made.append(args[1:])
        return corrupt(*args, **named)

    monkeypatch.setattr(corrupted_sets, "corrupt", counted)
    assert stages(DENSE, streamed)["corruptions"] == stages(DENSE, bench)["corruptions"]
    assert len(made) == 4 * math.ceil(30 / 7)  # no set is made a second time


def test_a_set_is_counted_once_where_the_device_has_no_room_for_a_batch(bench, tmp_path, monkeypatch):
    logits = type(bench.forward).logits

    def cramped(self, model, images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits(self, model, images)

    expected = stages(DENSE, bench)["corruptions"]
    other = bench_of(tmp_path)
    BaseNetwork("resnet20", other, slimming=False).trained()
    monkeypatch.setattr(type(bench.forward), "logits", cramped)
    assert stages(DENSE, other)["corruptions"] == expected


def test_a_fault_in_memory_shows_in_a_fresh_trace(bench, folder, monkeypatch):
    expected = stages(DENSE, bench)
    broken = corrupted_sets.Streamed.__getitem__

    def brighter(self, part):
        return broken(self, part).clamp(min=9)

    monkeypatch.setattr(corrupted_sets, "KEPT_BYTES", 0)
    monkeypatch.setattr(corrupted_sets.Streamed, "__getitem__", brighter)
    found = stages(DENSE, bench_of(folder, fresh=True))
    assert {name for name in found if found[name] != expected[name]} == {"corruptions", "dense"}
    assert sum(found["corruptions"].values()) > sum(expected["corruptions"].values())


def test_the_base_networks_own_numbers(bench):
    trial = measure_once(CELL, bench)
    assert trial.measurement.trace.stages["dense"] == trial.base.metrics
    assert trial.measurement.trace.base == trial.base.digest


def test_the_network_just_pruned_by_hand(bench):
    with reproducible(1):
        pruned = measure.pruned_of(BaseNetwork("resnet20", bench, slimming=False).network(), CELL, bench)
    protocol, (images, labels) = bench.protocol, (bench.dataset.test_images, bench.dataset.test_labels)
    mean, std = (torch.tensor(values).view(3, 1, 1).double() for values in (protocol.mean, protocol.std))
    with torch.no_grad():
        logits = pruned.model.double().eval()((images.double() / 255 - mean) / std).numpy()
    right = logits - logits.max(1, keepdims=True)
    probability = np.exp(right) / np.exp(right).sum(1, keepdims=True)
    of_label = probability[np.arange(len(labels)), labels]
    expected = {f"logit {index}": one for index, one in enumerate(logits.mean(0))} | {
        "nll": -np.log(of_label).mean(),
        "brier": ((probability - np.eye(10)[labels]) ** 2).sum(1).mean(),
        "accuracy": np.mean(logits.argmax(1) == labels.numpy()),
        "mean confidence": probability.max(1).mean(),
    }
    found = stages(CELL, bench)["pruned"]
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_structure_by_hand(bench):
    trial = measure_once(CELL, bench)
    found = trial.measurement.trace.stages["structure"]
    numbers = trial.measurement.metrics
    assert {name: found[name] for name in ("parameters", "macs", "sparsity")} == {
        name: numbers[name] for name in ("parameters", "macs", "sparsity")
    }
    zeros = {name: count for name, count in found.items() if name.startswith("zeros ")}
    assert "zeros conv1.weight" in zeros
    with reproducible(1):
        pruned = measure.pruned_of(BaseNetwork("resnet20", bench, slimming=False).network(), CELL, bench)
    state = pruned.model.state_dict()
    assert zeros == {
        f"zeros {name}": int(np.sum(state[name].numpy() == 0)) for name in state if state[name].ndim == 4
    }


@pytest.fixture
def tuned(bench):
    """A pruned network, and a function that fine-tunes it under an observer."""
    with reproducible(1):
        network = BaseNetwork("resnet20", bench, slimming=False).network()

    def tune(observer, seed=1):
        model = copy.deepcopy(network)
        generator = generator_of(seed)
        with reproducible(1):
            bench.trainer.train(model, bench.protocol.finetune, generator, Pressure(observer=observer))
        return model

    return tune


def norm(tensors):
    return math.sqrt(
        sum(float((tensor.detach().numpy().astype(np.float64) ** 2).sum()) for tensor in tensors)
    )


def test_first_steps_by_hand(tuned):
    seen, states = [], []

    def observer(model, loss, rate):
        seen.append((float(loss), rate))
        states.append(copy.deepcopy(model))
        return False

    tuned(observer)
    steps = FirstSteps()
    found = steps.values(tuned(steps))
    assert len(seen) == 12
    names = [f"{what} {number}" for number in range(1, STEPS + 1) for what in ("loss", "rate")]
    assert list(found) == [*names, "norm of parameters", "norm of BN statistics", "steps", "sum of rates"]
    assert [found[name] for name in names] == [one for step in seen[:STEPS] for one in step]
    assert found["steps"] == 12
    assert found["sum of rates"] == pytest.approx(sum(rate for _, rate in seen), rel=1e-15)
    model = states[STEPS - 1]
    assert found["norm of parameters"] == pytest.approx(norm(model.parameters()), rel=1e-12)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    statistics = [one for module in norms for one in (module.running_mean, module.running_var)]
    assert found["norm of BN statistics"] == pytest.approx(norm(statistics), rel=1e-12)


def test_the_first_steps_alone_are_the_same(tuned):
    whole, alone = FirstSteps(), FirstSteps(alone=True)
    expected, found = whole.values(tuned(whole)), alone.values(tuned(alone))
    assert found == {name: one for name, one in expected.items() if name not in ("steps", "sum of rates")}


@pytest.mark.parametrize(("epochs", "batch", "steps"), [(0, 16, 0), (1, 48, 2), (1, 20, 5)])
def test_fewer_steps_than_are_kept(folder, epochs, batch, steps):
    bench = bench_of(folder, epochs=epochs, batch=batch)
    found = stages(CELL, bench)["finetune"]
    assert [name for name in found if name.startswith("loss")] == [f"loss {n}" for n in range(1, steps + 1)]
    assert found["steps"] == steps
    assert found["norm of parameters"] > 0


def test_in_a_cell_they_are_those_of_its_fine_tuning(bench, monkeypatch):
    expected = stages(CELL, bench)
    fine_tune = measure.fine_tune

    def wrapped(pruned, cell, bench):
        fine_tune(pruned, cell, bench)

    monkeypatch.setattr(measure, "fine_tune", wrapped)
    assert stages(CELL, bench) == expected
    monkeypatch.setattr(measure, "fine_tune", lambda *_: None)
    found = stages(CELL, bench)
    assert (found["finetune"]["steps"], found["finetune"]["sum of rates"]) == (0, 0.0)
    assert "loss 1" not in found["finetune"]
    assert {name for name in found if found[name] != expected[name]} == {"finetune"}


class Restless(nn.Sequential):
    """Draws random numbers of its own in every pass, and counts its passes in a buffer that it uses."""

    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, num_classes))
        self.register_buffer("passes", torch.ones(()))

    def forward(self, images):
        self.passes += 0.01
        return super().forward(images) * self.passes + 0.1 * torch.randn(len(images), 10)


def test_looking_on_changes_no_number(tmp_path, monkeypatch):
    extensions = Extensions(models={"restless": Restless})
    cell = Cell("restless", "weight", 0.5)
    found = measure_once(cell, bench_of(tmp_path / "a", extensions=extensions)).measurement
    monkeypatch.setattr(Bench, "logits", lambda *_: torch.zeros(30, 10))
    monkeypatch.setattr(Bench, "observed_by", lambda self, _: self)
    blind = measure_once(cell, bench_of(tmp_path / "b", extensions=extensions)).measurement
    assert blind.metrics == found.metrics
    assert blind.trace.stages["pruned"] != found.trace.stages["pruned"]


def test_what_is_not_finite_is_written_as_text():
    found = of_logits(torch.full((4, 10), math.nan), torch.zeros(4, dtype=torch.int64))
    assert found["logit 0"] == found["nll"] == "nan"
    stages = {"data": {"images and labels": "cafe"}, "corruptions": {"fog 1": 0.5}, "structure": {}}
    trace = trace_of("cafe", {**stages, "dense": {"nll": math.inf}})
    assert trace.stages["dense"] == {"nll": "inf"}
    assert read(trace.to_dict()) == trace


def test_of_very_many_classes_the_first_hundred_logits_are_kept():
    found = of_logits(torch.rand(4, 1000), torch.zeros(4, dtype=torch.int64))
    assert sum(name.startswith("logit ") for name in found) == 100


def test_a_network_without_layers_has_a_structure():
    numbers = {"parameters": 0, "macs": 0, "sparsity": 0.0}
    assert of_structure(nn.Identity(), numbers, METRICS) == numbers


def test_norms_of_a_network_without_batch_norm():
    assert FirstSteps().values(nn.Linear(2, 2))["norm of BN statistics"] == 0.0
