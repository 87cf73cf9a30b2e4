"""Pixels as exact integers: the three channels of a pixel in one int64, weighted and summed exactly.

A gather moves three channels at once, and sums of integers do not depend on the order of summation.
Weights are integers adding up to `ONE` = 2 ** 13, so that a lane of 21 bits holds 255 * ONE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FRACTION_BITS = 13
ONE = 1 << FRACTION_BITS
LANE = 21


def lanes(value: int) -> int:
    """The same number in all three lanes."""
    return value | value << LANE | value << 2 * LANE


def pack(images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> int64 (N, H, W), one lane per channel."""
    red, green, blue = images.to(torch.int64).unbind(1)
    return red + (green << LANE) + (blue << 2 * LANE)


def unpack(packed: Tensor, shift: int = 0) -> Tensor:
    """int64 (N, H, W) -> uint8 (N, 3, H, W), each lane divided by 2 ** shift and truncated."""
    return torch.stack([(packed >> (shift + channel * LANE)).to(torch.uint8) for channel in range(3)], dim=1)


def integer_weights(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Non-negative weights (taps, ...) scaled to integers that add up to `ONE` along the first axis.

    What rounding leaves over goes to the largest weight.
    """
    scaled: NDArray[np.int64] = np.rint(weights / weights.sum(0) * ONE).astype(np.int64)
    largest = scaled.argmax(0)[None]
    rest = ONE - scaled.sum(0)[None]
    np.put_along_axis(scaled, largest, np.take_along_axis(scaled, largest, 0) + rest, 0)
    return scaled


def to_bytes(values: Tensor) -> Tensor:
    """Floats in units of 1/255, any range -> uint8, clipped and truncated as the published generator does.

    The small addend keeps a value that is an integer but for rounding errors from falling by one.
    """
    return (values + 1 / 512).clamp_(0, 255).to(torch.uint8)
