"""Filter and channel pruning of networks that declare no channel groups."""

from __future__ import annotations

import copy
import sys
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.pruners import channel, graph
from pytest_prunecal.lab.pruners import filter as filters
from pytest_prunecal.lab.pruners.base import PruneWarning
from pytest_prunecal.lab.pruners.cut import masked, without

tp = pytest.importorskip("torch_pruning")

pytestmark = pytest.mark.usefixtures("one_thread")


class Depthwise(nn.Module):
    """The block of every MobileNet."""

    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.dw, self.b2 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.pw, self.fc = nn.Conv2d(8, 6, 1), nn.Linear(6, 10)

    def forward(self, x):
        x = torch.relu(self.b1(self.c1(x)))
        return self.fc(torch.relu(self.pw(self.b2(self.dw(x)))).mean((2, 3)))


class Added(nn.Module):
    """Two convs whose outputs are added up, and a third behind a flattened map."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 6, 3, stride=4, padding=1)
        self.fc = nn.Linear(6 * 4 * 4, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.last(torch.relu(self.norm(self.left(x) + self.right(x))))).flatten(1))


class Grouped(nn.Module):
    """A grouped conv and a GroupNorm: each of their groups must lose the same places."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3, groups=4)
        self.norm, self.fc = nn.GroupNorm(2, 12), nn.Linear(12, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.c2(torch.relu(self.c1(x))))).mean((2, 3)))


class Concatenated(nn.Module):
    """Two maps side by side."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 3)
        self.norm, self.both, self.fc = nn.BatchNorm2d(10), nn.Conv2d(10, 8, 1), nn.Linear(8, 10)

    def forward(self, x):
        maps = self.norm(torch.cat([self.left(x), self.right(x)], 1))
        return self.fc(torch.relu(self.both(torch.relu(maps))).mean((2, 3)))


class Auxiliary(nn.Module):
    """A head that only training has."""

    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.fc, self.aux = nn.Linear(8, 10), nn.Linear(8, 10)

    def forward(self, x):
        maps = torch.relu(self.b1(self.c1(x))).mean((2, 3))
        return (self.fc(maps), self.aux(maps)) if self.training else self.fc(maps)


class Transformer(nn.Module):
    """Torch's own encoder."""

    def __init__(self):
        super().__init__()
        self.patch, self.pos = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 16, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True)
        self.encoder, self.fc = nn.TransformerEncoder(layer, 2), nn.Linear(16, 10)

    def forward(self, x):
        return self.fc(self.encoder(self.patch(x).flatten(2).transpose(1, 2) + self.pos).mean(1))


class Chunked(nn.Module):
    """Halves that are multiplied, and so must stay equal."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 6, 1), nn.Linear(6, 10)

    def forward(self, x):
        left, right = self.c1(x).chunk(2, 1)
        return self.fc(torch.relu(self.c2(left * right)).mean((2, 3)))


class Flipped(nn.Module):
    """Channels in another order, of which the graph knows nothing."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.fc = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 4, 1), nn.Linear(4, 10)
        self.norm = nn.BatchNorm2d(32)

    def forward(self, x):
        return self.fc(torch.relu(self.c2(self.norm(self.c1(x)).flip(1))).mean((2, 3)))


