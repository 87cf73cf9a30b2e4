"""Pre-activation residual networks of bottlenecks for 32x32 images.

He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027), in the form of network
slimming (Liu et al. 2017, arXiv 1708.06519): 9n+2 layers, a channel selection behind the first BN of every
block and behind the last BN, and a 1x1 projection of the raw input where a stage changes the shape.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.models.layers import ChannelSelection, init_convs, scaled

EXPANSION = 4


class Bottleneck(nn.Module):
    """BN, ReLU, conv three times: (N, in_channels, H, W) -> (N, 4 channels, H / stride, W / stride).

    Sizes are rounded up.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.select = ChannelSelection(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.downsample = (
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output for a batch of feature maps."""
        out = self.conv1(F.relu(self.select(self.bn1(x)), inplace=True))
        out = self.conv2(F.relu(self.bn2(out), inplace=True))
        out = self.conv3(F.relu(self.bn3(out), inplace=True))
        shortcut = x if self.downsample is None else self.downsample(x)
        total: Tensor = out + shortcut
        return total


class PreResNet(nn.Module):
    """Three stages of bottlenecks; (N, 3, H, W) -> logits (N, num_classes), any H and W.

    `depth` is 9n+2 for n blocks a stage.
    """

    RANKED = (nn.Conv2d,)  # what weight pruning ranks: convs alone, as published

    def __init__(self, depth: int, *, num_classes: int, width: float) -> None:
        super().__init__()
        blocks = (depth - 2) // 9
        widths = [scaled(channels, width) for channels in (16, 32, 64)]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.layer1 = self._stage(widths[0], widths[0], blocks, stride=1)
        self.layer2 = self._stage(widths[0] * EXPANSION, widths[1], blocks, stride=2)
        self.layer3 = self._stage(widths[1] * EXPANSION, widths[2], blocks, stride=2)
        self.bn = nn.BatchNorm2d(widths[2] * EXPANSION)
        self.select = ChannelSelection(widths[2] * EXPANSION)
        self.fc = nn.Linear(widths[2] * EXPANSION, num_classes)
        init_convs(self)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = Bottleneck(in_channels, channels, stride)
        rest = (Bottleneck(channels * EXPANSION, channels, 1) for _ in range(blocks - 1))
        return nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = F.relu(self.select(self.bn(x)), inplace=True)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits

    def channel_groups(self) -> list[ChannelGroup]:
        """Per block what enters it (by selection) and its two inner convs; at the end what the head reads."""
        groups = []
        for name, module in self.named_modules():
            if isinstance(module, Bottleneck):
                conv1, conv2, conv3 = (f"{name}.conv{i}" for i in (1, 2, 3))
                groups += [
                    ChannelGroup(bn=f"{name}.bn1", selection=f"{name}.select", consumers=(conv1,)),
                    ChannelGroup(bn=f"{name}.bn2", producer=conv1, consumers=(conv2,)),
                    ChannelGroup(bn=f"{name}.bn3", producer=conv2, consumers=(conv3,)),
                ]
        return [*groups, ChannelGroup(bn="bn", selection="select", consumers=("fc",))]


def preresnet110(*, num_classes: int = 10, width: float = 1.0) -> PreResNet:
    """PreResNet-110: 3 x 12 bottlenecks; 1,146,842 parameters with the defaults.

    Args:
        num_classes: number of logits.
        width: factor on every channel count (rounded, at least 1).

    Raises:
        PrunecalError: `width` is not a positive number.
    """
    return PreResNet(110, num_classes=num_classes, width=width)


def preresnet164(*, num_classes: int = 10, width: float = 1.0) -> PreResNet:
    """PreResNet-164: 3 x 18 bottlenecks; 1,703,258 parameters with the defaults. See `preresnet110`."""
    return PreResNet(164, num_classes=num_classes, width=width)
