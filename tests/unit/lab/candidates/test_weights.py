"""Files of weights: the builder's network, narrowed where a pruner took channels away."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.candidates import weights
from pytest_prunecal.lab.metrics.complexity import macs, parameters
from pytest_prunecal.lab.metrics.complexity import weights as count
from pytest_prunecal.lab.models.preresnet import preresnet110
from pytest_prunecal.lab.models.resnet import resnet20
from pytest_prunecal.lab.models.vgg import vgg19
from pytest_prunecal.lab.pruners import channel
from pytest_prunecal.lab.pruners import filter as filter_pruner

IMAGE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Mixed(nn.Module):
    """A conv, a depthwise one, norms of two kinds and a head."""

    def __init__(self, channels=8):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, groups=channels)
        self.group = nn.GroupNorm(2, channels)
        self.head = nn.Linear(channels, 10)

    def forward(self, images):
        maps = torch.relu(self.group(self.depthwise(torch.relu(self.norm(self.conv(images))))))
        return self.head(maps.mean((2, 3)))


def saved(path, network, prefix="", **changed):
    state = {f"{prefix}{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state | changed, path)
    return path


def load(path, network):
    return weights.load(path, network, IMAGE, "net", "it")


@torch.no_grad()
@pytest.mark.parametrize(
    ("builder", "prune"),
    [
        (resnet20, filter_pruner.prune),
        (vgg19, filter_pruner.prune),
        (vgg19, channel.prune),
        (preresnet110, channel.prune),
    ],
)
def test_pruned_networks_of_the_study(tmp_path, builder, prune):
    torch.manual_seed(0)
    dense = builder(width=0.25)
    pruned = prune(dense, 0.4).model.eval()
    assert parameters(pruned) < parameters(dense)
    found = load(saved(tmp_path / "net.safetensors", pruned), builder(width=0.25))
    assert torch.equal(found.model(IMAGE), pruned(IMAGE))
    assert parameters(found.model) == parameters(pruned)
    assert macs(found.model, (3, 32, 32)) == macs(pruned, (3, 32, 32))
    assert found.dense_weights == count(dense)


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "module."])
def test_layers_of_other_kinds(tmp_path, prefix):
    torch.manual_seed(0)
    pruned = Mixed(6).eval()
    found = load(saved(tmp_path / "net.safetensors", pruned, prefix), Mixed())
    assert torch.equal(found.model(IMAGE), pruned(IMAGE))
    assert (found.model.depthwise.groups, found.model.depthwise.in_channels) == (6, 6)
    assert (found.model.norm.num_features, found.model.group.num_channels) == (6, 6)
    assert (found.model.head.in_features, found.model.head.out_features) == (6, 10)


def test_halves_are_told(tmp_path):
    with pytest.warns(MeasurementWarning, match="its float16 tensors are measured as float32"):
        load(saved(tmp_path / "net.safetensors", Mixed(6).half()), Mixed())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"conv.weight": torch.zeros(6, 3, 3, 3)}, "its layers do not fit together: layer 'conv' fails on "),
        (
            {"conv.weight": torch.zeros(6, 3, 3, 3), "conv.bias": torch.zeros(6)},
            "its layers do not fit together: layer 'norm' fails on ",
        ),
        ({"conv.weight": torch.zeros(9, 3, 3, 3)}, "conv.weight has shape (9, 3, 3, 3), which is no pruned "),
        ({"conv.weight": torch.zeros(8, 3, 1, 1)}, "conv.weight has shape (8, 3, 1, 1), which is no pruned "),
        ({"head.weight": torch.zeros(80)}, "head.weight has shape (80,), which is no pruned (10, 8), "),
        ({"head.weight": torch.full((10, 8), torch.nan)}, "head.weight holds NaN or infinite values, "),
        ({"more": torch.zeros(1)}, "it has the unknown more, so it is no net of this protocol"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, changed, says):
    path = saved(tmp_path / "net.safetensors", Mixed(), **changed)
    with pytest.raises(PrunecalError) as caught:
        load(path, Mixed())
    assert str(caught.value).startswith(f"it: {says}")
    assert "\n" not in str(caught.value)