class Tied(nn.Module):
    """Two layers, one weight."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.c3 = (nn.Conv2d(inputs, 8, 3, padding=1) for inputs in (3, 8, 8))
        self.c3.weight = self.c2.weight
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.c3(torch.relu(self.c2(torch.relu(self.c1(x)))))).mean((2, 3)))


def mlp():
    """No conv at all."""
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Linear(16, 10))


NETWORKS = (Depthwise, Added, Grouped, Concatenated, Auxiliary, Transformer, Chunked, Flipped, mlp)


def made(build, seed=0):
    torch.manual_seed(seed)
    network = build().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.1, 1)
            module.running_mean.normal_(0, 0.1)
            module.bias.data.normal_()
    return network, torch.randn(4, 3, 16, 16)


def quietly(prune, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeasurementWarning)
        return prune(*arguments)


def shapes(network):
    return [tuple(parameter.shape) for parameter in network.parameters() if parameter.ndim > 1]


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
@settings(max_examples=4, deadline=None)
@given(ratio=st.integers(1, 90), seed=st.integers(0, 3))
def test_the_smaller_network_computes_what_the_masked_one_does(build, ratio, seed):
    network, images = made(build, seed)
    before = copy.deepcopy(network.state_dict())
    cuts = quietly(graph.filter_cuts, network, ratio / 100, images)
    small = without(network, cuts)
    with torch.no_grad():
        full = masked(network, cuts, small)(images)
        torch.testing.assert_close(small(images), full, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == [False] * len([*network.modules()])
    small.train()(images)


def test_zeros_in_a_plain_network_are_what_the_smaller_one_lacks():
    """Without our masks: what reads the channels is set to zero by hand."""
    network, images = made(Depthwise)
    small = filters.prune(network, 0.5, images).model
    norms = network.c1.weight.abs().sum((1, 2, 3)) + network.dw.weight.abs().sum((1, 2, 3))
    network.pw.weight.data[:, norms.argsort()[:4]] = 0
    ends = network.pw.weight.new_zeros(6)
    ends[made(Depthwise)[0].pw.weight.abs().sum((1, 2, 3)).argsort(descending=True)[:3]] = 1
    network.fc.weight.data *= ends
    with torch.no_grad():
        torch.testing.assert_close(small(images), network(images))


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_filters_are_kept_by_the_norm_of_all_that_makes_a_channel(ratio):
    network, images = made(Added)
    norms = sum(conv.weight.detach().double().abs().sum((1, 2, 3)) for conv in (network.left, network.right))
    pruned = quietly(filters.prune, network, ratio, images).model
    count = max(round(8 * (1 - ratio) - 0.5 + 1e-9), 1)
    best = norms.argsort(descending=True)[:count].sort().values
    assert torch.equal(pruned.left.weight, network.left.weight[best])
    assert torch.equal(pruned.right.weight, network.right.weight[best])
    assert torch.equal(pruned.norm.running_mean, network.norm.running_mean[best])
    assert pruned.fc.in_features == 16 * pruned.last.out_channels


def test_channels_are_ranked_over_the_whole_network_by_the_mean_of_their_scales():
    network, images = made(Depthwise)
    scales = (network.b1.weight + network.b2.weight).detach() / 2
    pruned = quietly(channel.prune, network, 0.5, images).model
    kept = scales > scales.sort().values[4]
    assert torch.equal(pruned.c1.weight, network.c1.weight[kept])
    assert torch.equal(pruned.dw.weight, network.dw.weight[kept])
    assert pruned.pw.out_channels == 6  # no batch norm, so it is left alone


def test_groups_lose_the_same_places():
    network, images = made(Grouped)
    pruned = filters.prune(network, 0.5, images).model
    assert (pruned.c2.in_channels, pruned.c2.out_channels, pruned.c2.groups) == (4, 12 - 12 // 2, 4) or (
        pruned.c2.groups == 4 and pruned.c2.out_channels % 4 == 0
    )
    assert pruned.norm.num_channels % pruned.norm.num_groups == 0
    pruned(images)


def test_attention_of_torch_gets_narrower_in_every_head():
    network, images = made(Transformer)
    pruned = filters.prune(network, 0.5, images).model
    attention = pruned.encoder.layers[0].self_attn
    assert (attention.embed_dim, attention.num_heads, attention.head_dim) == (8, 4, 2)
    assert pruned.encoder.layers[0].linear1.out_features == 16
    assert pruned.pos.shape == (1, 16, 8)


def test_a_head_that_only_training_has_gets_narrower_too():
    network, images = made(Auxiliary)
    pruned = filters.prune(network, 0.5, images).model
    assert pruned.aux.in_features == pruned.fc.in_features == 4
    assert [len(one) for one in pruned.train()(images)] == [4, 4]


def test_the_same_whatever_was_pruned_before():
    network, images = made(Concatenated)
    first = quietly(filters.prune, network, 0.5, images).model
    for build in NETWORKS:
        other, its = made(build)
        quietly(filters.prune, other, 0.3, its)
    again = quietly(filters.prune, network, 0.5, images).model
    assert shapes(first) == shapes(again)
    assert all(
        torch.equal(left, right) for left, right in zip(first.parameters(), again.parameters(), strict=True)
    )


def test_what_can_be_pruned_does_not_depend_on_the_weights():
    shaped = set()
    for seed in range(3):
        network, images = made(Flipped, seed)
        if seed == 2:
            network.c2.weight.data.zero_()  # nothing gets through: no output shows a mistake
            network.norm.running_var.fill_(torch.nan)  # nor does what it has seen take part
        shaped.add(tuple(shapes(quietly(filters.prune, network, 0.5, images).model)))
    assert len(shaped) == 1


def test_frozen_parameters_stay_frozen():
    network, images = made(Depthwise)
    network.c1.requires_grad_(requires_grad=False)
    pruned = filters.prune(network, 0.5, images).model
    assert not pruned.c1.weight.requires_grad
    assert pruned.dw.weight.requires_grad


def test_ratio_zero_prunes_nothing():
    network, images = made(Added)
    assert shapes(filters.prune(network, 0.0, images).model) == shapes(network)


@pytest.mark.parametrize("build", [mlp, Grouped, Transformer], ids=lambda build: build.__name__)
def test_no_batch_norm_is_an_error_that_names_what_to_use(build):
    network, images = made(build)
    with pytest.raises(
        PrunecalError, match="ranks the scales of batch norms, and this network has none; prune"
    ):
        channel.prune(network, 0.5, images)


def test_nothing_to_prune_is_an_error_that_names_layers():
    network, images = made(Tied)
    with pytest.raises(PrunecalError, match=r"nothing can be removed: .*c2.*shared with another layer"):
        filters.prune(network, 0.5, images)


def test_less_than_half_is_a_warning_that_names_layers():
    network, images = made(Flipped)
    with pytest.warns(MeasurementWarning, match=r"less than half of what ratio 0\.5 asks; left alone: .*c1"):
        filters.prune(network, 0.5, images)


def test_a_floor_is_said():
    network, images = made(Added)
    with pytest.warns(PruneWarning, match=r"ratio 0\.9 would have emptied"):
        filters.prune(network, 0.9, images)


def test_the_missing_library_is_one_sentence_with_the_command(monkeypatch):
    network, images = made(Added)
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(PrunecalError, match=r"needs Torch-Pruning, .*: pip install 'torch-pruning>=1\.6'"):
        filters.prune(network, 0.5, images)


def test_the_library_counts_as_many_parameters():
    """Torch-Pruning's own pruner of magnitudes, on a network that both prune whole."""
    network, images = made(Added)
    small = filters.prune(network, 0.5, images).model
    theirs = copy.deepcopy(network)
    tp.pruner.MagnitudePruner(
        theirs, images, tp.importance.MagnitudeImportance(p=1), pruning_ratio=0.5, ignored_layers=[theirs.fc],
        in_channel_groups={}, out_channel_groups={}, num_heads={},
    ).step()  # fmt: skip
    assert shapes(small) == shapes(theirs)


def test_windows_of_attention_end_and_leave_hidden_layers_to_prune():
    """Their graph multiplies channels at every shift of windows; the layers between others get narrower."""
    swin = pytest.importorskip("torchvision.models.swin_transformer")
    torch.manual_seed(0)
    network = swin.SwinTransformer([4, 4], 12, [2, 2], [3, 6], [7, 7], num_classes=10).eval()
    with pytest.warns(MeasurementWarning, match="left alone: .*attention keeps its heads and their width"):
        small = filters.prune(network, 0.5, torch.randn(2, 3, 64, 64)).model
    hidden = [layer.mlp[0].out_features for stage in (1, 3) for layer in small.features[stage]]
    assert hidden == [24, 24, 48, 48]
    assert small.features[1][0].attn.qkv.out_features == 36
