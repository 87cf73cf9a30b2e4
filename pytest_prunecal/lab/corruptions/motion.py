"""Motion blur, and the streaks that it shares with snow."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pytest_prunecal.lab.corruptions.filters import pad, replicate, scale
from pytest_prunecal.lab.corruptions.pixels import FRACTION_BITS, integer_weights, pack, unpack

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws

_ANGLES = 4096


def motion_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Smear in a direction within 45 degrees of the horizontal, one for each image; uint8 (N, 3, H, W)."""
    radius, sigma = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))[severity - 1]
    length = max(0.5, scale(images))
    blurred = streak(pack(images), radius * length, sigma * length, (-45, 45), draws, stream=0)
    return unpack(blurred, FRACTION_BITS)


def streak(
    packed: Tensor, radius: float, sigma: float, angles: tuple[float, float], draws: Draws, *, stream: int
) -> Tensor:
    """Smear packed pixels, each image along its own direction.

    As ImageMagick's motion blur: a one-sided gaussian over 2 * ceil(radius) + 1 pixels of a line, each
    taken from the nearest pixel; beyond the edge the end pixel counts.

    Args:
        packed: int64 (N, H, W), see `pixels.pack`; or int32, one channel of 0 ... 255.
        radius: half the line's length in pixels.
        sigma: standard deviation of the gaussian in pixels.
        angles: bounds of the uniform direction in degrees, clockwise from pointing right.
        draws: where the directions come from.
        stream: which of its streams.

    Returns:
        (N, H, W) of the same type, in units of 1 / `pixels.ONE`.
    """
    count, height, width = packed.shape
    weights, steps = _line(radius, sigma, angles, packed.device)
    reach = len(weights) - 1
    padded = pad(packed, reach, replicate)
    stride = padded.shape[2]
    angle = (draws.lanes16(stream, 1) >> 4).squeeze(1)
    shifts = steps[0].index_select(0, angle) * stride + steps[1].index_select(0, angle)
    positions = torch.arange(padded.numel(), dtype=torch.int32, device=packed.device).view_as(padded)
    start = positions[:, reach : reach + height, reach : reach + width].reshape(count, -1)
    pixels = padded.view(-1)
    total = torch.zeros(count, height * width, dtype=packed.dtype, device=packed.device)
    for tap, weight in enumerate(weights):
        source = (start + shifts[:, tap : tap + 1]).view(-1)
        total += pixels.index_select(0, source).view(count, -1).mul_(weight)
    return total.view(count, height, width)


@lru_cache(maxsize=32)
def _line(
    radius: float, sigma: float, angles: tuple[float, float], device: torch.device
) -> tuple[tuple[int, ...], Tensor]:
    """Integer weights along the line, and steps down and right, int32 (2, angles, taps).

    Directions are tabled, since a sine computed for a whole batch may depend on the batch in its last bit.
    """
    distance = np.arange(2 * math.ceil(radius) + 1)
    weights = integer_weights(np.exp(-0.5 * (distance / sigma) ** 2))
    taps = int(np.count_nonzero(weights))
    lowest, highest = angles
    degrees = lowest + (np.arange(_ANGLES) + 0.5) * ((highest - lowest) / _ANGLES)
    direction = np.stack([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
    steps = np.ceil(direction[:, :, None] * distance[:taps] - 0.5).astype(np.int32)
    return tuple(weights[:taps].tolist()), torch.from_numpy(steps).to(device)
