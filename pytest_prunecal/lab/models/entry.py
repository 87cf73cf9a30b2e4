"""A network where it enters: what cannot be measured is refused in a sentence, before anything is trained."""

from __future__ import annotations

import copy
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.forward import described, lay_out
from pytest_prunecal.lab.own_code import told
from pytest_prunecal.lab.randomness import stage

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.forward import Forward

_WAY_OUT = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm",
}

_LARGEST = 256
"""Height or width, in pixels, up to which larger images are tried where a network fails on the data's."""


def own_copy(network: nn.Module, images: Tensor, forward: Forward, what: str) -> nn.Module:
    """A copy of what a builder gave, so that one which it gives again is not trained further.

    Args:
        network: any; lazy modules of it get their parameters.
        images: uint8 (N, 3, H, W), on the device: what these are run on.
        forward: from uint8 to logits.
        what: how a message calls it, such as `model 'net'`.

    Raises:
        PrunecalError: its weights are computed from others, or not float32, or it cannot be copied.
    """
    for name, module in network.named_modules():
        _refuse_computed_weights(module, name, what)
    if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        _materialise(network.to(images.device), images, forward, what)
    for name, parameter in network.named_parameters():
        if parameter.dtype.is_floating_point and parameter.dtype != torch.float32:
            raise PrunecalError(
                f"{what}: {name} is {described(parameter.dtype)}, and networks are trained in float32; "
                "return it so (`precision: bfloat16` in the protocol computes in half precision)"
            )
    try:
        return copy.deepcopy(network)
    except Exception as error:  # noqa: BLE001 - whatever the user's own modules raise
        raise PrunecalError(f"{what}: copy.deepcopy of the network fails: {told(error)}") from None


def _refuse_computed_weights(module: nn.Module, name: str, what: str) -> None:
    """Refuse a layer whose weight follows from other parameters: to set it to zero would not last."""
    layer = f"layer {name!r}" if name else "the network itself"
    for weight in getattr(module, "parametrizations", {}):
        raise PrunecalError(
            f"{what}: {layer} has a parametrised {weight}, which cannot be pruned; end the builder with "
            f"torch.nn.utils.parametrize.remove_parametrizations({_named(name)}, {weight!r})"
        )
    for hook in module._forward_pre_hooks.values():  # noqa: SLF001 - nothing public tells
        if type(hook).__module__.startswith("torch.nn.utils."):
            kind = type(hook).__name__
            weight = getattr(hook, "_tensor_name", None) or getattr(hook, "name", "weight")
            way_out = _WAY_OUT.get(kind, "torch.nn.utils.prune.remove")
            raise PrunecalError(
                f"{what}: {layer} has a {weight} that {kind} computes, which cannot be pruned; end the "
                f"builder with {way_out}({_named(name)}, {weight!r})"
            )


def _named(name: str) -> str:
    return f"network.get_submodule({name!r})" if name else "network"


def _materialise(network: nn.Module, images: Tensor, forward: Forward, what: str) -> None:
    """Give lazy modules their parameters, in place, by running images."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    with torch.no_grad():
        _logits(network, images, forward, what)
    for module, mode in modes.items():
        module.training = mode
    left = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if left:
        raise PrunecalError(f"{what}: {left[0]} is lazy, and running images gives it no shape; give it one")


@dataclass(frozen=True)
class Entry:
    """What a network must be able to do.

    Attributes:
        images: uint8 (2, 3, H, W), of the data, on the CPU.
        classes: of the data.
        forward: from uint8 to logits.
        device: where networks run.
        trained: whether it is trained at all.
    """

    images: Tensor
    classes: int
    forward: Forward
    device: torch.device
    trained: bool

    def check(self, network: nn.Module, what: str) -> None:
        """Run two images through a copy of a network: evaluated, and then trained if that is to be.

        Neither the network nor any generator changes.

        Raises:
            PrunecalError: it fails, or does not give finite float (N, classes).
        """
        probe = copy.deepcopy(network)
        lay_out(probe, self.device)
        images = self.images.to(self.device)
        with stage(self.device, "entry", what), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the measuring itself will give them
            probe.eval()
            with torch.no_grad():
                for count in (len(images), 1):
                    logits = self._logits(probe, images[:count], what, "evaluated")
                    if not torch.isfinite(logits).all():
                        raise PrunecalError(f"{what}: its logits are NaN or infinite")
            if self.trained:
                self._train(probe.train(), images, what)

    def _train(self, probe: nn.Module, images: Tensor, what: str) -> None:
        with torch.enable_grad():
            logits = self._logits(probe, images, what, "trained")
            if not logits.requires_grad:
                raise PrunecalError(
                    f"{what}: its logits depend on no parameter that can be trained (requires_grad, no_grad)"
                )
            try:
                logits.sum().backward()
            except Exception as error:  # noqa: BLE001 - whatever the user's own modules raise
                raise PrunecalError(f"{what}: its backward pass fails: {told(error)}") from None

    def _logits(self, probe: nn.Module, images: Tensor, what: str, doing: str) -> Tensor:
        try:
            logits = _logits(probe, images, self.forward, what)
        except PrunecalError as error:
            raise PrunecalError(f"{error}{self._larger(probe, images)}") from None
        if logits.ndim == 2 and len(logits) == len(images) and logits.shape[1] != self.classes:
            raise PrunecalError(
                f"{what}: it gives {logits.shape[1]} logits an image, and the data have {self.classes} "
                "classes; let the builder take `num_classes` and use it"
            )
        if logits.shape != (len(images), self.classes):
            raise PrunecalError(
                f"{what}: wanted logits, float ({len(images)}, {self.classes}), of {len(images)} images, got "
                f"{described(logits)} when {doing}"
            )
        return logits

    def _larger(self, probe: nn.Module, images: Tensor) -> str:
        """What a message adds where larger images than the data have would do; else nothing."""
        height, width = images.shape[2:]
        factor = 2
        while max(height, width) * factor <= _LARGEST:
            larger = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
            with suppress(Exception):
                if self.forward.logits(probe, larger).shape == (len(images), self.classes):
                    return (
                        f"; it works on images of {height * factor}x{width * factor}: give it larger ones "
                        "(`size` of the protocol's `dataset`, where it has one), or take another network"
                    )
            factor *= 2
        return ""


def _logits(network: nn.Module, images: Tensor, forward: Forward, what: str) -> Tensor:
    """Logits of some images; whatever goes wrong is one sentence."""
    try:
        return forward.logits(network, images)
    except PrunecalError as error:
        raise PrunecalError(f"{what}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever the user's own forward raises
        shape = "x".join(map(str, images.shape[1:]))
        raise PrunecalError(f"{what}: it fails on {len(images)} images of {shape}: {told(error)}") from None
