"""VGG for 32x32 images, with batch norm.

Simonyan & Zisserman 2015 (arXiv 1409.1556), configuration E, in the CIFAR form of network slimming
(Liu et al. 2017, arXiv 1708.06519): convs without bias, global average pooling, one linear layer.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.models.layers import init_convs, scaled

VGG19 = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
"""Conv widths, stage by stage; between two stages the map is halved by max pooling."""


class VGG(nn.Module):
    """Stages of 3x3 conv, BN, ReLU: (N, 3, H, W) -> logits (N, num_classes).

    H and W are at least 2 ** (stages - 1), which is 16 for VGG-19.
    """

    RANKED = (nn.Conv2d,)  # what weight pruning ranks: convs alone, as published

    def __init__(self, stages: tuple[tuple[int, ...], ...], *, num_classes: int, width: float) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        conv, in_channels = 0, 3
        for stage, stage_widths in enumerate(stages):
            if stage:
                layers[f"pool{stage}"] = nn.MaxPool2d(2)
            for unscaled in stage_widths:
                conv += 1
                channels = scaled(unscaled, width)
                layers[f"conv{conv}"] = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
                layers[f"bn{conv}"] = nn.BatchNorm2d(channels)
                layers[f"relu{conv}"] = nn.ReLU(inplace=True)
                in_channels = channels
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(in_channels, num_classes)
        self.convs = conv
        init_convs(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits

    def channel_groups(self) -> list[ChannelGroup]:
        """Every conv: there are no shortcuts."""
        consumers = [f"features.conv{i}" for i in range(2, self.convs + 1)] + ["classifier"]
        return [
            ChannelGroup(producer=f"features.conv{i}", bn=f"features.bn{i}", consumers=(consumer,))
            for i, consumer in enumerate(consumers, start=1)
        ]


def vgg19(*, num_classes: int = 10, width: float = 1.0) -> VGG:
    """VGG-19: 16 convs in five stages and a linear head; 20,035,018 parameters with the defaults.

    Args:
        num_classes: number of logits.
        width: factor on every channel count (rounded, at least 1).

    Raises:
        PrunecalError: `width` is not a positive number.
    """
    return VGG(VGG19, num_classes=num_classes, width=width)
