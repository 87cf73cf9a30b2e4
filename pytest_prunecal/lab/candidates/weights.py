"""A candidate in a safetensors file: its model's network, narrowed where the file's weights are narrower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates.finished import Finished
from pytest_prunecal.lab.checkpoint import prefix_of, put, read
from pytest_prunecal.lab.metrics.complexity import weights
from pytest_prunecal.lab.models.norms import NORMS
from pytest_prunecal.lab.models.tied import with_all_names
from pytest_prunecal.lab.own_code import told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from pytest_prunecal.study.measurement import Number

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def load(path: Path, network: nn.Module, image: Tensor, model: str, what: str) -> Finished:
    """Load a file of weights into a network as its model's builder gives it.

    Args:
        path: the file.
        network: untrained; it is changed in place.
        image: float32 (1, 3, H, W), on the network's device: what a narrowed network is tried with.
        model: the model's name.
        what: how messages call the file.

    Raises:
        PrunecalError: the file is no file of weights, or they do not fit the network; in one sentence, which
            names the first layer that does not.
    """
    dense_weights = weights(network)
    state, sha256 = read(path, what)
    narrowed = narrow(network, state, what)
    put(state, network, what, model)
    network.eval()
    if narrowed:
        _try(network, image, what)
    costs: dict[str, Number] = {"bytes": path.stat().st_size}
    return Finished(network, costs, network, dense_weights, sha256=sha256, state=sha256)


def narrow(network: nn.Module, state: Mapping[str, Tensor], what: str) -> list[str]:
    """Make the layers of a network, in place, as narrow as the weights that they will get.

    Args:
        network: as built.
        state: tensors by name, with or without a part that stands before every name; names that the network
            has not are left alone.
        what: how messages call the file.

    Returns:
        Names of the layers that are narrower now.

    Raises:
        PrunecalError: a layer's tensor is no narrower version of its own, or its tensors disagree.
    """
    wanted = network.state_dict()
    prefix = prefix_of(wanted.keys(), state.keys())
    found = with_all_names({name.removeprefix(prefix): tensor for name, tensor in state.items()}, wanted)
    by_layer: dict[str, dict[str, Tensor]] = {}
    for name, own in wanted.items():
        if name in found and found[name].shape != own.shape:
            _check_narrower(name, found[name], own, what)
            layer, _, attribute = name.rpartition(".")
            by_layer.setdefault(layer, {})[attribute] = found[name]
    for layer, tensors in by_layer.items():
        _narrow(network.get_submodule(layer), tensors)
    return list(by_layer)


def _check_narrower(name: str, found: Tensor, own: Tensor, what: str) -> None:
    """Refuse what pruning cannot have left of a tensor: channels go, kernels stay as large as they are."""
    fits = found.ndim == own.ndim
    fits = fits and all(0 < left <= size for left, size in zip(found.shape, own.shape, strict=True))
    if not fits or found.shape[2:] != own.shape[2:]:
        raise PrunecalError(
            f"{what}: {name} has shape {tuple(found.shape)}, which is no pruned {tuple(own.shape)}, the "
            "shape of the network that the model's builder gives"
        )


def _narrow(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put empty tensors of other shapes into a layer, and tell its sizes anew."""
    own: Any = module
    previous = getattr(module, "weight", None)
    for name, tensor in tensors.items():
        old = getattr(module, name)
        empty = torch.empty(tensor.shape, dtype=old.dtype, device=old.device)
        setattr(own, name, nn.Parameter(empty, old.requires_grad) if isinstance(old, nn.Parameter) else empty)
    if not isinstance(previous, torch.Tensor):
        return
    weight = own.weight
    if isinstance(module, (*_CONVS, *_TRANSPOSED)):
        _tell_conv(own, previous)
    elif isinstance(module, nn.Linear):
        own.out_features, own.in_features = weight.shape
    elif isinstance(module, NORMS + _INSTANCE_NORMS):
        own.num_features = len(weight)
    elif isinstance(module, nn.GroupNorm):
        own.num_channels = len(weight)
    elif isinstance(module, nn.LayerNorm):
        own.normalized_shape = tuple(weight.shape)
    elif isinstance(module, nn.PReLU):
        own.num_parameters = len(weight)


def _tell_conv(conv: Any, previous: Tensor) -> None:  # noqa: ANN401 - any of torch's six conv classes
    transposed = isinstance(conv, _TRANSPOSED)
    first, second = conv.weight.shape[:2]
    if conv.groups > 1 and previous.shape[1] == second == 1:  # depthwise: each channel is a group
        conv.groups = max(1, first * conv.groups // previous.shape[0])
    inputs, outputs = (first, second * conv.groups) if transposed else (second * conv.groups, first)
    conv.in_channels, conv.out_channels = inputs, outputs


def _try(network: nn.Module, image: Tensor, what: str) -> None:
    """Run an image; raises PrunecalError that names the layer where it fails."""
    running: list[str] = []
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
        handles.append(module.register_forward_hook(lambda *_: running.pop() and None))
    try:
        with torch.no_grad():
            network(image)
    except Exception as error:  # noqa: BLE001 - whatever the user's own modules raise
        layer = f"layer {running[-1]!r}" if running and running[-1] else "the network"
        raise PrunecalError(
            f"{what}: its layers do not fit together: {layer} fails on what comes to it: {told(error)}"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
