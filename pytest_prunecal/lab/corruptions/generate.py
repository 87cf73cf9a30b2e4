"""One entry point: corrupt a batch of images, reproducibly whatever the batch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.corruptions.draws import Draws
from pytest_prunecal.study.builtin import CORRUPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Pixels worked on at once: what a core's cache holds well, and what keeps a GPU busy.
_CHUNK_PIXELS = {"cpu": 1 << 15, "other": 1 << 22}


def corrupt(
    images: Tensor, name: str, severity: int, *, indices: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Corrupt images as CIFAR-10-C's published generator does.

    An image's result depends on its pixels, `name`, `severity`, `seed` and its own index, and on nothing
    else: not on batch size, order, thread count, or torch's global random state (never touched).

    The severity tables are those of 32-pixel images. At other sizes their lengths in pixels are multiplied
    by s = min(H, W) / 32 for elastic transforms; by max(1/2, s) for motion blur and streaks of snow; and by
    max(1, s) for the other blurs and for the grain of glass, snow, frost and spatter, since a length much
    below a pixel would change nothing. Zoom and pixelation factors are ratios and apply to each axis of an
    image that is not square; fog fills the next power of two and is cropped.

    Args:
        images: uint8 (N, 3, H, W) RGB on any device, H and W between 8 and 224; not modified.
        name: one of `corruptions.BENCHMARK` or `corruptions.EXTRA`.
        severity: 1 (mild) to 5 (severe).
        indices: int64 (N,), each image's index in its data set; default 0 ... N - 1.
        seed: any integer; another seed gives other draws.

    Returns:
        uint8 (N, 3, H, W), a new tensor on the same device.

    Raises:
        PrunecalError: unknown name, severity out of range, or tensors of another shape or type.

    Source: Hendrycks and Dietterich 2019, arXiv 1903.12261.
    """
    _check(images, name, severity, indices)
    module, function = CORRUPTIONS[name].split(":")
    corruption: Callable[[Tensor, int, Draws], Tensor] = getattr(importlib.import_module(module), function)
    if indices is None:
        indices = torch.arange(len(images))
    draws = Draws.of(seed, name, severity, indices.to(images.device))
    chunk_pixels = _CHUNK_PIXELS["cpu" if images.device.type == "cpu" else "other"]
    chunk = max(1, chunk_pixels // (images.shape[2] * images.shape[3]))
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        result[part] = corruption(images[part].contiguous(), severity, draws.part(part))
    return result


def _check(images: Tensor, name: str, severity: int, indices: Tensor | None) -> None:
    if name not in CORRUPTIONS:
        raise PrunecalError(f"Unknown corruption {name!r}; there are {', '.join(CORRUPTIONS)}.")
    if isinstance(severity, bool) or not isinstance(severity, int) or not 1 <= severity <= 5:
        raise PrunecalError(f"The severity of {name} is an integer from 1 to 5, not {severity!r}.")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise PrunecalError(
            f"Images to corrupt are uint8 (N, 3, H, W), not {images.dtype} {tuple(images.shape)}."
        )
    height, width = images.shape[2:]
    if not (8 <= height <= 224 and 8 <= width <= 224):
        raise PrunecalError(f"Images to corrupt are 8 to 224 pixels high and wide, not {height} x {width}.")
    if indices is not None and (indices.dtype != torch.int64 or indices.shape != images.shape[:1]):
        raise PrunecalError(
            f"The indices of {len(images)} images are int64 ({len(images)},),"
            f" not {indices.dtype} {tuple(indices.shape)}."
        )
