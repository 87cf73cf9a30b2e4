"""A network from a file of its weights: safetensors, which holds tensors and nothing that could run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.tied import with_all_names

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pytest_prunecal.study.given_base import GivenBase


def load_given(network: nn.Module, given: GivenBase, model: str) -> None:
    """Load given weights into a network, in place.

    Args:
        network: built as the protocol says.
        given: the file.
        model: the model's name, for messages.

    Raises:
        PrunecalError: the file cannot be read, is not the one that is pinned, or holds other tensors than the
            network's, or values that are not finite.
    """
    what = f"{'pinned base' if given.sha256 else 'checkpoint'} {given.path}"
    try:
        content = given.path.read_bytes()
        if given.sha256 and hashlib.sha256(content).hexdigest() != given.sha256:
            raise PrunecalError(f"{what}: is not the file that the baseline names: its sha256 differs")
        state = load(content)
    except (OSError, SafetensorError) as error:
        raise PrunecalError(f"{what}: is no readable safetensors file: {error}") from None
    wanted = network.state_dict()
    state = with_all_names(state, wanted)
    problem = _mismatch(wanted, state)
    if problem:
        raise PrunecalError(f"{what}: {problem}, so it is no {model} of this protocol")
    network.load_state_dict({name: state.get(name, tensor) for name, tensor in wanted.items()})


def _mismatch(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    """Say how a checkpoint differs from what a network needs; empty if it fits."""
    # Counts of seen batches: some exporters leave them out, and nothing here reads them.
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    for names, problem in (
        (needed - found.keys(), "it lacks"),
        (found.keys() - wanted.keys(), "it has the unknown"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{problem} {min(names)}{more}"
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            return f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted[name].shape)}"
        if not torch.isfinite(tensor).all():
            return f"{name} holds NaN or infinite values"
    return ""
