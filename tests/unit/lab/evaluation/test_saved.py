"""An evaluation, written and read back."""

from __future__ import annotations

import pytest
import torch
from safetensors import SafetensorError

from pytest_prunecal.lab.evaluation import saved
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.tally import Evaluated


@pytest.fixture
def found():
    drawn = torch.Generator().manual_seed(0)

    def random(*shape, dtype=torch.float32):
        return torch.randn(*shape, generator=drawn, dtype=dtype)

    return Evaluated(
        metrics={"nll": 0.1, "accuracy": 1 / 3},
        corrupted={"fog": {"1": 0.2}, "blur": {"1": float("inf")}},
        logits=random(5, 3),
        sampled=Sampled(
            {name: random(5) for name in ("nll", "accuracy")},
            {name: random(4, dtype=torch.float64) for name in ("nll", "accuracy", "mpc")},
        ),
    )


def test_it_is_read_back_as_it_was_in_every_bit_and_in_the_same_order(found, tmp_path):
    saved.save(found, tmp_path / "kept")
    read = saved.load(tmp_path / "kept")
    assert list(read.metrics.items()) == list(found.metrics.items())
    assert list(read.corrupted.items()) == list(found.corrupted.items())
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
        saved.load(tmp_path / "kept")
