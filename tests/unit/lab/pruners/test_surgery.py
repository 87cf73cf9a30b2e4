"""Networks made smaller, by filter and channel pruning: they compute what masked dense ones do."""

import sys
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.func import functional_call

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.models.preresnet import preresnet110
from pytest_prunecal.lab.models.resnet import resnet20
from pytest_prunecal.lab.models.vgg import vgg19
from pytest_prunecal.lab.pruners import channel, weight
from pytest_prunecal.lab.pruners import filter as filter_pruner
from pytest_prunecal.lab.pruners.base import PruneWarning
from pytest_prunecal.lab.pruners.surgery import narrow_batch_norm, narrow_conv_outputs, narrow_inputs
from pytest_prunecal.study.builtin import MODELS

RATIOS = [Fraction(tenths, 10) for tenths in range(1, 8)]
STRUCTURED = {"filter": filter_pruner, "channel": channel}


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
def test_a_smaller_network_computes_what_the_masked_dense_one_does(
    network_of, images_for, quiet, model, name, ratio
):
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


@pytest.mark.parametrize("name", STRUCTURED)
def test_a_layer_keeps_its_last_channel_and_says_so(toy, name):
    network = toy(10, 5)
    nn.init.constant_(network.norm.weight, 0.5)
    kept = {"filter": "filter", "channel": "channel"}[name]
    says = f"ratio 0.9 would have emptied conv; it keeps its largest {kept}"
    with pytest.warns(PruneWarning, match=says) as caught:
        pruned = STRUCTURED[name].prune(network, 0.9)
    assert len(caught) == 1
    assert pruned.model.norm.num_features == pruned.model.conv.out_channels == 1
    assert pruned.model.head.in_features == 9


@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("builder", [vgg19, resnet20, preresnet110])
def test_a_smaller_network_trains(randomise_norms, quiet, builder, name):
    network = randomise_norms(builder(width=0.25))
    model = quiet(STRUCTURED[name], network, 0.5).model
    assert all(module.training for module in model.modules())
    model(torch.randn(4, 3, 16, 16)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.load_state_dict(quiet(STRUCTURED[name], network, 0.5).model.state_dict())


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


@pytest.fixture
def declaring(toy):
    """Make a network that declares the groups."""

    def make(*groups):
        network = toy()
        network.channel_groups = lambda: list(groups)
        return network

    return make


@pytest.mark.parametrize("name", STRUCTURED)
def test_a_network_without_channel_groups_is_told_what_it_needs(monkeypatch, declaring, name):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(PrunecalError, match=f"{name} pruning of Sequential: it needs two normalised images"):
        STRUCTURED[name].prune(network, 0.5)
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(PrunecalError, match=r"Sequential needs .*or give the network a method `channel_g"):
        STRUCTURED[name].prune(network, 0.5, torch.zeros(2, 3, 8, 8))
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
def test_groups_that_do_not_fit_are_named(declaring, group, message):
    with pytest.raises(PrunecalError, match=message):
        filter_pruner.prune(declaring(group), 0.5)


def test_grouped_convs_and_scaleless_norms_are_refused(toy):
    network = toy(4, 4)
    network.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
    with pytest.raises(PrunecalError, match="groups=2"):
        filter_pruner.prune(network, 0.5)
    network.norm = nn.BatchNorm2d(4, affine=False)
    with pytest.raises(PrunecalError, match="affine=False"):
        channel.prune(network, 0.5)
