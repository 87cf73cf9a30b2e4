"""Taking channels out of any network, and the network that computes the same with all of them in place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from pytest_prunecal.lab.models.norms import NORMS
from pytest_prunecal.lab.models.ranked import CONVS
from pytest_prunecal.lab.pruners.coupled import Part, is_depthwise, width_of
from pytest_prunecal.lab.pruners.surgery import narrow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_prunecal.lab.pruners.coupled import Coupled

Cuts = dict[tuple[str, bool, int], tuple[Part, Tensor]]
"""By layer, side and dimension: the part, and the entries that go, int64, increasing."""


def cuts_of(removed: Iterable[tuple[Coupled, Tensor]]) -> Cuts:
    """Collect what goes layer by layer, so that each is cut once, whatever the order of groups.

    Args:
        removed: groups, and the channels that go, int64.
    """
    found: Cuts = {}
    for group, channels in removed:
        for part, gone in group.parts_without(channels):
            key = part.name, part.out, part.dim
            before = found[key][1] if key in found else gone[:0]
            found[key] = part, torch.cat([before, gone]).unique()
    return found


def without(network: nn.Module, cuts: Cuts) -> nn.Module:
    """A copy of a network that lacks some entries of its layers."""
    small = copy.deepcopy(network)
    done: set[str] = set()
    for part, gone in cuts.values():
        keep = _kept(width_of(network, part), gone)
        if part.dim >= 0:
            owner, _, name = part.name.rpartition(".")
            narrow(small.get_submodule(owner), name, part.dim, keep)
            continue
        layer = small.get_submodule(part.name)
        both = not isinstance(layer, (*CONVS, nn.Linear)) or is_depthwise(network.get_submodule(part.name))
        if both and part.name in done:
            continue
        done.add(part.name)
        _narrow_layer(layer, keep, out=part.out, both=both)
    _settle(small)
    return small


def _kept(width: int, gone: Tensor) -> Tensor:
    keep = torch.ones(width, dtype=torch.bool)
    keep[gone] = False
    return keep.nonzero().flatten()


def _narrow_layer(layer: nn.Module, keep: Tensor, *, out: bool, both: bool) -> None:
    """Keep some entries of a layer, in place."""
    if isinstance(layer, CONVS):
        _narrow_conv(layer, keep, out=out, both=both)
    elif isinstance(layer, nn.Linear):
        narrow(layer, "weight", 0 if out else 1, keep)
        if out:
            narrow(layer, "bias", 0, keep)
        setattr(layer, "out_features" if out else "in_features", keep.numel())
    elif isinstance(layer, nn.MultiheadAttention):
        _narrow_attention(layer, keep)
    elif not isinstance(layer, nn.PReLU) or layer.num_parameters > 1:
        _narrow_norm(layer, keep)


def _narrow_norm(layer: nn.Module, keep: Tensor) -> None:
    """A norm, or a PReLU: whatever it has for each channel."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        if hasattr(layer, name):
            narrow(layer, name, -1, keep)
    if isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = (*layer.normalized_shape[:-1], keep.numel())
    for name in ("num_features", "num_channels", "num_parameters"):
        if hasattr(layer, name):
            setattr(layer, name, keep.numel())


