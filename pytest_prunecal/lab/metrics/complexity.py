"""How big a network is: parameters, multiply-accumulates, sparsity."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.ranked import ranked_weights
from pytest_prunecal.lab.randomness import stage

if TYPE_CHECKING:
    from collections.abc import Iterator


def parameters(model: nn.Module) -> int:
    """Number of parameters, masked zeros included; a shared one counts once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of the conv and linear modules and of attention's projections for one image.

    Zeros count like any weight: a masked network costs what a dense one does. A module counts as often as it
    runs. Additions of biases, BN, activations, pooling and the products of attention are left out, as is
    usual. Neither the model nor any random generator changes.

    Args:
        model: a network of `Conv1d/2d/3d`, their transposes, `Linear` and `MultiheadAttention` modules.
        input_shape: (channels, height, width) of the image.

    Returns:
        The count; half of what `torch.utils.flop_counter.FlopCounterMode` reports.

    Raises:
        PrunecalError: the network cannot take such an image.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:  # noqa: ANN401
        nonlocal total
        if isinstance(module, nn.Linear):
            total += output.numel() * module.in_features
        elif isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            total += output.numel() * (module.weight.numel() // module.out_channels)
        elif isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
            total += inputs[0].numel() * (module.weight.numel() // module.in_channels)
        elif isinstance(module, nn.MultiheadAttention):
            read = [*inputs, *(named[name] for name in ("query", "key", "value") if name in named)][:3]
            total += module.embed_dim * (sum(tensor.numel() for tensor in read) + output[0].numel())

    # A copy, so that no mode has to be restored and no hook removed, whatever happens in between.
    probe = copy.deepcopy(model).eval()
    for module in probe.modules():
        module.register_forward_hook(count, with_kwargs=True)
    like = next(probe.parameters(), torch.empty(0))
    image = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
    with torch.no_grad(), _every_module_called(), stage(like.device, "macs"):
        try:
            probe(image)
        except RuntimeError as error:
            shape = "x".join(map(str, input_shape))
            reason = str(error).splitlines()[0]
            raise PrunecalError(f"{type(model).__name__} cannot take a {shape} image: {reason}") from error
    return total


@contextmanager
def _every_module_called() -> Iterator[None]:
    """Have transformers of torch call their modules: its fast path goes by them."""
    found = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(found)


def weights(model: nn.Module) -> int:
    """Number of weights that could be pruned, zeros included: what `sparsity` takes of the dense network."""
    return sum(weight.numel() for weight in ranked_weights(model).values())


def sparsity(model: nn.Module, dense_weights: int) -> float:
    """Share of the dense network's weights that are gone, whether removed or set to zero.

    Counted are those that weight pruning ranks, each once; see `models.ranked.ranked_weights`.

    Args:
        model: the pruned network.
        dense_weights: `weights` of the network before pruning.

    Returns:
        1 - nonzero / dense, in [0, 1]; 0 for a network that has none.

    Raises:
        PrunecalError: the pruned network has more nonzero weights than the dense one had weights.
    """
    nonzero = sum(int(torch.count_nonzero(weight)) for weight in ranked_weights(model).values())
    if nonzero > dense_weights:
        raise PrunecalError(
            f"the pruned {type(model).__name__} has {nonzero} nonzero weights in its layers, and the dense "
            f"network {dense_weights} weights: a pruner must not add any"
        )
    return 1 - nonzero / dense_weights if dense_weights else 0.0
