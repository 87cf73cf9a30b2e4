"""A trained network's weights: read back as they were, or refused."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pytest_prunecal.lab import trained_state

STATE = {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(3)}


def load(path, wanted=STATE):
    return trained_state.load(path, wanted=wanted, device="cpu")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def test_they_are_read_back_as_they_were(path):
    trained_state.save(STATE, path)
    found = load(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    with safe_open(path, "pt") as file:
        assert file.metadata() is None


def test_a_training_that_diverged_is_kept_as_it_is(path):
    trained_state.save(STATE | {"weight": torch.full((2, 3), math.nan)}, path)
    assert load(path)["weight"].isnan().all()


WRONG = {
    "one too few": {"weight": STATE["weight"]},
    "one too many": STATE | {"bias": torch.zeros(2)},
    "another name": {"weights": STATE["weight"], "count": STATE["count"]},
    "another shape": STATE | {"weight": torch.zeros(3, 2)},
    "another type": STATE | {"weight": STATE["weight"].double()},
    "not finite": STATE | {"weight": torch.full((2, 3), math.inf)},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_weights_that_are_none_of_the_network_are_refused(path, wrong):
    save_file(WRONG[wrong], path)
    with pytest.raises(ValueError, match=str(path)):
        load(path)


def test_another_file_is_refused(path):
    path.write_bytes(b"no tensors")
    with pytest.raises(SafetensorError):
        load(path)