def _narrow_conv(layer: nn.Module, keep: Tensor, *, out: bool, both: bool) -> None:
    """One side of a conv, or both of a depthwise one; every group of a grouped one loses the same places."""
    transposed, groups = bool(layer.transposed), cast("int", layer.groups)
    if out:
        narrow(layer, "bias", 0, keep)
    for name in (
        ("out_channels", "in_channels", "groups") if both else (f"{'out' if out else 'in'}_channels",)
    ):
        setattr(layer, name, keep.numel())
    dim = 0 if both or out != transposed else 1
    if dim == 1 and groups > 1:  # which holds the places in one group
        keep = keep[: keep.numel() // groups]
    narrow(layer, "weight", dim, keep)


def _narrow_attention(layer: nn.MultiheadAttention, keep: Tensor) -> None:
    """Tokens and heads get narrower at once: the same places in each head."""
    triple = torch.cat([keep, keep + layer.embed_dim, keep + 2 * layer.embed_dim])
    narrow(layer, "in_proj_weight", 0, triple)
    narrow(layer, "in_proj_weight", 1, keep)
    narrow(layer, "in_proj_bias", 0, triple)
    for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        narrow(layer, name, 0, keep)
    for name in ("bias_k", "bias_v"):
        narrow(layer, name, 2, keep)
    narrow(layer.out_proj, "weight", 0, keep)
    narrow(layer.out_proj, "weight", 1, keep)
    narrow(layer.out_proj, "bias", 0, keep)
    layer.out_proj.in_features = layer.out_proj.out_features = keep.numel()
    layer.embed_dim = layer.kdim = layer.vdim = keep.numel()
    layer.head_dim = layer.embed_dim // layer.num_heads


def _settle(network: nn.Module) -> None:
    """Set the widths that some networks keep beside their layers and compute with."""
    for module in network.modules():
        patches = getattr(module, "conv_proj", None)
        if isinstance(patches, nn.Conv2d) and isinstance(getattr(module, "hidden_dim", None), int):
            module.hidden_dim = patches.out_channels  # type: ignore[assignment] # torchvision's VisionTransformer


@torch.no_grad()
def masked(network: nn.Module, cuts: Cuts, small: nn.Module) -> nn.Module:
    """A copy of a network, all channels in place, that computes what the smaller one must.

    What goes is zero where it is made, where it is scaled and where it is read. A norm over channels, and
    torch's attention, whose results depend on how many there are, compute over those that stay.

    Args:
        network: as it was.
        cuts: what goes.
        small: `without(network, cuts)`.
    """
    full = copy.deepcopy(network)
    for part, gone in cuts.values():
        gone = gone.to(next(full.parameters()).device)  # noqa: PLW2901
        if part.dim >= 0:
            full.get_parameter(part.name).index_fill_(part.dim, gone, 0)
            continue
        layer = full.get_submodule(part.name)
        if isinstance(layer, CONVS):
            _zero_conv(layer, gone, out=part.out)
        elif isinstance(layer, nn.Linear):
            layer.weight.index_fill_(0 if part.out else 1, gone, 0)
            if part.out and layer.bias is not None:
                layer.bias[gone] = 0
        elif isinstance(layer, NORMS):
            for values in (layer.weight, layer.bias):
                if values is not None:
                    values[gone] = 0
        elif not isinstance(layer, nn.PReLU):
            keep = _kept(width_of(network, part), gone.cpu()).to(gone.device)
            _over_kept(layer, small.get_submodule(part.name), keep)
    return full


def _zero_conv(layer: nn.Module, gone: Tensor, *, out: bool) -> None:
    weight, bias = cast("Tensor", layer.weight), cast("Tensor | None", layer.bias)
    groups = cast("int", layer.groups)
    if out and bias is not None:
        bias[gone] = 0
    if out != bool(layer.transposed):
        weight.index_fill_(0, gone, 0)
        return
    # Along dimension 1 lie the places in a group, along 0 group after group.
    each, rows = weight.shape[1], weight.shape[0] // groups
    for one in gone.tolist():
        group = one // each
        weight[group * rows : (group + 1) * rows, one % each] = 0


def _over_kept(layer: nn.Module, small: nn.Module, keep: Tensor) -> None:
    """Have a layer compute over the channels that stay."""
    attention = isinstance(layer, nn.MultiheadAttention)

    def instead(_: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, object], output: object) -> object:
        first = cast("Tensor", output[0] if isinstance(output, tuple) else output)
        dim = -1 if attention else _channels_at(layer)
        at = [one.index_select(dim, keep) for one in inputs[: 3 if attention else 1]]
        of = {
            key: value.index_select(dim, keep)
            if key in ("query", "key", "value") and isinstance(value, Tensor)
            else value
            for key, value in named.items()
        }
        found = small(*at, *inputs[len(at) :], **of)
        found = found[0] if isinstance(found, tuple) else found
        whole = torch.zeros_like(first).index_copy(dim % first.ndim, keep, found)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    layer.register_forward_hook(instead, with_kwargs=True)


def _channels_at(layer: nn.Module) -> int:
    """The dimension of channels: the last for a LayerNorm, the second for what people derive for maps."""
    if isinstance(layer, nn.LayerNorm) and "2d" not in type(layer).__name__.lower():
        return -1
    return 1
