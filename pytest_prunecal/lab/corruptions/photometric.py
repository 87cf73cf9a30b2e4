"""Brightness, contrast and saturation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.corruptions.pixels import to_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws


def brightness(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Raise the HSV value by .05 to .3, hue and saturation kept; uint8 (N, 3, H, W).

    At constant hue and saturation the channels are proportional to the value, their maximum.
    """
    addend = (0.05, 0.10, 0.15, 0.20, 0.30)[severity - 1]
    values = images.float()
    value = values.amax(1, keepdim=True)
    raised = (value + addend * 255).clamp_(max=255)
    return to_bytes(torch.where(value > 0, values * (raised / value.clamp(min=1)), raised))


def contrast(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Shrink towards each channel's mean by .75 to .15; uint8 (N, 3, H, W)."""
    factor = (0.75, 0.50, 0.40, 0.30, 0.15)[severity - 1]
    # Integer sums: a float mean could depend on how the batch was split over threads.
    total = images.sum((2, 3), keepdim=True, dtype=torch.int64)
    mean = total.float() * (1 / (images.shape[2] * images.shape[3]))
    return to_bytes((images.float() - mean) * factor + mean)


def saturate(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Multiply the HSV saturation by .3 to 2.5 and add 0 to .2, hue and value kept; uint8 (N, 3, H, W).

    At constant hue and value a channel's distance from the value is proportional to the saturation. Greys
    have no hue; where saturation is added they turn red, hue 0, as in the published generator.
    """
    factor, addend = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))[severity - 1]
    values = images.float()
    value = values.amax(1, keepdim=True)
    span = value - values.amin(1, keepdim=True)
    saturation = span / value.clamp(min=1)
    wanted = (saturation * factor + addend).clamp_(0, 1)
    coloured = value - (value - values) * (wanted * value / span.clamp(min=1))
    red = torch.tensor([0.0, 1.0, 1.0], device=images.device).view(1, 3, 1, 1)
    return to_bytes(torch.where(span > 0, coloured, value - value * wanted * red))
