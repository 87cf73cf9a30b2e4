"""Networks that show a wrong pruner, and what the tests of several pruners share."""

import functools
import importlib
import re
import warnings

import pytest
import torch
from torch import nn

from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.pruners.base import PruneWarning
from pytest_prunecal.study.builtin import MODELS


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


@pytest.fixture(scope="session")
def images_for():
    """Make images that a network takes."""

    def make(network, count=2, size=16):
        draw = torch.Generator().manual_seed(1)
        like = next(network.parameters())
        size = size if type(network).__name__ == "VGG" else size // 2
        return torch.randn(count, like.shape[1], size, size, generator=draw).to(like)

    return make


@pytest.fixture(scope="session")
def randomise_norms(images_for):
    """Give every BN scales, shifts and statistics that no removed channel could hide behind.

    The statistics are those of random images, distorted: with arbitrary ones hardly any signal gets through
    a deep network, and a comparison of outputs would show nothing.
    """

    def randomise(network, seed=0):
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

    return randomise


@pytest.fixture(scope="session")
def network_of(randomise_norms):
    """Build a narrow network in float64, so that equal means equal; never modified (which is tested too)."""

    @functools.cache
    def build(name):
        module, _, builder = MODELS[name].partition(":")
        torch.manual_seed(0)
        return randomise_norms(getattr(importlib.import_module(module), builder)(width=0.25)).double().eval()

    return build


@pytest.fixture(scope="session")
def toy(randomise_norms):
    """Build a user's own network."""

    def build(*shape, seed=0):
        torch.manual_seed(seed)
        return randomise_norms(Toy(*shape), seed).eval()

    return build


@pytest.fixture(scope="session")
def pruned_and_floored():
    """Prune; gives the network and the layers of which the warnings say that they kept their last channel."""

    def prune(pruner, network, ratio):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pruned = pruner.prune(network, float(ratio))
        texts = [str(warning.message) for warning in caught if warning.category is PruneWarning]
        found = [re.fullmatch(r"ratio \S+ would have emptied (\S+); it keeps .*", text) for text in texts]
        return pruned, [match[1] for match in found]

    return prune


@pytest.fixture(scope="session")
def quiet(pruned_and_floored):
    """Prune without the floor's warnings."""
    return lambda *args: pruned_and_floored(*args)[0]


@pytest.fixture(scope="session")
def same_state():
    """Whether two networks' states are equal to the bit."""

    def equal(left, right):
        return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)

    return equal
