"""What the network families share: width scaling, initialisation, channel selection."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError


def scaled(channels: int, width: float) -> int:
    """A channel count times the width multiplier, rounded, at least 1.

    Raises:
        PrunecalError: `width` is not a positive finite number.
    """
    if not (math.isfinite(width) and width > 0):
        raise PrunecalError(f"a width multiplier must be a positive number, not {width}")
    return max(1, round(channels * width))


def init_convs(network: nn.Module) -> None:
    """Draw every conv weight from N(0, 2 / fan_out), in place, from torch's global generator.

    Source: He et al. 2015, "Delving Deep into Rectifiers" (arXiv 1502.01852), eq. 14.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ChannelSelection(nn.Module):
    """Passes on a subset of the channels: (N, C, H, W) -> (N, len(index), H, W).

    The channels are a buffer of increasing indices, so that selecting never waits for the device; it starts
    as all of them. Source: Liu et al. 2017, network slimming (arXiv 1708.06519), section 3.3, cross-layer
    connections.
    """

    index: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("index", torch.arange(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Select along dimension 1."""
        if self.index.numel() == x.shape[1]:  # increasing and unique: as many as there are means all
            return x
        return x.index_select(1, self.index)

    def extra_repr(self) -> str:
        """How many channels pass."""
        return f"channels={self.index.numel()}"
