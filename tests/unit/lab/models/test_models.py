"""The built-in networks: the table's sizes, shapes, shortcuts, initialisation, names."""

import importlib
import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.groups import ChannelGroup, channel_groups
from pytest_prunecal.lab.models.layers import ChannelSelection, scaled
from pytest_prunecal.lab.models.resnet import BasicBlock, resnet20
from pytest_prunecal.study.builtin import MODELS

PARAMETERS = {
    "vgg19": 20_035_018,
    "resnet20": 269_722,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "preresnet110": 1_146_842,
    "preresnet164": 1_703_258,
}


def build(name, **options):
    module, _, builder = MODELS[name].partition(":")
    return getattr(importlib.import_module(module), builder)(**options)


def test_the_registries_do_not_import_torch():
    registries = "pytest_prunecal.lab.models, pytest_prunecal.lab.pruners"
    code = f"import sys, {registries}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_model_of_the_table_is_registered():
    assert list(MODELS) == list(PARAMETERS)


@pytest.mark.parametrize("name", MODELS)
def test_parameter_count(name):
    assert sum(p.numel() for p in build(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (33, 17)])
def test_logits_for_every_image_size(name, size):
    network = build(name, num_classes=7, width=0.25).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, *size)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet20", "preresnet110"])
def test_residual_networks_take_tiny_images(name):
    with torch.no_grad():
        assert build(name, width=0.25).eval()(torch.randn(2, 3, 3, 5)).shape == (2, 10)


def test_vgg19_has_16_convs_without_bias_and_4_pools():
    modules = list(build("vgg19", width=0.1).modules())
    convs = [m for m in modules if isinstance(m, nn.Conv2d)]
    assert len(convs) == sum(isinstance(m, nn.BatchNorm2d) for m in modules) == 16
    assert sum(isinstance(m, nn.MaxPool2d) for m in modules) == 4
    assert all(conv.bias is None and conv.kernel_size == (3, 3) for conv in convs)


@pytest.mark.parametrize("name", MODELS)
def test_convs_are_he_initialised_and_bn_is_neutral(name):
    torch.manual_seed(0)
    network = build(name)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5_000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_the_global_seed_decides_the_initial_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return build("preresnet110", width=0.25).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_option_a_shortcut_takes_every_second_pixel_and_pads_zero_channels_on_both_sides():
    block = BasicBlock(2, 5, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 2, 5, 4)
    expected = torch.zeros(1, 5, 3, 2)
    expected[:, 1:3] = x[:, :, ::2, ::2]
    assert torch.equal(block(x), expected)


@pytest.mark.parametrize("name", ["preresnet110", "preresnet164"])
def test_projections_act_on_the_raw_input_of_each_stage(name):
    network = build(name, width=0.25)
    projections = [key for key, m in network.named_modules() if key.endswith("downsample") and m is not None]
    assert projections == [f"layer{stage}.0.downsample" for stage in (1, 2, 3)]
    block = network.layer2[0].eval()
    nn.init.zeros_(block.conv3.weight)
    x = torch.randn(1, block.bn1.num_features, 6, 6)
    assert torch.equal(block(x), block.downsample(x))


@pytest.mark.parametrize("name", MODELS)
def test_rectified_maps_enter_every_conv_but_the_first_and_the_projections(name):
    network = build(name, width=0.25).train()
    rectified = []
    for key, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and not key.endswith("downsample"):
            module.register_forward_pre_hook(lambda _, inputs: rectified.append(bool((inputs[0] >= 0).all())))
    with torch.no_grad():
        network(torch.randn(4, 3, 16, 16))
    assert rectified.count(False) == 1
    assert not rectified[0]


def test_resnet20_takes_the_names_of_shared_checkpoints():
    names = [f"{layer}.weight" for layer in ("conv1", "linear")] + ["linear.bias"]
    norms = ["bn1"]
    for block in (f"layer{stage}.{i}" for stage in (1, 2, 3) for i in range(3)):
        names += [f"{block}.conv1.weight", f"{block}.conv2.weight"]
        norms += [f"{block}.bn1", f"{block}.bn2"]
    names += [f"{bn}.{key}" for bn in norms for key in ("weight", "bias", "running_mean", "running_var")]
    target = resnet20()
    state = {name: torch.full_like(target.state_dict()[name], 2.0) for name in names}
    target.load_state_dict(state, strict=True)  # num_batches_tracked may be absent
    assert all((parameter == 2).all() for parameter in target.parameters())


def test_width_scales_every_channel_count_but_keeps_one():
    assert [scaled(16, w) for w in (1, 0.25, 0.1, 0.01)] == [16, 4, 2, 1]
    network = build("vgg19", width=0.25)
    assert network.features.conv16.out_channels == network.classifier.in_features == 128
    with torch.no_grad():
        assert build("preresnet110", width=0.01).eval()(torch.randn(1, 3, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["vgg19", "resnet20", "preresnet110"])
def test_a_width_that_is_no_positive_number_is_refused(name, width):
    with pytest.raises(PrunecalError, match="width"):
        build(name, width=width)


def test_channel_selection_passes_on_what_its_index_says():
    selection = ChannelSelection(4)
    x = torch.randn(2, 4, 3, 3)
    assert selection(x) is x
    selection.index = torch.tensor([0, 3])
    assert torch.equal(selection(x), x[:, [0, 3]])
    assert "index" in selection.state_dict()
    assert selection.half().index.dtype == torch.int64


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("vgg19", 16),
        ("resnet20", 9),
        ("resnet56", 27),
        ("resnet110", 54),
        ("preresnet110", 3 * 36 + 1),
        ("preresnet164", 3 * 54 + 1),
    ],
)
def test_channel_groups_cover_what_can_be_pruned(name, groups):
    network = build(name, width=0.25)
    declared = channel_groups(network)
    assert len(declared) == groups
    norms = {key for key, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    grouped = [group.bn for group in declared]
    assert len(set(grouped)) == len(grouped)
    outside = norms - set(grouped)
    if name.startswith("resnet"):  # the stem's and those added to a shortcut
        assert outside == {"bn1"} | {n for n in norms if n.endswith(".bn2")}
    else:
        assert not outside


def test_a_group_needs_either_a_producer_or_a_selection():
    with pytest.raises(PrunecalError, match="either"):
        ChannelGroup(consumers=("b",), bn="bn")
    with pytest.raises(PrunecalError, match="either"):
        ChannelGroup(consumers=("b",), bn="bn", producer="a", selection="s")
    with pytest.raises(PrunecalError, match="bn"):
        ChannelGroup(consumers=("b",), selection="s")
