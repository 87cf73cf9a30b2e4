"""What a finished network costs whose layers are none of torch's usual ones: packed, traced or exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from pytest_prunecal.study.measurement import Number

_PRODUCTS = {
    torch.ops.aten.mm,
    torch.ops.aten.addmm,
    torch.ops.aten.convolution,
    torch.ops.aten._convolution,  # noqa: SLF001 - an operator's name
}


def macs(run: Callable[[Tensor], object], image: Tensor) -> int:
    """Multiply-accumulates of convs and of products with a matrix, by what is dispatched for one image.

    Products of two batches, as attention's, are left out, as `metrics.complexity.macs` leaves them out.

    Args:
        run: the network.
        image: (1, 3, H, W), as it takes it.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run(image)
    counts = counter.get_flop_counts().get("Global", {})
    return sum(int(count) for operator, count in counts.items() if operator in _PRODUCTS) // 2


def of_tensors(tensors: Iterable[Tensor]) -> dict[str, Number]:
    """`parameters`, and `sparsity` as the share of zeros in those of two dimensions and more."""
    found = [plain(tensor) for tensor in tensors]
    ranked = [tensor for tensor in found if tensor.ndim > 1]
    total = sum(tensor.numel() for tensor in ranked)
    nonzero = sum(int(torch.count_nonzero(tensor)) for tensor in ranked)
    return {
        "parameters": sum(tensor.numel() for tensor in found),
        "sparsity": 1 - nonzero / total if total else 0.0,
    }


def plain(tensor: Tensor) -> Tensor:
    """The numbers that a tensor stands for; those of a quantised one are computed from its whole numbers."""
    usual = type(tensor) in (torch.Tensor, nn.Parameter) and not tensor.is_quantized
    return tensor.detach() if usual else tensor.detach().dequantize()


def packed_modules(network: nn.Module) -> list[nn.Module]:
    """Layers that keep quantised weights packed and hand them out by a method, as those of torch.ao do."""
    return [module for module in network.modules() if _packed(module) is not None]


def is_unusual(network: nn.Module) -> bool:
    """Whether the usual functions would miscount a network: weights are packed, or of another class."""
    kinds = {type(parameter) for parameter in network.parameters()}
    return bool(packed_modules(network)) or not kinds <= {nn.Parameter, torch.Tensor}


def of_unusual(
    network: nn.Module, run: Callable[[Tensor], object], image: Sequence[int]
) -> dict[str, Number]:
    """`parameters`, `macs` and `sparsity` of such a network.

    Args:
        network: on the CPU if its weights are packed.
        run: runs it.
        image: (channels, height, width).
    """
    if not packed_modules(network):  # torchao: layers of torch, whose weights are of another class
        return of_tensors(network.parameters())
    return {**of_tensors(_all_tensors(network)), "macs": _packed_macs(network, run, image)}


def _packed(module: nn.Module) -> Tensor | None:
    weight: Any = getattr(module, "weight", None)
    if not callable(weight) or isinstance(weight, torch.Tensor):
        return None
    try:
        found = weight()
    except (TypeError, RuntimeError):
        return None
    return found if isinstance(found, torch.Tensor) else None


def _all_tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    for module in packed_modules(network):
        own: Any = module
        weight = _packed(module)
        if weight is not None:
            yield weight
        bias = own.bias() if callable(getattr(own, "bias", None)) else None
        if isinstance(bias, torch.Tensor):
            yield bias


def _packed_macs(network: nn.Module, run: Callable[[Tensor], object], image: Sequence[int]) -> int:
    """What the usual function counts, of packed layers: outputs, times the inputs that each is made of."""
    total = 0

    def count(module: nn.Module, _: object, output: Any) -> None:  # noqa: ANN401 - a layer's own
        nonlocal total
        weight = _packed(module)
        if weight is None and isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            weight = module.weight
        if weight is not None and isinstance(output, torch.Tensor):
            total += output.numel() * weight[0].numel()

    handles = [module.register_forward_hook(count) for module in network.modules()]
    try:
        with torch.no_grad():
            run(torch.zeros(1, *image))
    finally:
        for handle in handles:
            handle.remove()
    return total
