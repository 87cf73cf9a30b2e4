"""Checkpoints against networks: what is taken off or converted is said, what does not fit is a sentence."""

from __future__ import annotations

import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.checkpoint import load_given
from pytest_prunecal.study.given_base import GivenBase


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def trained():
    """The state of a network that no seed gives."""
    net = network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(0.25, 0.75)
    return net.state_dict()


@pytest.fixture
def load(tmp_path):
    """Load a state from a file into a network; gives the loaded state and what was said."""

    def loaded(state, into=None):
        save_file(state, tmp_path / "net.safetensors")
        net = into or network()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_given(net, GivenBase(tmp_path / "net.safetensors"), "mine")
        assert all(issubclass(warning.category, MeasurementWarning) for warning in caught)
        said = [str(warning.message) for warning in caught]
        return net.state_dict(), [
            text.removeprefix(f"checkpoint {tmp_path}/net.safetensors: ") for text in said
        ]

    return loaded


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def refusal(load, state, **kwargs):
    with pytest.raises(PrunecalError) as caught:
        load(state, **kwargs)
    text = str(caught.value)
    assert text.isprintable()
    assert text.endswith(", so it is no mine of this protocol")
    return text.partition("net.safetensors: ")[2].removesuffix(", so it is no mine of this protocol")


def test_what_fits_is_loaded_without_a_word(load, trained):
    found, said = load(trained)
    assert same(found, trained)
    assert said == []


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "backbone.", "state_dict.", "state_dict.module.", "a.b.c."]
)
def test_what_stands_before_every_name_is_taken_off_and_said(load, trained, prefix):
    found, said = load({prefix + name: tensor for name, tensor in trained.items()})
    assert same(found, trained)
    assert said == [f"{prefix!r} was taken off the name of every tensor"]


def test_what_the_network_calls_so_stays(load, trained):
    into = nn.ModuleDict({"module": network()})
    wrapped = {f"module.{name}": tensor for name, tensor in trained.items()}
    assert load(wrapped, into=into)[1] == []
    twice = {f"module.{name}": tensor for name, tensor in wrapped.items()}
    assert load(twice, into=into)[1] == ["'module.' was taken off the name of every tensor"]


def test_a_prefix_of_some_names_is_not_taken_off(load, trained):
    first, *others = trained
    state = {first: trained[first]} | {f"module.{name}": trained[name] for name in others}
    assert refusal(load, state) == "it lacks 0.bias and 4 more"


def test_what_is_missing_behind_a_prefix(load, trained):
    state = {f"module.{name}": tensor for name, tensor in trained.items() if name != "1.bias"}
    assert refusal(load, state) == "it lacks 1.bias (without the 'module.' before every name)"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_converted_and_said(load, trained, dtype):
    state = {name: tensor.to(dtype) if "num" not in name else tensor for name, tensor in trained.items()}
    found, said = load(state)
    assert same(found, {name: tensor.to(trained[name].dtype) for name, tensor in state.items()})
    assert said == [f"its {str(dtype).removeprefix('torch.')} tensors are measured as float32"]


def test_counts_of_batches_may_be_of_any_kind_or_missing(load, trained):
    counts = "1.num_batches_tracked"
    assert load(trained | {counts: torch.tensor(3.0)})[1] == []
    assert load({name: tensor for name, tensor in trained.items() if name != counts})[1] == []


def test_a_number_that_the_network_cannot_hold(load, trained):
    bias = torch.full((4,), 1e300, dtype=torch.float64)
    assert refusal(load, trained | {"0.bias": bias}) == "0.bias holds values beyond those of float32"


def test_whole_numbers_for_real_ones(load, trained):
    into = network()
    into.register_buffer("scale", torch.ones(2))
    state = trained | {"scale": torch.ones(2, dtype=torch.int8)}
    assert refusal(load, state, into=into) == "scale is int8, wanted float32"


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_weights(tmp_path, trained, dtype):
    save_file({name: tensor.to(dtype) for name, tensor in trained.items()}, tmp_path / "net")
    with pytest.raises(PrunecalError, match="quantised weights mean nothing without their scales"):
        load_given(network(), GivenBase(tmp_path / "net"), "mine")


def test_a_tensor_under_two_names_stands_in_the_file_once(load):
    state = Tied().state_dict()
    del state["second.weight"]
    found, _ = load(state, into=Tied())
    assert torch.equal(found["second.weight"], state["first.weight"])
    del state["first.weight"]
    assert refusal(load, state, into=Tied()) == "it lacks first.weight and 1 more"
