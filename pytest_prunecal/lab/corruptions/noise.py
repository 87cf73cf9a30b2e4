"""Noise: gaussian, shot, impulse and speckle, each element of each channel on its own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pytest_prunecal.lab.corruptions.pixels import to_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws


def gaussian_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add normal noise of a standard deviation of .04 to .10 of full scale; uint8 (N, 3, H, W)."""
    sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    noise = draws.normal(0, images[0].numel()).view(images.shape)
    return to_bytes(images.float() + noise.mul_(sigma * 255))


def speckle_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Multiply by 1 + normal noise of a standard deviation of .06 to .2; uint8 (N, 3, H, W)."""
    sigma = (0.06, 0.10, 0.12, 0.16, 0.20)[severity - 1]
    noise = draws.normal(0, images[0].numel()).view(images.shape)
    return to_bytes(images.float() * noise.mul_(sigma).add_(1.0))


def impulse_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Set channel elements to 0 or 255, half each, with a probability of .01 to .07; uint8 (N, 3, H, W)."""
    amount = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    draw = draws.lanes32(0, images[0].numel()).view(images.shape)
    pepper, either = round(amount / 2 * 2**32) - 2**31, round(amount * 2**32) - 2**31
    return images.masked_fill(draw < either, 255).masked_fill_(draw < pepper, 0)


def shot_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Replace each element by a Poisson count of 500 to 50 photons at full scale; uint8 (N, 3, H, W).

    The distribution over output bytes is exact to 2 ** -32: one draw picks a column of the alias table of
    the element's rate, and whether the column stands for itself or for its alias.
    """
    photons = (500, 250, 100, 75, 50)[severity - 1]
    draw = draws.lanes32(0, images[0].numel()).view(images.shape)
    column = draw & 255
    cell = (images.to(torch.int32) << 8) + column
    entry = _alias_table(photons, images.device).index_select(0, cell.flatten()).view(images.shape)
    return torch.where((draw >> 8) < (entry >> 8), column, entry & 255).to(torch.uint8)


@lru_cache(maxsize=16)
def _alias_table(photons: int, device: torch.device) -> Tensor:
    """Walker's alias tables of the 256 rates, int32 (65536,), at rate * 256 + column.

    The upper 24 bits are the threshold, less 2 ** 23 as the draw's are; the lower 8 are the alias.
    """
    mass = _byte_probabilities(photons) * 256
    threshold = np.full((256, 256), 1.0)
    alias = np.tile(np.arange(256), (256, 1))
    rates = np.arange(256)
    todo = mass.copy()
    for _ in range(255):
        poor, rich = todo.argmin(1), np.where(np.isfinite(todo), todo, -1.0).argmax(1)
        threshold[rates, poor] = np.minimum(todo[rates, poor], 1.0)
        alias[rates, poor] = rich
        todo[rates, rich] -= 1.0 - todo[rates, poor]
        todo[rates, poor] = np.inf  # settled
    # The largest threshold falls 2 ** -24 short of one, so a full column is made its own alias.
    alias = np.where(threshold < 1, alias, rates)
    whole = np.minimum(np.rint(threshold * 2**24), 2**24 - 1).astype(np.int64) - 2**23
    return torch.from_numpy(((whole << 8) + alias).astype(np.int32).ravel()).to(device)


def _byte_probabilities(photons: int) -> NDArray[np.float64]:
    """P(output byte | input byte), (256, 256): Poisson counts as fractions of `photons`, clipped at one."""
    counts = np.arange(photons)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, photons)))])
    rates = np.arange(1, 256)[:, None] / 255 * photons
    mass = np.exp(counts * np.log(rates) - rates - log_factorial)
    probabilities = np.zeros((256, 256))
    probabilities[0, 0] = 1.0
    # Unbuffered addition: several counts can fall on one byte.
    np.add.at(probabilities[1:].T, (counts / photons * 255).astype(np.int64), mass.T)
    probabilities[1:, 255] += np.maximum(0.0, 1 - mass.sum(1))
    return probabilities
