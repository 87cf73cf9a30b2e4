"""The pruners, against their definitions, torch's own pruning, torch-pruning, and masked dense networks."""

import copy
import functools
import importlib
import math
import re
import warnings
from fractions import Fraction

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.utils import prune as torch_prune

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.groups import ChannelGroup, channel_groups
from pytest_prunecal.lab.models.layers import ChannelSelection
from pytest_prunecal.lab.models.preresnet import preresnet110
from pytest_prunecal.lab.models.resnet import resnet20
from pytest_prunecal.lab.models.vgg import vgg19
from pytest_prunecal.lab.pruners.base import (
    Pruner,
    PruneWarning,
    exact_ratio,
    global_threshold,
    held_by,
    hold,
)
from pytest_prunecal.lab.pruners.channel import bn_scales, channel, init_bn_scales
from pytest_prunecal.lab.pruners.filter import filter as filter_pruner
from pytest_prunecal.lab.pruners.surgery import narrow_batch_norm, narrow_conv_outputs, narrow_inputs
from pytest_prunecal.lab.pruners.weight import weight
from pytest_prunecal.study.builtin import MODELS, PRUNERS

RATIOS = [Fraction(tenths, 10) for tenths in range(1, 8)]
ALL = {"weight": weight, "filter": filter_pruner, "channel": channel}
STRUCTURED = {"filter": filter_pruner, "channel": channel}
quickly = hypothesis.settings(max_examples=30, deadline=None)
percent = st.integers(0, 99)


def images_for(network, count=2, size=16):
    draw = torch.Generator().manual_seed(1)
    like = next(network.parameters())
    size = size if type(network).__name__ == "VGG" else size // 2
    return torch.randn(count, like.shape[1], size, size, generator=draw).to(like)


def randomise_norms(network, seed=0):
    """Give every BN scales, shifts and statistics that no removed channel could hide behind.

    The statistics are those of random images, distorted: with arbitrary ones hardly any signal gets through
    a deep network, and a comparison of outputs would show nothing.
    """
    draw = torch.Generator().manual_seed(seed)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.normal_(0, 1, generator=draw)
        norm.bias.data.normal_(0, 0.3, generator=draw)
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(
            images_for(network, 8)
            if not isinstance(network, Toy)
            else torch.randn(8, 2, network.size, network.size)
        )
    for norm in norms:
        norm.momentum = 0.1
        norm.running_mean += norm.running_var.sqrt() * torch.randn(norm.num_features, generator=draw) / 4
        norm.running_var *= 0.5 + torch.rand(norm.num_features, generator=draw)
    return network


@functools.cache
def network_of(name):
    """A narrow network in float64, so that equal means equal; never modified (which is tested too)."""
    module, _, builder = MODELS[name].partition(":")
    torch.manual_seed(0)
    return randomise_norms(getattr(importlib.import_module(module), builder)(width=0.25)).double().eval()


class Toy(nn.Module):
    """A user's own network: a conv without BN, a flattened head, a conv with bias."""

    def __init__(self, first=6, second=5, size=3):
        super().__init__()
        self.size = size
        self.stem = nn.Conv2d(2, first, 3, padding=1)
        self.conv = nn.Conv2d(first, second, 3, padding=1)
        self.norm = nn.BatchNorm2d(second)
        self.head = nn.Linear(second * size * size, 4)

    def forward(self, x):
        return self.head(self.norm(self.conv(self.stem(x).relu())).relu().flatten(1))

    def channel_groups(self):
        return [
            ChannelGroup(producer="stem", consumers=("conv",)),
            ChannelGroup(producer="conv", bn="norm", consumers=("head",)),
        ]


def toy(*shape, seed=0):
    torch.manual_seed(seed)
    return randomise_norms(Toy(*shape), seed).eval()


def pruned_and_floored(pruner, network, ratio):
    """Prune; gives the network and the layers of which the warnings say that they kept their last channel."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruned = pruner.prune(network, float(ratio))
    texts = [str(warning.message) for warning in caught if warning.category is PruneWarning]
    found = [re.fullmatch(r"ratio \S+ would have emptied (\S+); it keeps .*", text) for text in texts]
    return pruned, [match[1] for match in found]


def quiet(pruner, network, ratio):
    """Prune without the floor's warnings."""
    return pruned_and_floored(pruner, network, ratio)[0]


