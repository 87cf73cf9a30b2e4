"""Network slimming, against its definition."""

import hypothesis
import torch
from hypothesis import strategies as st

from pytest_prunecal.lab.models.groups import ChannelGroup, channel_groups
from pytest_prunecal.lab.models.layers import ChannelSelection
from pytest_prunecal.lab.models.norms import init_bn_scales
from pytest_prunecal.lab.models.preresnet import preresnet110
from pytest_prunecal.lab.pruners import channel

quickly = hypothesis.settings(max_examples=30)
percent = st.integers(0, 99)


def kept_channels(pruned):
    return pruned.model.norm.running_mean.long().tolist()


@quickly
@hypothesis.given(
    scales=st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    low=percent,
    high=percent,
    size=st.integers(1, 3),
)
def test_channel_keeps_what_is_strictly_above_the_threshold(toy, pruned_and_floored, scales, low, high, size):
    network = toy(3, len(scales), size)
    network.norm.running_mean.copy_(torch.arange(len(scales)))
    network.norm.weight.data.copy_(torch.tensor(scales))
    some, more = (pruned_and_floored(channel, network, percents / 100) for percents in sorted((low, high)))
    sizes = [abs(scale) for scale in scales]
    for (pruned, floored), percents in zip((some, more), sorted((low, high)), strict=True):
        threshold = sorted(sizes)[len(sizes) * percents // 100] if percents else -1
        above = [c for c, value in enumerate(sizes) if value > threshold]
        assert kept_channels(pruned) == (above or [sizes.index(max(sizes))])
        assert floored == ([] if above else ["conv"])
    assert set(kept_channels(more[0])) <= set(kept_channels(some[0]))


def test_untrained_scales_leave_one_channel_everywhere_and_the_network_still_works(pruned_and_floored):
    network = preresnet110(width=0.25).eval()
    init_bn_scales(network)
    pruned, floored = pruned_and_floored(channel, network, 0.1)
    assert len(floored) == len(channel_groups(network))
    assert {floored[0], floored[1], floored[-1]} == {"layer1.0.bn1", "layer1.0.conv1", "bn"}
    assert pruned.model.fc.in_features == 1
    assert pruned.model(torch.randn(1, 3, 8, 8)).shape == (1, 10)


def test_pruning_a_pruned_selection_counts_only_what_is_left(network_of, quiet):
    once = quiet(channel, network_of("preresnet110"), 0.3).model
    twice = quiet(channel, once, 0.3).model
    first, second = once.select.index, twice.select.index
    assert set(second.tolist()) < set(first.tolist())
    assert twice.fc.in_features == second.numel()
    assert twice.bn.num_features == once.bn.num_features
    with torch.no_grad():
        assert twice(torch.randn(1, 3, 8, 8).double()).shape == (1, 10)


def test_a_users_own_selection_is_set(toy):
    network = toy()
    network.pick = ChannelSelection(5)
    network.forward = lambda x: type(network).forward(network, x)
    network.channel_groups = lambda: [ChannelGroup(bn="norm", selection="pick", consumers=("head",))]
    network.norm.weight.data.copy_(torch.tensor([1.0, -5.0, 2.0, 4.0, -3.0]))
    model = channel.prune(network, 0.4).model
    assert model.pick.index.tolist() == [1, 3]
    assert model.norm.num_features == 5
    assert model.head.in_features == 18
