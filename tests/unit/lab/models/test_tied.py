"""Tied weights: stored once, read back under every name."""

import torch
from safetensors.torch import load, save
from torch import nn

from pytest_prunecal.lab.models.tied import stored_once, with_all_names


def network():
    """Three layers on two weights, and a bias that is a view of another."""
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    tied[2].weight = tied[0].weight
    tied[1].bias = nn.Parameter(tied[0].bias.detach()[:3])
    tied[2].bias = nn.Parameter(tied[1].weight.detach()[0])
    return tied


def test_a_tensor_is_stored_under_its_first_name_and_no_memory_is_shared():
    kept = stored_once(network().state_dict())
    assert list(kept) == ["0.weight", "0.bias", "1.weight", "2.bias"]
    places = [tensor.untyped_storage().data_ptr() for tensor in kept.values()]
    assert len(set(places)) == len(places)
    assert save(kept)


def test_whichever_name_a_file_has_fits():
    one, other = network(), network()
    state = load(save(stored_once(one.state_dict())))
    state["2.weight"] = state.pop("0.weight")
    other.load_state_dict(with_all_names(state, other.state_dict()))
    assert all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


def test_what_is_missing_stays_missing():
    wanted = network().state_dict()
    assert set(with_all_names({"1.weight": wanted["1.weight"]}, wanted)) == {"1.weight"}


def test_a_state_without_ties_is_itself():
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(0)).state_dict()
    kept = stored_once(state)
    assert list(kept) == list(state)
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())
