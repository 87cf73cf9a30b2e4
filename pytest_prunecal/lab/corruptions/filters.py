"""Smoothing by weighted sums of shifted copies, in a fixed order, so that no batch changes a bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


def scale(images: Tensor) -> float:
    """How many times a 32-pixel image the shorter side of (..., H, W) is."""
    return min(images.shape[-2:]) / 32


def blur_scale(images: Tensor) -> float:
    """`scale`, but at least 1: see `generate.corrupt`."""
    return max(1.0, scale(images))


def replicate(positions: Tensor, count: int) -> Tensor:
    """Bring integer positions into 0 ... count - 1 by repeating the end pixels (a a | a b c | c c)."""
    return positions.clamp(0, count - 1)


def mirror(positions: Tensor, count: int) -> Tensor:
    """Fold integer positions into 0 ... count - 1, mirrored about the end pixels (c b | a b c | b a).

    Once at each end, and clamped: nothing here reaches further than an image's size beyond it.
    """
    last = count - 1
    return positions.abs().neg_().add_(last).abs_().neg_().add_(last).clamp_(0, last)


def reflect(positions: Tensor, count: int) -> Tensor:
    """Fold integer positions into 0 ... count - 1, mirrored about the edges (b a | a b c | c b).

    With `mirror`'s restriction.
    """
    last = count - 1
    # Shifted right, a sign is all ones or none: x ^ sign is x or -1 - x.
    sign = positions.element_size() * 8 - 1
    folded = last - (positions ^ (positions >> sign))
    folded ^= folded >> sign
    return folded.neg_().add_(last).clamp_(0, last)


Fold = Callable[[Tensor, int], Tensor]


def pad(images: Tensor, reach: int, fold: Fold) -> Tensor:
    """(..., H, W) of any type -> (..., H + 2 reach, W + 2 reach), the border filled as `fold` says."""
    height, width = images.shape[-2:]
    index = _padding(height, width, reach, fold, images.device)
    padded = images.flatten(-2).index_select(-1, index)
    return padded.view(*images.shape[:-2], height + 2 * reach, width + 2 * reach)


@lru_cache(maxsize=64)
def _padding(height: int, width: int, reach: int, fold: Fold, device: torch.device) -> Tensor:
    rows = fold(torch.arange(-reach, height + reach), height)
    columns = fold(torch.arange(-reach, width + reach), width)
    return (rows.unsqueeze(1) * width + columns).flatten().to(device)


def gaussian(images: Tensor, sigma: float, *, truncate: float = 4.0, fold: Fold = replicate) -> Tensor:
    """Gaussian smoothing of float (..., H, W) along both axes, `fold` saying what lies beyond the edge.

    The kernel is sampled at the pixels, cut off at `truncate` sigmas and normalised; sigma in pixels.
    """
    weights = _gaussian_weights(sigma, truncate)
    if len(weights) == 1:
        return images
    padded = pad(images, len(weights) - 1, fold)
    for axis in (-2, -1):
        padded = _symmetric(padded, weights, axis)
    return padded


@lru_cache(maxsize=64)
def _gaussian_weights(sigma: float, truncate: float) -> tuple[float, ...]:
    radius = int(truncate * sigma + 0.5)
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) if radius else 1.0 for offset in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    return tuple(weight / total for weight in weights)


def _symmetric(padded: Tensor, weights: tuple[float, ...], axis: int) -> Tensor:
    radius = len(weights) - 1
    count = padded.shape[axis] - 2 * radius
    total = padded.narrow(axis, radius, count) * weights[0]
    for offset, weight in enumerate(weights[1:], 1):
        pair = padded.narrow(axis, radius - offset, count) + padded.narrow(axis, radius + offset, count)
        total += pair.mul_(weight)
    return total


def box3(images: Tensor) -> Tensor:
    """Sum over the 3 x 3 neighbours of (..., H, W), mirrored about the end pixels."""
    total = pad(images, 1, mirror)
    for axis in (-2, -1):
        count = total.shape[axis] - 2
        total = total.narrow(axis, 0, count) + total.narrow(axis, 1, count) + total.narrow(axis, 2, count)
    return total
