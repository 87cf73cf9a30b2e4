"""What a file says its network takes, and giving it just that: layout, type, number of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.float64, torch.bfloat16, torch.uint8)
"""What images can be given in; uint8 are pixels before normalisation."""


@dataclass(frozen=True)
class Input:
    """What a network takes.

    Attributes:
        dtype: of `DTYPES`.
        channels_last: whether it wants (N, H, W, 3) rather than (N, 3, H, W).
        least: how many images at once, at least.
        most: at most; None for any number.
    """

    dtype: torch.dtype
    channels_last: bool = False
    least: int = 1
    most: int | None = None

    def laid_out(self, shape: Sequence[int]) -> list[int]:
        """The shape of an image, (channels, height, width), as the network takes it."""
        return _last(shape) if self.channels_last else [*shape]

    def run(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Run images through a function as it takes them.

        Too few are filled up with the last one again, whose results are dropped.

        Args:
            function: from images as described to one row each.
            images: (N, 3, H, W), of the right type.

        Raises:
            PrunecalError: it does not give a row an image.
        """
        if self.channels_last:
            images = images.permute(0, 2, 3, 1)
        found = []
        for part in images.split(self.most or max(len(images), 1)):
            missing = self.least - len(part)
            filled = torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing > 0 else part
            rows = function(filled.contiguous())
            if missing > 0 and (rows.ndim < 1 or len(rows) != len(filled)):
                raise PrunecalError(
                    f"wanted one row of logits an image, got {tuple(rows.shape)} of {len(filled)} images"
                )
            found.append(rows[: len(part)] if missing > 0 else rows)
        return found[0] if len(found) == 1 else torch.cat(found)


def input_of(
    shape: Sequence[object], dtype: torch.dtype | None, called: str, wanted: Sequence[int], what: str
) -> Input:
    """What a network takes, by the shape and type that its file says.

    Args:
        shape: sizes, whole numbers where they are fixed; the first is that of the batch.
        dtype: None for one that torch has not.
        called: the type as the file calls it.
        wanted: (channels, height, width) of the data.
        what: how messages call the network.

    Raises:
        PrunecalError: it takes no such images.
    """
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    written = f"{called} ({', '.join('any' if size is None else str(size) for size in sizes)})"
    images = "x".join(map(str, wanted))
    if len(sizes) != 4:
        raise PrunecalError(
            f"{what}: takes {written}, which are no images: wanted four dimensions, (N, {_listed(wanted)}) "
            f"or (N, {_listed(_last(wanted))}); export it with images of {images}"
        )
    if dtype not in DTYPES:
        names = ", ".join(str(one).removeprefix("torch.") for one in DTYPES)
        raise PrunecalError(f"{what}: takes {written}; images can be given as {names}")
    first, last = _fits(sizes[1:], wanted), _fits(sizes[1:], _last(wanted))
    if not (first or last):
        raise PrunecalError(
            f"{what}: takes {written}, and the data's images are {images}; export it for such images"
        )
    return Input(dtype, channels_last=last and not first, least=sizes[0] or 1, most=sizes[0])


def _last(wanted: Sequence[int]) -> list[int]:
    return [*wanted[1:], wanted[0]]


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _fits(sizes: Sequence[int | None], wanted: Sequence[int]) -> bool:
    return all(size in (None, one) for size, one in zip(sizes, wanted, strict=True))
