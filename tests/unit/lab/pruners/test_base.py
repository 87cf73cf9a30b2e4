"""What holds of every pruner: its interface, its ratio, the threshold, what it refuses."""

import copy
import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.pruners import channel, weight
from pytest_prunecal.lab.pruners import filter as filter_pruner
from pytest_prunecal.lab.pruners.base import exact_ratio, global_threshold
from pytest_prunecal.lab.resolve import resolve
from pytest_prunecal.study.builtin import PRUNERS

ALL = {"weight": weight, "filter": filter_pruner, "channel": channel}
quickly = hypothesis.settings(max_examples=30)
percent = st.integers(0, 99)


def test_the_registry_leads_to_the_pruners():
    for name, module in ALL.items():
        assert resolve(PRUNERS[name].prune, name) is module.prune
    assert [name for name, row in PRUNERS.items() if row.slimming] == ["channel"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, math.nan, math.inf, -math.inf, 0.99999999])
def test_ratios_out_of_bounds_are_refused(toy, name, ratio):
    with pytest.raises(PrunecalError, match="at least 0 and less than 1"):
        ALL[name].prune(toy(), ratio)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("model", ["vgg19", "resnet20", "preresnet110"])
def test_ratio_zero_prunes_nothing(network_of, same_state, name, model, recwarn):
    network = network_of(model)
    pruned = ALL[name].prune(network, 0.0)
    assert pruned.model is not network
    assert same_state(pruned.model.state_dict(), network.state_dict())
    assert all(mask.all() for mask in pruned.masks.values())
    assert not recwarn.list


@pytest.mark.parametrize("name", ALL)
@quickly
@hypothesis.given(percents=percent, seed=st.integers(0, 99))
def test_the_input_network_is_left_alone_and_pruning_is_repeatable(
    toy, pruned_and_floored, same_state, name, percents, seed
):
    network = toy(seed=seed).train()
    before, parameters = copy.deepcopy(network.state_dict()), list(network.parameters())
    (first, floored), (second, floored_again) = (
        pruned_and_floored(ALL[name], network, percents / 100) for _ in range(2)
    )
    assert same_state(before, network.state_dict())
    assert all(old is new for old, new in zip(parameters, network.parameters(), strict=True))
    assert same_state(first.model.state_dict(), second.model.state_dict())
    assert floored == floored_again
    with torch.no_grad():
        for parameter in first.model.parameters():
            parameter.fill_(7.0)
    assert same_state(before, network.state_dict())


def test_a_ratio_means_what_is_written():
    assert int(100 * 0.29) == 28  # what float rounding would make of it
    assert int(100 * exact_ratio(0.29)) == 29
    assert int(10 * (1 - exact_ratio(0.7))) == 3
    assert int(10 * (1 - exact_ratio(0.1 + 0.2 + 0.4))) == 3  # 0.7000000000000001
    assert exact_ratio(0.0) == 0


@quickly
@hypothesis.given(
    values=st.lists(st.integers(0, 9), min_size=1, max_size=30), cut=st.integers(0, 30), percents=percent
)
def test_the_threshold_is_the_value_at_the_index_of_the_sorted_scores(values, cut, percents):
    scores = [torch.tensor(part, dtype=torch.float32) for part in (values[:cut], values[cut:])]
    threshold = global_threshold(scores, percents / 100)
    if percents == 0:
        assert threshold == -math.inf
    else:
        assert threshold == sorted(values)[len(values) * percents // 100]


@pytest.mark.parametrize("name", ["weight", "channel"])
def test_values_that_are_not_finite_are_refused(toy, name):
    network = toy()
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] = math.nan
        network.norm.weight[0] = math.inf
    with pytest.raises(PrunecalError, match="diverged"):
        ALL[name].prune(network, 0.5)


def test_nothing_to_prune_is_an_error():
    with pytest.raises(PrunecalError, match="nothing"):
        weight.prune(nn.BatchNorm2d(3), 0.5)
