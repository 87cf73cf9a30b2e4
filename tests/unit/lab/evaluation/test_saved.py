"""An evaluation, written and read back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError

from pytest_prunecal.lab.evaluation import saved
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.tally import Evaluated
from pytest_prunecal.study.metric import METRICS

MEASURED = {name: METRICS[name] for name in ("nll", "accuracy", "mpc", "parameters")}


@pytest.fixture
def found():
    drawn = torch.Generator().manual_seed(0)

    def random(*shape, dtype=torch.float32):
        return torch.randn(*shape, generator=drawn, dtype=dtype)

    return Evaluated(
        metrics={"nll": 0.1, "accuracy": 1 / 3, "mpc": 0.25},
        corrupted={"fog": {"1": {"nll": 0.2}}, "blur": {"1": {"nll": math.inf, "accuracy": 0.5}}},
        logits=random(5, 3),
        sampled=Sampled(
            {name: random(5) for name in ("nll", "accuracy")},
            {name: random(4, dtype=torch.float64) for name in ("nll", "accuracy", "mpc")},
        ),
        pixels={"fog 1": 1 / 3, "blur 1": 0.1},
    )


def read_back(found, path, images=5):
    saved.save(found, path)
    return saved.load(path, images=images, metrics=MEASURED)


def test_it_is_read_back_as_it_was_in_every_bit_and_in_the_same_order(found, tmp_path):
    read = read_back(found, tmp_path / "kept")
    assert list(read.metrics.items()) == list(found.metrics.items())
    assert list(read.corrupted.items()) == list(found.corrupted.items())
    assert list(read.pixels.items()) == list(found.pixels.items())
    assert torch.equal(read.logits, found.logits)
    assert list(read.sampled.columns) == ["nll", "accuracy"]
    for name, column in read.sampled.columns.items():
        assert torch.equal(column, found.sampled.columns[name])
    assert list(read.sampled.replicates) == ["nll", "accuracy", "mpc"]
    for name, replicates in read.sampled.replicates.items():
        assert replicates.dtype == torch.float64
        assert torch.equal(replicates, found.sampled.replicates[name])


def test_another_file_is_none(tmp_path):
    (tmp_path / "kept").write_bytes(b"no tensors")
    with pytest.raises(SafetensorError):
        saved.load(tmp_path / "kept", images=5, metrics=MEASURED)


WHOLE = {"nll": 0.1, "accuracy": 0.5, "mpc": 0.25}
COLUMN, SAMPLE = torch.zeros(5), torch.zeros(4, dtype=torch.float64)
WRONG = {
    "no such share": {"metrics": WHOLE | {"accuracy": 1.5}},
    "not finite": {"metrics": WHOLE | {"nll": math.inf}},
    "no number": {"metrics": WHOLE | {"nll": "0.1"}},
    "one too few": {"metrics": {"nll": 0.1, "accuracy": 0.5}},
    "one of the network": {"metrics": WHOLE | {"parameters": 5}},
    "one that there is not": {"metrics": WHOLE | {"f1": 0.5}},
    "no corrupted sets": {"corrupted": []},
    "no score": {"corrupted": {"fog": {"1": 0.5}}},
    "no such score": {"corrupted": {"fog": {"1": {"accuracy": math.inf}}}},
    "a score that is none": {"corrupted": {"fog": {"1": {"nll": math.nan}}}},
    "a pixel that is none": {"pixels": {"fog 1": 1.5, "blur 1": 0.1}},
    "a pixel below black": {"pixels": {"fog 1": -0.5, "blur 1": 0.1}},
    "a pixel without a number": {"pixels": {"fog 1": math.nan, "blur 1": 0.1}},
    "pixels of other sets": {"pixels": {"fog 1": 0.5}},
    "logits of other images": {"logits": torch.zeros(6, 3)},
    "logits that are none": {"logits": torch.full((5, 3), math.nan)},
    "logits in halves": {"logits": torch.zeros(5, 3, dtype=torch.float16)},
    "flat logits": {"logits": torch.zeros(5)},
    "a column of other images": {"sampled": Sampled({"nll": torch.zeros(4)}, {})},
    "a column of whole numbers": {"sampled": Sampled({"nll": torch.zeros(5, dtype=torch.int64)}, {})},
    "a column that is none": {"sampled": Sampled({"nll": COLUMN / 0}, {})},
    "a column of no metric": {"sampled": Sampled({"f1": COLUMN}, {})},
    "samples that are none": {"sampled": Sampled({}, {"nll": SAMPLE / 0})},
    "no samples": {"sampled": Sampled({}, {"nll": SAMPLE[:0]})},
    "samples of no metric": {"sampled": Sampled({}, {"parameters": SAMPLE})},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_evaluation_gives_is_refused(found, tmp_path, wrong):
    with pytest.raises((ValueError, TypeError)):
        read_back(replace(found, **WRONG[wrong]), tmp_path / "kept")


def test_an_evaluation_on_other_images_is_refused(found, tmp_path):
    with pytest.raises(ValueError, match="test images"):
        read_back(found, tmp_path / "kept", images=4)
