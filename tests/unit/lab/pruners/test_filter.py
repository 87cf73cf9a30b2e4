"""Filter pruning, against its definition and torch-pruning."""

import copy
from fractions import Fraction

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from pytest_prunecal.lab.models.vgg import vgg19
from pytest_prunecal.lab.pruners import filter as filter_pruner

RATIOS = [Fraction(tenths, 10) for tenths in range(1, 8)]
quickly = hypothesis.settings(max_examples=30)
percent = st.integers(0, 99)


def kept_channels(pruned):
    return pruned.model.norm.running_mean.long().tolist()


@pytest.mark.parametrize("ratio", RATIOS, ids=float)
def test_filter_pruning_agrees_with_torch_pruning(randomise_norms, same_state, ratio):
    tp = pytest.importorskip("torch_pruning")
    torch.manual_seed(0)
    network = randomise_norms(vgg19(width=0.25)).eval()
    images = torch.randn(2, 3, 16, 16)
    importance = tp.importance.MagnitudeImportance(
        p=1, group_reduction="first", normalizer=None, target_types=[nn.Conv2d]
    )
    reference = copy.deepcopy(network)
    graph = tp.DependencyGraph().build_dependency(reference, example_inputs=images)
    convs = {key: m for key, m in reference.named_modules() if isinstance(m, nn.Conv2d)}
    gone = {}
    for key, conv in convs.items():  # every score is taken before the first cut
        everything = graph.get_pruning_group(conv, tp.prune_conv_out_channels, list(range(conv.out_channels)))
        count = conv.out_channels - int(conv.out_channels * (1 - ratio))
        gone[key] = importance(everything).argsort()[:count].tolist()
    for key, conv in convs.items():
        graph.get_pruning_group(conv, tp.prune_conv_out_channels, gone[key]).prune()

    pruned = filter_pruner.prune(network, float(ratio)).model
    assert same_state(pruned.state_dict(), reference.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(pruned(images), reference(images), rtol=1e-5, atol=1e-5)


@quickly
@hypothesis.given(
    norms=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    low=percent,
    high=percent,
    size=st.integers(1, 3),
)
def test_filter_keeps_the_largest_and_the_first_of_equals(toy, pruned_and_floored, norms, low, high, size):
    network = toy(3, len(norms), size)
    network.norm.running_mean.copy_(torch.arange(len(norms)))
    with torch.no_grad():
        for conv_filter, norm in zip(network.conv.weight, norms, strict=True):
            conv_filter.fill_(norm / 8)  # sums are exact, so equal norms are equal
    some, more = (
        pruned_and_floored(filter_pruner, network, percents / 100) for percents in sorted((low, high))
    )
    for (pruned, floored), percents in zip((some, more), sorted((low, high)), strict=True):
        count = len(norms) * (100 - percents) // 100
        order = sorted(range(len(norms)), key=lambda c: (-norms[c], c))
        assert kept_channels(pruned) == sorted(order[: max(count, 1)])
        assert ("conv" in floored) == (count == 0)
        assert pruned.model(torch.randn(2, 2, size, size)).shape == (2, 4)
    assert set(kept_channels(more[0])) <= set(kept_channels(some[0]))


def test_a_flattened_head_and_a_conv_with_bias_are_cut_in_the_right_places(toy):
    network = toy()
    pruned = filter_pruner.prune(network, 0.4).model
    masked = copy.deepcopy(network)
    with torch.no_grad():
        norms = masked.stem.weight.abs().sum((1, 2, 3))
        masked.stem.weight[norms.argsort()[:3]] = 0
        masked.stem.bias[norms.argsort()[:3]] = 0
        norms = network.conv.weight.abs().sum((1, 2, 3))
        masked.norm.weight[norms.argsort()[:2]] = 0
        masked.norm.bias[norms.argsort()[:2]] = 0
        images = torch.randn(4, 2, 3, 3)
        assert (pruned.stem.out_channels, pruned.conv.out_channels, pruned.head.in_features) == (3, 3, 27)
        torch.testing.assert_close(pruned(images), masked(images), rtol=1e-5, atol=1e-5)