def state_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def same_state(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


# --- the interface


def test_the_registry_leads_to_the_pruners():
    for name, target in PRUNERS.items():
        module, _, attribute = target.partition(":")
        assert getattr(importlib.import_module(module), attribute) is ALL[name]
    assert [name for name, pruner in ALL.items() if pruner.slimming] == ["channel"]
    assert all(isinstance(pruner, Pruner) for pruner in ALL.values())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, math.nan, math.inf, -math.inf, 0.99999999])
def test_ratios_out_of_bounds_are_refused(name, ratio):
    with pytest.raises(PrunecalError, match="at least 0 and less than 1"):
        ALL[name].prune(toy(), ratio)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("model", ["vgg19", "resnet20", "preresnet110"])
def test_ratio_zero_prunes_nothing(name, model, recwarn):
    network = network_of(model)
    pruned = ALL[name].prune(network, 0.0)
    assert pruned.model is not network
    assert same_state(pruned.model.state_dict(), network.state_dict())
    assert all(mask.all() for mask in pruned.masks.values())
    assert not recwarn.list


@pytest.mark.parametrize("name", ALL)
@quickly
@hypothesis.given(percents=percent, seed=st.integers(0, 99))
def test_the_input_network_is_left_alone_and_pruning_is_repeatable(name, percents, seed):
    network = toy(seed=seed).train()
    before, parameters = state_of(network), list(network.parameters())
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
def test_values_that_are_not_finite_are_refused(name):
    network = toy()
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] = math.nan
        network.norm.weight[0] = math.inf
    with pytest.raises(PrunecalError, match="diverged"):
        ALL[name].prune(network, 0.5)


def test_nothing_to_prune_is_an_error():
    with pytest.raises(PrunecalError, match="nothing"):
        weight.prune(nn.Linear(3, 3), 0.5)


# --- weight


def conv_masks(pruned):
    return torch.cat([mask.flatten() for mask in pruned.masks.values()])


@pytest.mark.parametrize("ratio", [RATIOS[0], RATIOS[2], RATIOS[6]], ids=float)
@pytest.mark.parametrize("model", ["vgg19", "resnet20", "preresnet110"])
def test_weight_masks_agree_with_torch_up_to_the_threshold_convention(model, ratio):
    network = network_of(model)
    pruned = weight.prune(network, float(ratio))
    reference = copy.deepcopy(network)
    convs = {key: m for key, m in reference.named_modules() if isinstance(m, nn.Conv2d)}
    assert list(pruned.masks) == [f"{key}.weight" for key in convs]
    count = int(sum(conv.weight.numel() for conv in convs.values()) * ratio)
    targets = [(conv, "weight") for conv in convs.values()]
    torch_prune.global_unstructured(targets, torch_prune.L1Unstructured, amount=count)
    kept_by_torch = torch.cat([conv.weight_mask.bool().flatten() for conv in convs.values()])
    kept = conv_masks(pruned)
    assert (kept & ~kept_by_torch).sum() == 0
    assert (kept_by_torch & ~kept).sum() == 1  # torch keeps the threshold itself
    assert (~kept).sum() == count + 1


