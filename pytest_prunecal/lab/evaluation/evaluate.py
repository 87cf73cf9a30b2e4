"""Evaluation: one network on the clean test set and on every corrupted one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.forward import lay_out
from pytest_prunecal.lab.randomness import stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_prunecal.lab.evaluation.tally import Evaluated, Tally
    from pytest_prunecal.lab.forward import Forward


class Images(Protocol):
    """A tensor of images, or what gives them slice by slice and keeps none."""

    def __len__(self) -> int:
        """Count the images."""

    def __getitem__(self, part: slice, /) -> Tensor:
        """Give some of the images: uint8 (n, 3, H, W), on the CPU."""


@dataclass(frozen=True)
class TestSet:
    """One version of the test images.

    Attributes:
        corruption: the corruption's name; empty for the clean images.
        severity: 1..5; 0 for the clean images.
        images: uint8 (N, 3, H, W), on the CPU; a slice at a time where they are not kept.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    corruption: str
    severity: int
    images: Images


def evaluate(
    model: nn.Module,
    clean: Tensor,
    corrupted: Iterable[TestSet],
    tally: Tally,
    forward: Forward,
    batch: int,
    device: torch.device,
    what: tuple[object, ...] = (),
) -> Evaluated:
    """Evaluate a network as it is after its last epoch.

    What the network draws at random on a test set, and what a metric draws of it, are stages of their own.

    Args:
        model: on `device`; left in evaluation mode.
        clean: uint8 (N, 3, H, W) on the CPU.
        corrupted: versions of the same images, in the order of the report.
        tally: gathers the logits, and knows the labels and the metrics.
        forward: from uint8 to logits.
        batch: images per forward pass.
        device: where the network is.
        what: what the network is; such draws depend on it.

    Raises:
        PrunecalError: out of memory for a single image, or a metric's function returns what it must not.
    """
    logits = on_clean(model, clean, forward, batch, device, what)
    with stage(device, *what, "metrics"):
        tally.clean(logits)
    for test_set in corrupted:
        name = test_set.corruption, test_set.severity
        with stage(device, *what, "evaluate", *name):
            logits = predict(model, test_set.images, forward, batch, device)
        with stage(device, *what, "metrics", *name):
            tally.corrupted(*name, logits)
    return tally.result()


def on_clean(
    model: nn.Module,
    clean: Tensor,
    forward: Forward,
    batch: int,
    device: torch.device,
    what: tuple[object, ...] = (),
) -> Tensor:
    """Logits of the clean images alone, float32 (N, classes) on the CPU; arguments as `evaluate`."""
    lay_out(model, device)
    model.eval()
    with stage(device, *what, "evaluate"):
        return predict(model, clean, forward, batch, device)


def predict(model: nn.Module, images: Images, forward: Forward, batch: int, device: torch.device) -> Tensor:
    """Logits of all images: uint8 (N, 3, H, W) to float32 (N, classes) on the CPU.

    Raises:
        PrunecalError: the device has too little memory for a single image.

    Warns:
        MeasurementWarning: it had too little for `batch` images, and got fewer.
    """
    parts: list[Tensor] = []
    done, size = 0, min(batch, len(images))
    # Not inference mode: a metric of the user's own may take gradients of what it does to logits.
    with torch.no_grad():
        while done < len(images):
            # The slice has no name here: it would keep a batch in memory while the next one is made.
            logits = _logits(model, images[done : done + size], forward, device)
            if logits is None:
                size = _fewer(min(size, len(images) - done), device)
                continue
            parts.append(logits)
            done += len(logits)
        if size < min(batch, len(images)):
            warnings.warn(
                f"evaluated {size} images at a time instead of {batch}, as {device} was out of memory; "
                "the last digits may differ",
                MeasurementWarning,
                stacklevel=2,
            )
        return torch.cat(parts).cpu()


def _logits(model: nn.Module, images: Tensor, forward: Forward, device: torch.device) -> Tensor | None:
    """Logits of one forward pass, on the device; None if it has no memory for it."""
    try:
        return forward.logits(model, images.to(device))
    except torch.OutOfMemoryError:
        return None


def _fewer(images: int, device: torch.device) -> int:
    """How many images to try after a pass of so many ran out of memory."""
    torch.cuda.empty_cache()
    if images == 1:
        raise PrunecalError(
            f"out of memory on {device} while evaluating one image at a time; run fewer workers at once "
            "(a smaller -n) or on a device with more memory"
        )
    return images // 2
