"""The forward pass, the same in training and in evaluation: from uint8 images to float32 logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from torch import nn

    from pytest_prunecal.study.protocol import Protocol


@dataclass(frozen=True)
class Normalisation:
    """Per-channel affine map from uint8 to the network's input.

    Attributes:
        mean: of images in [0, 1], one number a channel.
        std: likewise, positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """Turn uint8 (N, C, H, W) into float32 of mean 0 and deviation 1: (x / 255 - mean) / std."""
        mean, std = _by_channel(self.mean, images.device), _by_channel(self.std, images.device)
        return (images / 255).sub_(mean).div_(std)


@lru_cache(maxsize=16)
def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A constant on the device, float32 (C, 1, 1): sent there once, as every sending makes a GPU wait."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@dataclass(frozen=True)
class Forward:
    """How images go through a network.

    Attributes:
        normalisation: from uint8 to what the network sees.
        precision: `float32`, or `bfloat16` to compute in it where torch's autocast deems that safe; weights,
            gradients and BN statistics are float32 all the same.
    """

    normalisation: Normalisation
    precision: str = "float32"

    @classmethod
    def of(cls, protocol: Protocol) -> Forward:
        """As a protocol says."""
        return cls(Normalisation(protocol.mean, protocol.std), protocol.precision)

    def inputs(self, images: Tensor) -> Tensor:
        """What a network is given for images: uint8 (N, 3, H, W) to float32 (N, 3, H, W), normalised."""
        return self.normalisation.apply(images.to(memory_format=memory_format(images.device)))

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Run a batch: uint8 (N, C, H, W) on the network's device to float32 (N, classes).

        A finished network whose `takes_pixels` says so normalises by itself and gets them as they are.

        Raises:
            PrunecalError: the network gives no logits, see `logits_of`.
        """
        pixels = getattr(model, "takes_pixels", False) is True
        inputs = images.to(memory_format=memory_format(images.device)) if pixels else self.inputs(images)
        if self.precision == "float32":
            output = model(inputs)
        else:
            with torch.autocast(images.device.type, getattr(torch, self.precision)):
                output = model(inputs)
        return logits_of(output).float()


def logits_of(output: object) -> Tensor:
    """The logits in what a network returns: itself, `logits` in it, or the first of several.

    Raises:
        PrunecalError: there is no tensor of floats there.
    """
    found = output
    if isinstance(output, Mapping):
        found = output.get("logits")
    elif isinstance(getattr(output, "logits", None), Tensor):
        found = output.logits  # type: ignore[attr-defined]
    elif isinstance(output, (tuple, list)) and output:
        found = output[0]
    if isinstance(found, Tensor) and found.is_floating_point():
        return found
    raise PrunecalError(
        f"wanted logits, float (N, classes), alone, as `logits` of a mapping or an object, or first in a "
        f"tuple; got {described(output)}"
    )


def described(found: object) -> str:
    """What something is, for a message: `int64 (2, 10)`, `a dict with scores`, `a list of (int64 (2,))`."""
    if isinstance(found, torch.dtype):
        return str(found).removeprefix("torch.")
    if isinstance(found, Tensor):
        return f"{described(found.dtype)} {tuple(found.shape)}"
    name = type(found).__name__
    if isinstance(found, Mapping):
        return f"a {name} with {', '.join(map(str, found)) or 'nothing'}"
    if isinstance(found, (tuple, list)):
        return f"a {name} of ({', '.join(map(described, found[:3]))}{', …' * (len(found) > 3)})"
    return f"a {name}"


def lay_out(model: nn.Module, device: torch.device) -> None:
    """Lay a network's weights out, in place, as its device likes them best."""
    model.to(memory_format=memory_format(device))  # type: ignore[call-overload]


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on CUDA; on a CPU, where that speeds up VGG-19 and slows down ResNets, as a tensor is."""
    return torch.channels_last if device.type == "cuda" else torch.preserve_format
