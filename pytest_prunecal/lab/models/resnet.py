"""Residual networks of basic blocks for 32x32 images.

He et al. 2016, "Deep Residual Learning" (arXiv 1512.03385), section 4.2: 6n+2 layers, widths 16/32/64,
parameter-free shortcuts (option A). The new channels of a shortcut are zeros, half before and half behind
the old ones, and modules are named as in the widely shared CIFAR checkpoints, which so load as they are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.models.layers import init_convs, scaled


class BasicBlock(nn.Module):
    """Two 3x3 convs beside a shortcut: (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).

    Sizes are rounded up.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        before = (channels - in_channels) // 2
        self.new_channels = (before, channels - in_channels - before)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output for a batch of feature maps."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or any(self.new_channels):
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.new_channels))
        return F.relu(out + x, inplace=True)


class ResNet(nn.Module):
    """Three stages of basic blocks; (N, 3, H, W) -> logits (N, num_classes), any H and W.

    `depth` is 6n+2 for n blocks a stage.
    """

    RANKED = (nn.Conv2d,)  # what weight pruning ranks: convs alone, as published

    def __init__(self, depth: int, *, num_classes: int, width: float) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        widths = [scaled(channels, width) for channels in (16, 32, 64)]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = self._stage(widths[0], widths[0], blocks, stride=1)
        self.layer2 = self._stage(widths[0], widths[1], blocks, stride=2)
        self.layer3 = self._stage(widths[1], widths[2], blocks, stride=2)
        self.linear = nn.Linear(widths[2], num_classes)
        init_convs(self)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(in_channels, channels, stride)
        return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits

    def channel_groups(self) -> list[ChannelGroup]:
        """The first conv of every block: the outputs of all others are added to a shortcut."""
        return [
            ChannelGroup(producer=f"{name}.conv1", bn=f"{name}.bn1", consumers=(f"{name}.conv2",))
            for name, module in self.named_modules()
            if isinstance(module, BasicBlock)
        ]


def resnet20(*, num_classes: int = 10, width: float = 1.0) -> ResNet:
    """ResNet-20: 3 x 3 basic blocks; 269,722 parameters with the defaults.

    Args:
        num_classes: number of logits.
        width: factor on every channel count (rounded, at least 1).

    Raises:
        PrunecalError: `width` is not a positive number.
    """
    return ResNet(20, num_classes=num_classes, width=width)


def resnet56(*, num_classes: int = 10, width: float = 1.0) -> ResNet:
    """ResNet-56: 3 x 9 basic blocks; 853,018 parameters with the defaults. See `resnet20`."""
    return ResNet(56, num_classes=num_classes, width=width)


def resnet110(*, num_classes: int = 10, width: float = 1.0) -> ResNet:
    """ResNet-110: 3 x 18 basic blocks; 1,727,962 parameters with the defaults. See `resnet20`."""
    return ResNet(110, num_classes=num_classes, width=width)
