"""How a network tells the structured pruners which channels can go, and what goes with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels that live and die together, by the dotted names of the modules that hold them.

    Removing channel c of a group removes output c of `producer`, entry c of `bn` and input c of every
    module in `consumers`. Where the channels also feed a shortcut, they cannot leave the producer;
    then `producer` is None and `selection` names a `models.layers.ChannelSelection` between `bn` and
    `consumers`, which leaves channel c out while `bn` keeps its width.

    A network takes part in filter and channel pruning by offering
    `channel_groups(self) -> list[ChannelGroup]`.

    Attributes:
        consumers: the `Conv2d` (groups=1) or `Linear` modules that read the channels. A `Linear` behind a
            flattened feature map reads several adjacent inputs per channel.
        producer: the `Conv2d` (groups=1) whose outputs the channels are; None with `selection`.
        bn: the `BatchNorm2d` over the channels. None where there is none: channel pruning, which ranks
            BN scales, then leaves the group alone.
        selection: the `ChannelSelection` that stands in for narrowing the producer.

    Raises:
        PrunecalError: neither or both of `producer` and `selection` are given, or a selection without bn.
    """

    consumers: tuple[str, ...]
    producer: str | None = None
    bn: str | None = None
    selection: str | None = None

    def __post_init__(self) -> None:
        """Refuse a group that no pruner could act on."""
        if (self.producer is None) == (self.selection is None):
            raise PrunecalError(f"{self}: give either `producer` or `selection`")
        if self.selection is not None and self.bn is None:
            raise PrunecalError(f"{self}: a group with `selection` needs the `bn` that it selects from")

    @property
    def layer(self) -> str:
        """The name that people know the channels by: the conv that makes them, or the BN that selects."""
        return self.producer or self.bn or ""


def channel_groups(model: nn.Module) -> list[ChannelGroup]:
    """The channel groups that a network declares.

    Args:
        model: any network.

    Returns:
        What its `channel_groups()` returns, in that order; never empty.

    Raises:
        PrunecalError: the network has no such method, or it declares no group.
    """
    declare = getattr(model, "channel_groups", None)
    declared = declare() if callable(declare) else []
    groups = list(declared) if isinstance(declared, Iterable) else [declared]
    if not groups:
        raise PrunecalError(
            f"filter and channel pruning of {type(model).__name__} need its method `channel_groups()` to "
            "return at least one `pytest_prunecal.ChannelGroup` (weight pruning works without)"
        )
    for group in groups:
        if not isinstance(group, ChannelGroup):
            raise PrunecalError(
                f"channel_groups() of {type(model).__name__} returned a {type(group).__name__} among its "
                "groups; wanted pytest_prunecal.ChannelGroup"
            )
    return groups
