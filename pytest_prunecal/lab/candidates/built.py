"""A candidate that Python code builds: a module in evaluation mode, or any callable from images to logits."""

from __future__ import annotations

import copy
import hashlib
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates.counted import is_unusual, of_unusual, packed_modules
from pytest_prunecal.lab.candidates.finished import Finished, Running
from pytest_prunecal.lab.forward import lay_out
from pytest_prunecal.lab.metrics.complexity import weights
from pytest_prunecal.lab.models.builder import call
from pytest_prunecal.lab.own_code import imported, told
from pytest_prunecal.lab.randomness import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_prunecal.study.measurement import Number

_HALVES = (torch.float16, torch.bfloat16, torch.float64)


def load(
    source: str | Callable[..., Any],
    offered: Mapping[str, Any],
    shape: Sequence[int],
    device: torch.device,
    seed: tuple[object, ...],
    what: str,
) -> Finished:
    """Have a candidate built.

    Args:
        source: what builds it, or where that is, as `package.module:callable`; a module is already built.
        offered: our arguments, by name; see `builder.call`.
        shape: (channels, height, width) of the data's images.
        device: where it is to run.
        seed: what the random numbers of building depend on.
        what: how messages call it.

    Raises:
        PrunecalError: it cannot be built; in one sentence.
    """
    builder = imported(source, what)
    network = builder if isinstance(builder, nn.Module) else _built(builder, offered, device, seed, what)
    if not isinstance(network, nn.Module):
        if not callable(network):
            raise PrunecalError(
                f"{what}: its builder returned a {type(network).__name__}; wanted an nn.Module, or a "
                "function from images to logits"
            )
        return Finished(Running(network))
    with suppress(Exception):  # packed weights may not be copied; then it is measured as it is
        network = copy.deepcopy(network)
    with suppress(NotImplementedError):  # an exported graph has no modes
        network.eval()
    on_cpu = bool(packed_modules(network))
    try:
        network = network.to("cpu" if on_cpu else device)
        if not on_cpu and not is_unusual(network):
            lay_out(network, device)
        run = Packed(network) if on_cpu else network
        costs: dict[str, Number] = of_unusual(network, run, shape) if is_unusual(network) else {}
        own = None if costs else weights(network)
    except Exception as error:  # noqa: BLE001 - whatever the user's own modules raise
        raise PrunecalError(f"{what}: it cannot be measured: {told(error)}") from None
    return Finished(Running(run, dtype_of(network)), costs, network, own, on_cpu, state=state_of(network))


def _built(
    builder: object, offered: Mapping[str, Any], device: torch.device, seed: tuple[object, ...], what: str
) -> Any:  # noqa: ANN401 - whatever the user's builder gives
    if not callable(builder):
        raise PrunecalError(f"{what}: a {type(builder).__name__} builds nothing; name a callable")
    with stage(device, *seed):
        try:
            return call(builder, offered, what)
        except PrunecalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the user's own code raises
            raise PrunecalError(f"{what}: its builder fails: {told(error)}") from None


class Packed:
    """Runs a network of packed layers, which torch refuses where everything must be deterministic.

    It refuses them since they make a tensor larger before they fill it, and nothing is read in between. What
    else has no deterministic implementation is refused all the same.

    Args:
        network: any.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self, images: torch.Tensor) -> object:
        """Run a batch."""
        mode = torch.get_deterministic_debug_mode()
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*does not have a deterministic implementation")
            warnings.filterwarnings("ignore", message="quantized_resize_cpu_ does not have")
            torch.set_deterministic_debug_mode("warn" if mode else "default")
            try:
                return self._network(images)
            finally:
                torch.set_deterministic_debug_mode(mode)


def dtype_of(network: nn.Module) -> torch.dtype:
    """What a network computes in: the type of its first weights, if that is another float than float32."""
    first = next((one for one in network.parameters() if one.is_floating_point()), None)
    return first.dtype if first is not None and first.dtype in _HALVES else torch.float32


def state_of(network: nn.Module) -> str:
    """SHA-256, in hex, of all numbers that a network keeps, whatever it keeps them in."""
    state = hashlib.sha256()
    for name, tensor in _tensors(network.state_dict(), ""):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def _tensors(found: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ANN401 - whatever a state holds
    """Plain tensors in a state, by name: what quantised ones are made of, and those within other things."""
    if isinstance(found, torch.Tensor):
        flatten = getattr(found, "__tensor_flatten__", None)
        if type(found) not in (torch.Tensor, nn.Parameter) and flatten is not None:
            for part in flatten()[0]:
                yield from _tensors(getattr(found, part), f"{name}.{part}")
        elif found.is_quantized:
            yield f"{name}.int", found.int_repr()
            yield f"{name}.value", found.dequantize()
        else:
            yield name, found.detach()
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _tensors(value, f"{name}.{key}")
    elif isinstance(found, (tuple, list)):
        for place, value in enumerate(found):
            yield from _tensors(value, f"{name}.{place}")