def test_weight_pruning_zeroes_conv_weights_and_nothing_else():
    network = network_of("preresnet110")
    dense = network.state_dict()
    pruned = weight.prune(network, 0.6)
    for key, value in pruned.model.state_dict().items():
        mask = pruned.masks.get(key, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(value, torch.where(mask, dense[key], torch.zeros_like(value)))
    assert "conv1.weight" in pruned.masks
    assert "layer1.0.downsample.weight" in pruned.masks


@quickly
@hypothesis.given(low=percent, high=percent, seed=st.integers(0, 99))
def test_weight_masks_are_nested_counted_and_idempotent(low, high, seed):
    network = toy(seed=seed)
    low, high = sorted((low, high))
    (some, floored), (more, more_floored) = (
        pruned_and_floored(weight, network, percents / 100) for percents in (low, high)
    )
    assert (conv_masks(some) | ~conv_masks(more)).all()
    total = conv_masks(some).numel()
    for pruned, kept, percents in ((some, floored, low), (more, more_floored, high)):
        gone = total * percents // 100 + 1 if percents else 0
        assert (~conv_masks(pruned)).sum() == gone - len(kept)
    if not floored:
        assert torch.equal(conv_masks(weight.prune(some.model, low / 100)), conv_masks(some))


def test_equal_weights_fall_together_but_every_layer_keeps_its_largest():
    network = toy()
    with torch.no_grad():
        network.stem.weight.fill_(0.5)
        network.conv.weight.fill_(0.5)
        network.conv.weight[2, 1, 0, 0] = -0.6
    says = r"ratio 0.2 would have emptied stem; it keeps its largest weight"
    with pytest.warns(PruneWarning, match=says) as caught:
        pruned = weight.prune(network, 0.2)
    assert len(caught) == 1
    assert pruned.masks["stem.weight"].nonzero().tolist() == [[0, 0, 0, 0]]
    assert pruned.masks["conv.weight"].nonzero().tolist() == [[2, 1, 0, 0]]


def test_masked_weights_stay_zero_through_training():
    network = toy().train()
    pruned = weight.prune(network, 0.5)
    model = pruned.model
    start = state_of(model)
    images = torch.randn(8, 2, 3, 3)
    for _ in range(3):
        model.zero_grad()
        model(images).square().mean().backward()
        with torch.no_grad():  # SGD by hand: importing torch.optim takes seconds
            for parameter in model.parameters():
                parameter.sub_(parameter.grad, alpha=0.1)
        assert any((model.get_parameter(name)[~mask] != 0).any() for name, mask in pruned.masks.items())
        hold(held_by(model, pruned.masks))
    for name, mask in pruned.masks.items():
        assert mask.dtype == torch.bool
        assert (model.get_parameter(name)[~mask] == 0).all()
        assert (model.get_parameter(name)[mask] != start[name][mask]).all()
    assert all(p.requires_grad for p in model.parameters())


# --- filter and channel, against their definitions and the masked dense network


def kept_by_definition(name, network, ratio):
    """BN name -> kept channels, written from the definitions with plain sorting."""
    modules = dict(network.named_modules())
    if name == "filter":
        kept = {}
        for bn, conv in producers(network).items():
            norms = modules[conv].weight.abs().sum((1, 2, 3)).tolist()
            order = sorted(range(len(norms)), key=lambda c: (-norms[c], c))
            kept[bn] = sorted(order[: max(1, int(len(norms) * (1 - ratio)))])
        return kept
    basic = type(network).__name__ == "ResNet"
    ranked = {
        key: module.weight.abs().tolist()
        for key, module in modules.items()
        if isinstance(module, nn.BatchNorm2d) and (not basic or key.endswith(".bn1"))
    }
    scores = sorted(score for values in ranked.values() for score in values)
    threshold = scores[int(len(scores) * ratio)]
    kept = {}
    for key, values in ranked.items():
        above = [c for c, score in enumerate(values) if score > threshold]
        kept[key] = above or [max(range(len(values)), key=values.__getitem__)]
    return kept


def producers(network):
    """BN name -> name of the conv that it follows, for the convs whose outputs meet no shortcut."""
    names = [key for key, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    match type(network).__name__:
        case "VGG":
            return {key.replace("conv", "bn"): key for key in names}
        case "ResNet":
            return {key.replace("conv", "bn"): key for key in names if key.endswith(".conv1")}
        case _:
            inner = [key for key in names if key.endswith((".conv1", ".conv2"))]
            return {key[:-5] + ("bn2" if key.endswith("1") else "bn3"): key for key in inner}


@pytest.mark.parametrize("ratio", RATIOS, ids=float)
@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("model", MODELS)
def test_a_smaller_network_computes_what_the_masked_dense_one_does(model, name, ratio):
    network = network_of(model)
    pruned = quiet(STRUCTURED[name], network, ratio)
    kept = kept_by_definition(name, network, ratio)
    conv_of = producers(network)

    masked = {}
    for bn, channels in kept.items():
        module = network.get_submodule(bn)
        stays = torch.zeros(module.num_features, dtype=torch.bool)
        stays[channels] = True
        masked[f"{bn}.weight"] = module.weight * stays
        masked[f"{bn}.bias"] = module.bias * stays
        following = conv_of.get(bn)
        left = pruned.model.get_submodule(bn).num_features
        assert left == (len(channels) if following else module.num_features)
        if following:
            assert pruned.model.get_submodule(following).weight.shape[0] == len(channels)

    images = images_for(network)
    with torch.no_grad():
        expected = functional_call(network, masked, images)  # a copy of the network would take longer
        torch.testing.assert_close(pruned.model(images), expected, rtol=1e-9, atol=1e-9)
        for something_else in (network(images), expected.flip(0)):
            assert (expected - something_else).abs().max() > 1e-4  # or the comparison would show nothing
    assert pruned.masks == {}
    total = sum(parameter.numel() for parameter in pruned.model.parameters())
    assert total < sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("ratio", RATIOS, ids=float)
def test_filter_pruning_agrees_with_torch_pruning(ratio):
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


def kept_channels(pruned, bn="norm"):
    return pruned.model.get_submodule(bn).running_mean.long().tolist()


@quickly
@hypothesis.given(
    norms=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    low=percent,
    high=percent,
    size=st.integers(1, 3),
)
def test_filter_keeps_the_largest_and_the_first_of_equals(norms, low, high, size):
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


@quickly
@hypothesis.given(
    scales=st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    low=percent,
    high=percent,
    size=st.integers(1, 3),
)
def test_channel_keeps_what_is_strictly_above_the_threshold(scales, low, high, size):
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


@pytest.mark.parametrize("name", STRUCTURED)
def test_a_layer_keeps_its_last_channel_and_says_so(name):
    network = toy(10, 5)
    nn.init.constant_(network.norm.weight, 0.5)
    kept = {"filter": "filter", "channel": "channel"}[name]
    says = f"ratio 0.9 would have emptied conv; it keeps its largest {kept}"
    with pytest.warns(PruneWarning, match=says) as caught:
        pruned = STRUCTURED[name].prune(network, 0.9)
    assert len(caught) == 1
    assert pruned.model.norm.num_features == pruned.model.conv.out_channels == 1
    assert pruned.model.head.in_features == 9


def test_untrained_scales_leave_one_channel_everywhere_and_the_network_still_works():
    network = preresnet110(width=0.25).eval()
    init_bn_scales(network)
    pruned, floored = pruned_and_floored(channel, network, 0.1)
    assert len(floored) == len(channel_groups(network))
    assert {floored[0], floored[1], floored[-1]} == {"layer1.0.bn1", "layer1.0.conv1", "bn"}
    assert pruned.model.fc.in_features == 1
    assert pruned.model(torch.randn(1, 3, 8, 8)).shape == (1, 10)


def test_a_flattened_head_and_a_conv_with_bias_are_cut_in_the_right_places():
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


@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("builder", [vgg19, resnet20, preresnet110])
def test_a_smaller_network_trains(builder, name):
    network = randomise_norms(builder(width=0.25))
    model = quiet(STRUCTURED[name], network, 0.5).model
    assert all(module.training for module in model.modules())
    model(torch.randn(4, 3, 16, 16)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.load_state_dict(quiet(STRUCTURED[name], network, 0.5).model.state_dict())


def test_pruning_a_pruned_selection_counts_only_what_is_left():
    once = quiet(channel, network_of("preresnet110"), 0.3).model
    twice = quiet(channel, once, 0.3).model
    first, second = once.select.index, twice.select.index
    assert set(second.tolist()) < set(first.tolist())
    assert twice.fc.in_features == second.numel()
    assert twice.bn.num_features == once.bn.num_features
    with torch.no_grad():
        assert twice(torch.randn(1, 3, 8, 8).double()).shape == (1, 10)


# --- surgery


def test_narrowing_keeps_dtype_mode_gradient_flag_and_memory_format():
    conv = nn.Conv2d(4, 6, 3, bias=True).half().to(memory_format=torch.channels_last).eval()
    conv.weight.requires_grad_(requires_grad=False)
    full = conv.weight.clone()
    narrow_conv_outputs(conv, torch.tensor([1, 4, 5]))
    narrow_inputs(conv, torch.tensor([0, 3]), 4)
    assert torch.equal(conv.weight, full[[1, 4, 5]][:, [0, 3]])
    assert (conv.out_channels, conv.in_channels, conv.bias.shape) == (3, 2, (3,))
    assert conv.weight.dtype == torch.float16
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert not conv.weight.is_contiguous()
    assert not conv.weight.requires_grad
    assert conv.bias.requires_grad
    assert not conv.training

    for norm in (nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False, track_running_stats=False)):
        narrow_batch_norm(norm, torch.tensor([3]))
        assert norm.num_features == 1
        assert norm(torch.randn(2, 1, 3, 3)).shape == (2, 1, 3, 3)


def declaring(*groups):
    network = toy()
    network.channel_groups = lambda: list(groups)
    return network


@pytest.mark.parametrize("name", STRUCTURED)
def test_a_network_without_channel_groups_is_told_what_to_implement(name):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(PrunecalError, match=r"Sequential need its method `channel_groups\(\)`"):
        STRUCTURED[name].prune(network, 0.5)
    with pytest.raises(PrunecalError, match="at least one"):
        STRUCTURED[name].prune(declaring(), 0.5)
    assert weight.prune(network, 0.5).masks["0.weight"].sum() == 4 * 27 // 2 - 1


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (ChannelGroup(producer="conf", bn="norm", consumers=("head",)), "'conf', which is no module"),
        (
            ChannelGroup(producer="conv", bn="stem", consumers=("head",)),
            "'stem', which is a Conv2d, not a BatchN",
        ),
        (
            ChannelGroup(producer="stem", bn="norm", consumers=("conv",)),
            "'norm' has another width than the 6",
        ),
        (ChannelGroup(producer="conv", bn="norm", consumers=("stem",)), "'stem' reads 2 inputs"),
        (ChannelGroup(producer="conv", bn="norm", consumers=("norm",)), "neither a Conv2d nor a Linear"),
        (ChannelGroup(producer="stem", consumers=("head",)), "'head' reads 45 inputs"),
    ],
)
def test_groups_that_do_not_fit_are_named(group, message):
    with pytest.raises(PrunecalError, match=message):
        filter_pruner.prune(declaring(group), 0.5)


