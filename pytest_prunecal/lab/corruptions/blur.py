"""Blurs without a direction: gaussian, defocus and glass."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pytest_prunecal.lab.corruptions.filters import blur_scale, gaussian, mirror, pad
from pytest_prunecal.lab.corruptions.pixels import pack, to_bytes, unpack

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws


def gaussian_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Gaussian smoothing, sigma .4 to 1 pixel; uint8 (N, 3, H, W)."""
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    return to_bytes(gaussian(images.float(), sigma * blur_scale(images)))


def defocus_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Average over a disk of radius .3 to 1.5 pixels, softened by a small gaussian; uint8 (N, 3, H, W)."""
    radius, softness = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))[severity - 1]
    size = blur_scale(images)
    reach, taps = _soft_disk(radius * size, softness * size, math.ceil(size))
    padded, shape = pad(images.float(), reach, mirror), images.shape
    total = torch.zeros_like(images, dtype=torch.float32)
    for weight, offsets in taps:
        # Sums of up to 2 ** 16 bytes are exact in float32, so equal weights are multiplied once.
        equal = torch.zeros_like(total)
        for down, right in offsets:
            equal += padded[:, :, down : down + shape[2], right : right + shape[3]]
        total += equal.mul_(weight)
    return to_bytes(total)


@lru_cache(maxsize=32)
def _soft_disk(
    radius: float, softness: float, soft_reach: int
) -> tuple[int, tuple[tuple[float, tuple[tuple[int, int], ...]], ...]]:
    """Reach of the kernel, and its taps by weight: ((weight, ((down, right), ...)), ...) from its corner.

    The gaussian is cut off at `soft_reach` pixels: 1, so 3 x 3, for 32-pixel images.
    """
    inner = math.floor(radius)
    reach = inner + soft_reach
    offset = np.arange(-reach, reach + 1)
    kernel = (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.float64)
    soft = np.exp(-0.5 * (np.arange(-soft_reach, soft_reach + 1) / softness) ** 2)
    soft /= soft.sum()
    for axis in (0, 1):
        kernel = np.apply_along_axis(np.convolve, axis, kernel, soft, "same")
    kernel /= kernel.sum()
    by_weight: dict[float, list[tuple[int, int]]] = {}
    for down, right in np.argwhere(kernel > 1e-6).tolist():
        by_weight.setdefault(round(float(kernel[down, right]), 12), []).append((down, right))
    return reach, tuple((weight, tuple(offsets)) for weight, offsets in by_weight.items())


def glass_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Smooth a little, displace pixels by up to one, once or twice, and smooth again; uint8 (N, 3, H, W).

    The published generator walks from the last pixel to the first and means to swap each with a neighbour
    above or left of it, but copies the neighbour into both. The neighbour is overwritten when its own turn
    comes, so each pixel simply becomes a copy of a not yet visited one, and all can be copied at once.
    """
    sigma, passes = ((0.05, 1), (0.25, 1), (0.40, 1), (0.25, 2), (0.40, 2))[severity - 1]
    size = blur_scale(images)
    reach = round(size)
    count, _, height, width = images.shape
    pixels = pack(to_bytes(gaussian(images.float(), sigma * size))).view(-1)
    here, moved = _movable(height, width, reach, images.device)
    image = torch.arange(count, dtype=torch.int32, device=images.device).unsqueeze(1) * (height * width)
    for turn in range(passes):
        step = (draws.lanes16(turn, 2 * height * width) * (2 * reach) >> 16) - reach
        step = step.view(count, 2, -1)
        source = (step[:, 0] * width + step[:, 1]) * moved + here + image
        pixels = pixels.index_select(0, source.view(-1))
    return to_bytes(gaussian(unpack(pixels.view(count, height, width)).float(), sigma * size))


@lru_cache(maxsize=16)
def _movable(height: int, width: int, reach: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Each pixel's own position, and 1 where the pixel is displaced, int32 (H * W,) each."""
    down = torch.arange(height, dtype=torch.int32, device=device).unsqueeze(1)
    right = torch.arange(width, dtype=torch.int32, device=device)
    moved = (down > reach) & (down <= height - reach) & (right > reach) & (right <= width - reach)
    return (down * width + right).flatten(), moved.to(torch.int32).flatten()
