"""What a measurement makes of its device: too little memory, and the protocol's precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.forward import Forward
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.over_seeds import combine
from pytest_prunecal.lab.pruners.base import PruneWarning
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions

CELL = Cell("resnet20", "weight", 0.5)


def measure(cell, bench):
    return combine([measure_once(cell, bench)], bench.metrics)


@pytest.fixture
def bench(tmp_path):
    quick = protocol_file.load("quick", Path())
    tiny = replace(
        quick,
        dataset={"name": "digits", "size": 8, "train": 64, "test": 30},
        base=replace(quick.base, epochs=1, warmup=0, batch=16),
        finetune=replace(quick.finetune, epochs=1, batch=16),
        evaluation=replace(quick.evaluation, corruptions=("contrast",)),
    )
    setup = Setup(tiny, str(tmp_path / "store"), "cpu", None, Extensions())
    return Bench(setup, Store(setup.store), torch.device("cpu"))


def changed(bench, **protocol):
    return replace(bench, setup=replace(bench.setup, protocol=replace(bench.protocol, **protocol)))


@pytest.fixture
def room(monkeypatch):
    """Let the device have room for so many images."""
    logits = Forward.logits

    def leave(images):
        def cramped(self, model, batch):
            if len(batch) > images:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return logits(self, model, batch)

        monkeypatch.setattr(Forward, "logits", cramped)

    return leave


def test_training_without_room_is_one_clear_sentence(bench, room):
    room(15)
    model = bench.build("resnet20")
    with pytest.raises(PrunecalError) as caught:
        bench.trainer.train(model, bench.protocol.finetune, torch.Generator(), Pressure())
    assert str(caught.value) == (
        "out of memory on cpu while training on batches of 16 images, which are part of the recipe; run "
        "fewer workers at once (a smaller -n) or on a device with more memory"
    )
    assert caught.value.__context__ is None  # its frames would hold what filled the device


def test_a_smaller_batch_of_evaluation_is_told_with_the_numbers(bench, room):
    whole = measure(CELL, bench)
    room(16)
    bench.base_results.clear()
    found = measure(CELL, bench)
    told = (
        "evaluated 15 images at a time instead of 200, as cpu was out of memory; the last digits may differ"
    )
    assert found.warnings == (*whole.warnings, told)
    assert found.metrics.keys() == whole.metrics.keys()
    assert found.metrics["nll"] == pytest.approx(whole.metrics["nll"], rel=1e-4)


def test_pruners_warnings_are_told_as_before(bench):
    bench = changed(bench, base=replace(bench.protocol.base, epochs=0))
    found = measure(Cell("resnet20", "weight", 0.999), bench)
    assert any("would have emptied" in warning for warning in found.warnings)
    assert issubclass(PruneWarning, UserWarning)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_is_that_of_base_training_fine_tuning_and_evaluation(bench, monkeypatch, precision):
    passes, logits = [], Forward.logits

    def note(self, model, images):
        passes.append((self.precision, model.training))
        return logits(self, model, images)

    monkeypatch.setattr(Forward, "logits", note)
    measure(CELL, changed(bench, precision=precision))
    # Base training, the network just pruned, fine-tuning, the cell's two test sets, the base's two.
    expected = [True] * 4 + [False] + [True] * 4 + [False] * 2 + [False] * 2
    assert passes == [(precision, training) for training in expected]


def test_bfloat16_has_numbers_of_its_own_that_repeat(bench):
    half = changed(bench, precision="bfloat16")
    found, full = measure(CELL, half), measure(CELL, bench)
    again = measure(
        CELL, replace(half, store=Store(str(Path(half.store.root).parent / "other")), base_results={})
    )
    assert found.metrics == again.metrics
    assert found.metrics["nll"] != full.metrics["nll"]
    assert half.protocol.fingerprint != bench.protocol.fingerprint
