"""Taking channels out of a network for real: modules get narrower, their other traits stay."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.layers import ChannelSelection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_prunecal.lab.models.groups import ChannelGroup

M = TypeVar("M", bound=nn.Module)


def module_at(model: nn.Module, name: str, kind: type[M]) -> M:
    """The module of that dotted name, which a network's channel groups say is of that kind.

    Raises:
        PrunecalError: there is none of that name, or it is of another kind.
    """
    where = f"channel_groups() of {type(model).__name__} names {name!r}, which is"
    try:
        found = model.get_submodule(name)
    except AttributeError:
        raise PrunecalError(f"{where} no module") from None
    if not isinstance(found, kind):
        raise PrunecalError(f"{where} a {type(found).__name__}, not a {kind.__name__}")
    return found


def without_channels(model: nn.Module, kept: Sequence[tuple[ChannelGroup, Tensor]]) -> nn.Module:
    """A copy of a network that has only the kept channels of some of its groups.

    Its output is that of the network with scale and shift of the removed channels' BN set to zero.

    Args:
        model: the network, left as it is.
        kept: per group, increasing indices (int64) of the channels that stay.

    Raises:
        PrunecalError: a group's names or widths do not fit the network, or a layer shares its weight with
            another.
    """
    model = copy.deepcopy(model)
    _refuse_shared(model, {name for group, _ in kept for name in _layers(group)})
    for group, index in kept:
        channels = width(model, group)
        if group.selection is not None:
            selection = module_at(model, group.selection, ChannelSelection)
            selection.index = selection.index[index.to(selection.index.device)]
        else:
            if group.producer is not None:
                narrow_conv_outputs(module_at(model, group.producer, nn.Conv2d), index)
            if group.bn is not None:
                narrow_batch_norm(module_at(model, group.bn, nn.BatchNorm2d), index)
        for name in group.consumers:
            narrow_inputs(module_at(model, name, nn.Module), index, channels, name)
    return model


def _layers(group: ChannelGroup) -> list[str]:
    """The modules that lose channels with a group."""
    makers = (group.producer, group.bn) if group.selection is None else ()
    return [name for name in (*makers, *group.consumers) if name]


def _refuse_shared(model: nn.Module, layers: set[str]) -> None:
    """Refuse layers whose parameters have another name too: only one of the two would get narrower."""
    first: dict[nn.Parameter, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        other = first.setdefault(parameter, name)
        for shared in (name, other):
            if other != name and shared.rpartition(".")[0] in layers:
                raise PrunecalError(
                    f"{other} and {name} are one tensor, and filter and channel pruning cannot take channels "
                    f"out of one of them alone; leave {shared.rpartition('.')[0]!r} out of channel_groups()"
                )


def width(model: nn.Module, group: ChannelGroup) -> int:
    """How many channels a group has now.

    Raises:
        PrunecalError: producer and BN disagree about it, or a name is wrong.
    """
    if group.selection is not None:
        return module_at(model, group.selection, ChannelSelection).index.numel()
    channels = module_at(model, group.producer or "", nn.Conv2d).out_channels
    if group.bn is not None and module_at(model, group.bn, nn.BatchNorm2d).num_features != channels:
        raise PrunecalError(
            f"{group.bn!r} has another width than the {channels} outputs of {group.producer!r}"
        )
    return channels


def narrow_conv_outputs(conv: nn.Conv2d, index: Tensor) -> None:
    """Keep only the filters at `index`, in place."""
    _refuse_grouped(conv)
    narrow(conv, "weight", 0, index)
    narrow(conv, "bias", 0, index)
    conv.out_channels = index.numel()


def narrow_batch_norm(bn: nn.BatchNorm2d, index: Tensor) -> None:
    """Keep only the channels at `index`, affine parameters and running statistics alike, in place."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        narrow(bn, name, 0, index)
    bn.num_features = index.numel()


def narrow_inputs(consumer: nn.Module, index: Tensor, channels: int, name: str = "") -> None:
    """Keep only the inputs that read the channels at `index`, in place.

    Args:
        consumer: a `Conv2d` of `channels` inputs, or a `Linear` of a multiple of it: then each channel
            feeds several adjacent inputs, as `flatten` lays them out.
        index: channels to keep, increasing.
        channels: how many there were.
        name: the module's name, for the error.

    Raises:
        PrunecalError: the inputs do not fit the channels, or the module is neither.
    """
    if isinstance(consumer, nn.Conv2d):
        _refuse_grouped(consumer)
        _refuse_misfit(name, consumer.in_channels, channels, 1)
        narrow(consumer, "weight", 1, index)
        consumer.in_channels = index.numel()
    elif isinstance(consumer, nn.Linear):
        each = consumer.in_features // channels
        _refuse_misfit(name, consumer.in_features, channels, each)
        index = (index[:, None] * each + torch.arange(each, device=index.device)).flatten()
        narrow(consumer, "weight", 1, index)
        consumer.in_features = index.numel()
    else:
        raise PrunecalError(
            f"{name!r} is a {type(consumer).__name__}, which is neither a Conv2d nor a Linear"
        )


def _refuse_grouped(conv: nn.Conv2d) -> None:
    if conv.groups != 1:
        raise PrunecalError(f"a conv with groups={conv.groups} cannot lose channels, only one with groups=1")


def _refuse_misfit(name: str, inputs: int, channels: int, each: int) -> None:
    if each < 1 or inputs != channels * each:
        raise PrunecalError(f"{name!r} reads {inputs} inputs, which is not what {channels} channels give")


def narrow(module: nn.Module, name: str, dim: int, index: Tensor) -> None:
    """Replace a parameter or buffer (if there is one) by its entries at `index` along `dim`."""
    old = getattr(module, name)
    if old is None:
        return
    new = old.detach().index_select(dim, index.to(old.device))
    if old.dim() == 4 and not old.is_contiguous() and old.is_contiguous(memory_format=torch.channels_last):
        new = new.contiguous(memory_format=torch.channels_last)
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    setattr(module, name, new)