def test_grouped_convs_and_scaleless_norms_are_refused():
    network = toy(4, 4)
    network.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
    with pytest.raises(PrunecalError, match="groups=2"):
        filter_pruner.prune(network, 0.5)
    network.norm = nn.BatchNorm2d(4, affine=False)
    with pytest.raises(PrunecalError, match="affine=False"):
        channel.prune(network, 0.5)


def test_a_users_own_selection_is_set():
    network = toy()
    network.pick = ChannelSelection(5)
    network.forward = lambda x: Toy.forward(network, x)
    network.channel_groups = lambda: [ChannelGroup(bn="norm", selection="pick", consumers=("head",))]
    network.norm.weight.data.copy_(torch.tensor([1.0, -5.0, 2.0, 4.0, -3.0]))
    model = channel.prune(network, 0.4).model
    assert model.pick.index.tolist() == [1, 3]
    assert model.norm.num_features == 5
    assert model.head.in_features == 18


# --- what training with the L1 penalty needs


@pytest.mark.parametrize(("builder", "scales"), [(vgg19, 16), (resnet20, 19), (preresnet110, 109)])
def test_bn_scales_are_all_there_are(builder, scales):
    network = builder(width=0.25)
    init_bn_scales(network)
    found = bn_scales(network)
    assert len(found) == scales
    assert all((scale == 0.5).all() and scale.requires_grad for scale in found)
    own = {id(parameter) for parameter in network.parameters()}
    assert {id(scale) for scale in found} <= own
    init_bn_scales(network, 0.25)
    assert all((scale == 0.25).all() for scale in found)
    assert all((bn.bias == 0).all() for bn in network.modules() if isinstance(bn, nn.BatchNorm2d))
