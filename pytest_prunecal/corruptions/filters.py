"""Smoothing by weighted sums of shifted copies, in a fixed order, so that no batch changes a bit."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def scale(images: Tensor) -> float:
    """How many times a 32-pixel image the shorter side of (..., H, W) is."""
    return min(images.shape[-2:]) / 32


def blur_scale(images: Tensor) -> float:
    """`scale`, but at least 1: see `generate.corrupt`."""
    return max(1.0, scale(images))


def replicate(count: int, before: int, after: int, device: torch.device) -> Tensor:
    """Indices of an axis padded by repeating its ends (a a | a b c | c c)."""
    return torch.arange(-before, count + after, device=device).clamp_(0, count - 1)


def mirror(positions: Tensor, count: int) -> Tensor:
    """Fold integer positions into 0 ... count - 1, mirrored about the end pixels (c b | a b c | b a)."""
    folded = positions.remainder(2 * count - 2)
    return torch.minimum(folded, 2 * count - 2 - folded)


def reflect(positions: Tensor, count: int) -> Tensor:
    """Fold integer positions into 0 ... count - 1, mirrored about the edges (b a | a b c | c b)."""
    folded = positions.remainder(2 * count)
    return torch.minimum(folded, 2 * count - 1 - folded)


def gaussian(images: Tensor, sigma: float, *, truncate: float = 4.0, reflecting: bool = False) -> Tensor:
    """Gaussian smoothing of float (..., H, W) along both axes; beyond the edge the end pixel or a mirror.

    The kernel is sampled at the pixels, cut off at `truncate` sigmas and normalised; sigma in pixels.
    """
    weights = _gaussian_weights(sigma, truncate)
    if len(weights) == 1:
        return images
    for axis in (-2, -1):
        images = _symmetric(images, weights, axis, reflecting=reflecting)
    return images


@lru_cache(maxsize=64)
def _gaussian_weights(sigma: float, truncate: float) -> tuple[float, ...]:
    radius = int(truncate * sigma + 0.5)
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) if radius else 1.0 for offset in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    return tuple(weight / total for weight in weights)


def _symmetric(images: Tensor, weights: tuple[float, ...], axis: int, *, reflecting: bool) -> Tensor:
    count, radius = images.shape[axis], len(weights) - 1
    if reflecting:
        index = reflect(torch.arange(-radius, count + radius, device=images.device), count)
    else:
        index = replicate(count, radius, radius, images.device)
    padded = images.index_select(axis, index)
    total = padded.narrow(axis, radius, count) * weights[0]
    for offset, weight in enumerate(weights[1:], 1):
        pair = padded.narrow(axis, radius - offset, count) + padded.narrow(axis, radius + offset, count)
        total += pair.mul_(weight)
    return total


def box3(images: Tensor) -> Tensor:
    """Sum over 3 x 3 neighbours of (..., H, W), mirrored about the end pixels."""
    for axis in (-2, -1):
        count = images.shape[axis]
        index = mirror(torch.arange(-1, count + 1, device=images.device), count)
        padded = images.index_select(axis, index)
        images = padded.narrow(axis, 0, count) + padded.narrow(axis, 1, count) + padded.narrow(axis, 2, count)
    return images
