"""Measuring candidates: nothing is trained, bits do not vary, what cannot be measured is a sentence."""

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.candidates.measure import admit, measure_candidate
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.engines.local import LocalEngine
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.over_seeds import combine
from pytest_prunecal.lab.training.trainer import Trainer
from pytest_prunecal.store.sources import Sources
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.candidate import Candidate
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.metric import Metric
from pytest_prunecal.study.stored_measurement import measurement_of
from pytest_prunecal.study.trace import CORRUPTIONS, DATA

CELL = Cell("resnet20", None, 0.0, candidate="v2")


@pytest.fixture
def bench(tmp_path):
    quick = protocol_file.load("quick", Path())
    tiny = replace(
        quick,
        dataset={"name": "digits", "size": 8, "train": 64, "test": 30},
        base=replace(quick.base, epochs=1, warmup=0),
        evaluation=replace(quick.evaluation, corruptions=("contrast",), severities=(1, 5)),
    )
    setup = Setup(tiny, str(tmp_path / "store"), "cpu", None, Extensions())
    return Bench(setup, Store(setup.store), torch.device("cpu"))


def given(bench, source, **settings):
    candidate = Candidate("resnet20", "v2", source, **settings)
    return replace(bench, setup=replace(bench.setup, candidates={("resnet20", "v2"): candidate}))


def measure(bench):
    return combine([measure_once(CELL, bench)], bench.metrics)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.head = nn.Linear(192, 10)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 10)

    def forward(self, images):
        return self.head(images.flatten(1))


class Passing(nn.Module):
    """Gives what a function makes of the logits."""

    def __init__(self, change):
        super().__init__()
        self.linear, self.change = Linear(), change

    def forward(self, images):
        return self.change(self.linear(images))


def test_nothing_is_trained_and_the_numbers_are_complete(bench, monkeypatch):
    monkeypatch.setattr(Trainer, "train", lambda *_: pytest.fail("trained"))
    found = measure(given(bench, Linear))
    assert set(found.metrics) == set(bench.metrics)
    assert found.metrics["parameters"] == 1930
    assert found.metrics["macs"] == 1920
    assert set(found.uncertainty) >= {"accuracy", "mpc", "ece"}
    assert set(found.trace.stages) == {DATA, CORRUPTIONS}
    assert "network" not in found.provenance
    assert not {"base_kind", "base", "base_entry"} & {*found.provenance}
    engine = LocalEngine(given(bench, Linear).setup, bench.store, Sources())
    assert engine.trained_bases(CELL, 1) == []


def test_a_file_of_weights_gives_what_the_dense_network_gives(bench, tmp_path):
    dense = measure_once(Cell("resnet20", None, 0.0), bench).measurement
    (path,) = (tmp_path / "store/base").glob("*.safetensors")
    content = path.read_bytes()
    (tmp_path / "net.safetensors").write_bytes(content)
    found = measure(given(bench, tmp_path / "net.safetensors"))
    costs = {"bytes": len(content), "int8": 0.0}
    assert found.metrics == {**dense.metrics, **costs}
    assert found.corrupted == dense.corrupted
    assert found.trace.stages == {stage: dense.trace.stages[stage] for stage in (DATA, CORRUPTIONS)}
    assert found.provenance["network"] == found.by_image.base == hashlib.sha256(content).hexdigest()


def test_what_is_kept_reads_back(bench):
    found = measure(given(bench, Linear))
    assert measurement_of(found.to_dict(), bench.metrics) == found


def test_the_same_bits_whatever_was_drawn_before(bench):
    class Draws(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.passes = nn.Linear(192, 10), 0

        def forward(self, images):
            self.passes += 1
            return self.head(images.flatten(1) + torch.rand(1)) * self.passes

    at = given(bench, Draws)
    first = measure_candidate(CELL, at)
    torch.rand(7)
    admit(CELL, at)
    again = measure_candidate(CELL, at)
    assert again.measurement.metrics == first.measurement.metrics
    assert again.measurement.corrupted == first.measurement.corrupted
    assert again.base.digest == first.base.digest


def test_halves_are_measured(bench):
    found = measure(given(bench, lambda: Linear().half()))
    reference = measure(given(bench, Linear))
    assert found.metrics["parameters"] == reference.metrics["parameters"]
    assert found.metrics["nll"] == pytest.approx(reference.metrics["nll"], rel=1e-2)


def test_what_cannot_be_counted_is_left_out(bench):
    metric = Metric("seen", higher_is_better=True, where="network", function=lambda network: 1.0)  # noqa: ARG005
    extended = replace(bench, setup=replace(bench.setup, extensions=Extensions(metrics={"seen": metric})))
    found = measure(given(extended, lambda: Linear().forward))
    assert set(bench.metrics) - set(found.metrics) == {"parameters", "macs", "sparsity", "bytes", "int8"}
    assert found.metrics["seen"] == 1.0
    assert found.by_image.base


def test_what_depends_on_the_images_beside_it_is_told(bench):
    at = given(bench, lambda: Passing(lambda logits: logits - logits.mean(0)))
    assert "depends on the images beside it" in " ".join(measure(at).warnings)
    assert not measure(given(bench, Linear)).warnings


def not_deterministic(logits):
    index = torch.zeros(logits.numel(), dtype=torch.long)
    return logits.clone().put_(index, logits.flatten())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda logits: logits[:, :7], "it gives 7 logits an image, and the data have 10 classes"),
        (lambda logits: logits[:, None], "wanted logits, float (2, 10), of 2 images, got float32 (2, 1, 10)"),
        (lambda logits: logits.mean(0), "wanted logits, float (2, 10), of 2 images, got float32 (10,)"),
        (lambda logits: logits / 0, "its logits are NaN or infinite"),
        (
            lambda logits: logits.argmax(1),
            "wanted logits, float (N, classes), alone, as `logits` of a mapping ",
        ),
        (lambda logits: logits.softmax(1), "what it gives are probabilities (from 0 to 1, and 1 in sum), "),
        (
            lambda logits: logits.no_such_thing,
            "it fails on 2 images of 3x8x8: AttributeError: 'Tensor' object ",
        ),
        (
            not_deterministic,
            "it computes with what has no deterministic implementation on cpu, so its numbers ",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(bench, change, says):
    at = given(bench, lambda: Passing(change))
    for measuring in (admit, measure_candidate):
        with pytest.raises(PrunecalError) as caught:
            measuring(CELL, at)
        text = str(caught.value)
        assert text.startswith(f"candidate v2 (its builder): {says}")
        assert "\n" not in text


def test_a_metric_that_fails_on_it(bench):
    def broken(network):
        return network.no_such_layer

    metric = Metric("own", higher_is_better=True, where="network", function=broken)
    extended = replace(bench, setup=replace(bench.setup, extensions=Extensions(metrics={"own": metric})))
    with pytest.raises(
        PrunecalError, match=r"^candidate v2 \(its builder\): metric 'own' cannot be measured: "
    ):
        admit(CELL, given(extended, Linear))


def test_admission_is_silent(bench, tmp_path):
    state = bench.build("resnet20").half().state_dict()
    save_file(state, tmp_path / "net.safetensors")
    at = given(bench, tmp_path / "net.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        admit(CELL, at)
    assert "its float16 tensors are measured as float32" in " ".join(measure(at).warnings)
