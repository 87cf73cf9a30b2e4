"""How big a network is: parameters, multiply-accumulates, sparsity."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError


def parameters(model: nn.Module) -> int:
    """Number of parameters, masked zeros included; a shared one counts once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of the conv and linear modules for one image.

    Zeros count like any weight: a masked network costs what a dense one does. Additions of biases, BN,
    activations and pooling are left out, as is usual. Neither the model nor any random generator changes.

    Args:
        model: a network whose convs and linear layers are `Conv1d/2d/3d` and `Linear` modules.
        input_shape: (channels, height, width) of the image.

    Returns:
        The count; half of what `torch.utils.flop_counter.FlopCounterMode` reports.

    Raises:
        PrunecalError: the network cannot take such an image.
    """
    total = 0

    def count(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += output.numel() * module.in_features
        elif isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            total += output.numel() * (module.weight.numel() // module.out_channels)

    # A copy, so that no mode has to be restored and no hook removed, whatever happens in between.
    probe = copy.deepcopy(model).eval()
    for module in probe.modules():
        module.register_forward_hook(count)
    like = next(probe.parameters(), torch.empty(0))
    image = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
    devices = [like.device] if like.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        try:
            probe(image)
        except RuntimeError as error:
            shape = "x".join(map(str, input_shape))
            reason = str(error).splitlines()[0]
            raise PrunecalError(f"{type(model).__name__} cannot take a {shape} image: {reason}") from error
    return total


def conv_weights(model: nn.Module) -> int:
    """Number of `Conv2d` weights, zeros included, biases not: what `sparsity` takes of the dense network."""
    return sum(weight.numel() for weight in _conv_weights(model))


def sparsity(model: nn.Module, dense_conv_weights: int) -> float:
    """Share of the dense network's conv weights that are gone, whether removed or set to zero.

    Args:
        model: the pruned network.
        dense_conv_weights: `conv_weights` of the network before pruning, at least 1.

    Returns:
        1 - nonzero / dense, in [0, 1].

    Raises:
        ValueError: the dense network has fewer conv weights than the pruned one has nonzero ones, or none.
    """
    nonzero = sum(int(torch.count_nonzero(weight)) for weight in _conv_weights(model))
    if not 0 < dense_conv_weights >= nonzero:
        raise ValueError(f"{nonzero} nonzero conv weights left of {dense_conv_weights}")
    return 1 - nonzero / dense_conv_weights


def _conv_weights(model: nn.Module) -> list[Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
