"""Parameters, multiply-accumulates and sparsity, against torch's own counter and by hand."""

import copy
import importlib

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.metrics.complexity import macs, parameters, sparsity, weights
from pytest_prunecal.lab.models.preresnet import preresnet164
from pytest_prunecal.lab.models.resnet import resnet20, resnet110
from pytest_prunecal.lab.models.vgg import vgg19
from pytest_prunecal.lab.pruners import channel, weight
from pytest_prunecal.lab.pruners import filter as filter_pruner
from pytest_prunecal.study.builtin import MODELS


def counted_by_torch(network, shape):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(("builder", "millions"), [(vgg19, 398.1), (resnet110, 252.9), (preresnet164, 247.6)])
def test_macs_of_the_table(builder, millions):
    network = builder()
    count = macs(network, (3, 32, 32))
    assert round(count / 1e6, 1) == millions
    assert count == counted_by_torch(network, (3, 32, 32))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(3, 16, 16), (3, 33, 20)])
def test_macs_are_half_of_torchs_flops(name, shape):
    module, _, builder = MODELS[name].partition(":")
    network = getattr(importlib.import_module(module), builder)(width=0.25)
    assert macs(network, shape) == counted_by_torch(network, shape)


@pytest.mark.parametrize("pruner", [filter_pruner, channel], ids=["filter", "channel"])
def test_macs_of_a_smaller_network(pruner):
    network = vgg19(width=0.1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
    pruned = pruner.prune(network, 0.3).model
    assert macs(pruned, (3, 16, 16)) == counted_by_torch(pruned, (3, 16, 16)) < macs(network, (3, 16, 16))


def test_macs_of_grouped_and_one_dimensional_convs_and_of_linear_over_positions():
    network = nn.Sequential(
        nn.Conv2d(4, 8, (3, 2), groups=2, stride=2), nn.Flatten(2), nn.Conv1d(8, 6, 3), nn.Linear(4, 5)
    )
    # (8, 2, 3) after the first conv, (8, 6) flattened, (6, 4), (6, 5)
    assert macs(network, (4, 6, 7)) == 8 * 2 * 3 * 2 * 6 + 6 * 4 * 8 * 3 + 6 * 5 * 4


class Restless(nn.Module):
    """Draws random numbers and counts its calls, in every mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4).eval()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.norm(self.conv(x)) + torch.rand(())


def test_macs_leave_model_modes_and_generator_alone():
    network = Restless()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    torch.manual_seed(5)
    macs(network, (3, 8, 8))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_macs_follow_the_models_dtype():
    assert macs(resnet20(width=0.25).double(), (3, 8, 8)) == macs(resnet20(width=0.25), (3, 8, 8))


def test_an_image_that_does_not_fit_is_one_clear_line():
    with pytest.raises(PrunecalError, match=r"^VGG cannot take a 3x8x8 image: .*$"):
        macs(vgg19(width=0.1), (3, 8, 8))
    with pytest.raises(PrunecalError, match="cannot take a 1x16x16 image"):
        macs(vgg19(width=0.1), (1, 16, 16))


def test_parameters_count_shared_ones_once_and_buffers_never():
    shared = nn.Linear(3, 3)
    assert parameters(nn.Sequential(shared, shared, nn.BatchNorm1d(3))) == 12 + 6


def test_weights_are_those_of_convs_and_linear_layers_each_once():
    shared = nn.Linear(4, 4)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), shared, shared)
    assert weights(network) == 3 * 4 * 9 + 4 * 4


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_the_published_networks_are_those_of_their_convs(name):
    module, _, builder = MODELS[name].partition(":")
    network = getattr(importlib.import_module(module), builder)(width=0.25)
    convs = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert weights(network) == sum(weight.numel() for weight in convs)


def test_sparsity_counts_zeros_and_removed_weights_alike():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 1, 1))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[1].weight.copy_(torch.tensor([1.0, 0.0, -1.0, -0.0]).view(1, 4, 1, 1))
    assert sparsity(network, 8) == 0.25
    assert sparsity(network, 12) == 0.5
    for impossible in (5, 0):
        with pytest.raises(PrunecalError, match="6 nonzero"):
            sparsity(network, impossible)
    assert sparsity(nn.Sequential(nn.ReLU()), 0) == 0


class Attentive(nn.Module):
    """One block of a transformer over the rows of an image, and a position that no layer has."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(6, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        return self.head(self.block(images.mean(1) + self.position).mean(1))


def test_attention_and_its_transformer_are_counted_though_torch_has_a_way_around_the_modules():
    network = Attentive()
    tokens, width, hidden = 6, 8, 16
    projections = 4 * tokens * width * width
    assert macs(network, (3, 6, 8)) == projections + 2 * tokens * width * hidden + width * 4
    assert torch.backends.mha.get_fastpath_enabled()
    assert weights(network) == 4 * width * width + 2 * width * hidden + width * 4


def test_sparsity_of_pruned_networks():
    network = resnet20(width=0.5)
    dense = weights(network)
    assert sparsity(network, dense) == 0
    assert sparsity(weight.prune(network, 0.3).model, dense) == pytest.approx(0.3, abs=2 / dense)
    smaller = filter_pruner.prune(network, 0.5).model
    assert sparsity(smaller, dense) == 1 - weights(smaller) / dense > 0.4


def test_macs_of_transposed_convs_are_half_of_torchs_flops():
    network = nn.Sequential(
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.Flatten(2), nn.ConvTranspose1d(6, 5, 4)
    )
    assert macs(network, (4, 6, 7)) == 4 * 6 * 7 * 3 * 9 + 6 * 13 * 15 * 5 * 4
    assert macs(network[:1], (4, 6, 7)) == counted_by_torch(network[:1], (4, 6, 7))
