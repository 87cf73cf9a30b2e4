"""A network from a file of its weights: safetensors, which holds tensors and nothing that could run."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.models.tied import with_all_names
from pytest_prunecal.study import weights_file
from pytest_prunecal.study.weights_file import short

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from pytest_prunecal.study.given_base import GivenBase

_COUNTS = "num_batches_tracked"
"""Counts of seen batches: some exporters leave them out, and nothing here reads them."""


def load_given(network: nn.Module, given: GivenBase, model: str) -> None:
    """Load given weights into a network, in place; what was made of them besides is told as a warning.

    A part that stands before every name, such as `module.` or `state_dict.`, is taken off if names then fit.
    Weights of other floating-point types than the network's are converted to its own.

    Args:
        network: built as the protocol says.
        given: the file.
        model: the model's name, for messages.

    Raises:
        PrunecalError: the file cannot be read, is not the one that is pinned, or holds other tensors than the
            network's, tensors of another kind, or values that are not finite.
    """
    state, sha256 = read(given.path, given.name)
    if given.sha256 and sha256 != given.sha256:
        raise PrunecalError(f"{given.name}: is not the file that the baseline names: its sha256 differs")
    put(state, network, given.name, model)


def read(path: Path, what: str) -> tuple[dict[str, Tensor], str]:
    """Read a file of weights: its tensors by name, and the SHA-256, in hex, of its bytes.

    Raises:
        PrunecalError: it cannot be read, or holds no weights of a network.
    """
    weights_file.check(path, what)
    try:
        content = path.read_bytes()
        return load(content), hashlib.sha256(content).hexdigest()
    except (OSError, SafetensorError) as error:
        raise PrunecalError(f"{what}: is no readable safetensors file: {error}") from None


def put(state: Mapping[str, Tensor], network: nn.Module, what: str, model: str) -> None:
    """Put weights into a network, in place; what was made of them besides is told as a warning.

    Args:
        state: as `read` gives it.
        network: built as the protocol says.
        what: how messages call the file.
        model: the model's name, for messages.

    Raises:
        PrunecalError: they are not the network's; see `load_given`.
    """
    wanted = network.state_dict()
    prefix = prefix_of(wanted.keys(), state.keys())
    state = with_all_names({name.removeprefix(prefix): tensor for name, tensor in state.items()}, wanted)
    problem = _mismatch(wanted, state)
    if problem:
        taken = f" (without the {short(prefix)!r} before every name)" if prefix else ""
        raise PrunecalError(f"{what}: {problem}{taken}, so it is no {model} of this protocol")
    _tell(what, prefix, wanted, state)
    network.load_state_dict({name: state.get(name, tensor) for name, tensor in wanted.items()})


def prefix_of(wanted: Collection[str], found: Collection[str]) -> str:
    """What stands before every name of a file and not of the network's; empty if that explains nothing.

    Wrappers add it (`module.` DataParallel, `_orig_mod.` torch.compile), and so does a state that lies in
    another mapping (`state_dict.`). Of several parts, as many are taken off as make most names fit.
    """
    first, *_ = found
    ends = [end for end, letter in enumerate(first, 1) if letter == "."]
    prefixes = ["", *(first[:end] for end in ends if all(name.startswith(first[:end]) for name in found))]
    return max(prefixes, key=lambda prefix: len({name.removeprefix(prefix) for name in found} & set(wanted)))


def _mismatch(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Say how a checkpoint differs from what a network needs; empty if it fits."""
    needed = {name for name in wanted if not name.endswith(_COUNTS)}
    for names, problem in (
        (needed - found.keys(), "it lacks"),
        (found.keys() - wanted.keys(), "it has the unknown"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{problem} {short(min(names))}{more}"
    for name, tensor in found.items():
        own = wanted[name]
        if tensor.shape != own.shape:
            return f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(own.shape)}"
        if tensor.is_floating_point() != own.is_floating_point() and not name.endswith(_COUNTS):
            return f"{name} is {_type(tensor)}, wanted {_type(own)}"
        if not torch.isfinite(tensor).all():
            return f"{name} holds NaN or infinite values"
        if not torch.isfinite(tensor.to(own.dtype)).all():
            return f"{name} holds values beyond those of {_type(own)}"
    return ""


def _tell(what: str, prefix: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Warn of what was made of a checkpoint before it fitted."""
    if prefix:
        warnings.warn(
            f"{what}: {prefix!r} was taken off the name of every tensor", MeasurementWarning, stacklevel=3
        )
    kinds = {(_type(tensor), _type(wanted[name])) for name, tensor in found.items()}
    for theirs, ours in sorted(kinds):
        if theirs != ours and "float" in ours:
            warnings.warn(
                f"{what}: its {theirs} tensors are measured as {ours}", MeasurementWarning, stacklevel=3
            )


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
