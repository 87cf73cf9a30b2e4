"""Filter and channel pruning of a network that declares no channel groups: a dependency graph finds them.

Both rank as they do for the published networks, and both rules are generalised here to channels that several
layers make: those which are added up, or pass through depthwise convs. What is found is not believed: every
group is tried, and one that changes more than what was taken out is left alone. Nothing is left in silence.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.forward import logits_of
from pytest_prunecal.lab.models.norms import NORMS
from pytest_prunecal.lab.models.ranked import CONVS
from pytest_prunecal.lab.pruners.base import (
    Pruned,
    exact_ratio,
    global_threshold,
    magnitudes,
    warn_floored,
)
from pytest_prunecal.lab.pruners.coupled import layout_of
from pytest_prunecal.lab.pruners.cut import cuts_of, masked, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_prunecal.lab.pruners.coupled import Coupled, Layout
    from pytest_prunecal.lab.pruners.cut import Cuts

RTOL = 1e-4
"""How far, relative to the largest logit, a smaller network may be from the one with zeros."""
_RUNNING = (*NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_NAMED = 3
"""How many layers a message names for one reason."""


def declares_groups(network: nn.Module) -> bool:
    """Whether a network says by itself which channels go together."""
    return callable(getattr(network, "channel_groups", None))


def prune_filters(network: nn.Module, ratio: float, example: Tensor | None) -> Pruned:
    """The network without the filters of `filter_cuts`, physically smaller."""
    return Pruned(without(network, filter_cuts(network, ratio, example)))


def prune_channels(network: nn.Module, ratio: float, example: Tensor | None) -> Pruned:
    """The network without the channels of `channel_cuts`, physically smaller."""
    return Pruned(without(network, channel_cuts(network, ratio, example)))


def filter_cuts(network: nn.Module, ratio: float, example: Tensor | None) -> Cuts:
    """Remove the same share of the channels of every group: those of smallest L1 norm.

    A channel's norm is the sum of |w| of all filters that make it: of one conv where one makes it, as in the
    paper; of all convs and linear layers whose outputs are added up or that it passes through (depthwise).
    Of n channels `int(n * (1 - ratio))` stay, at least one; of equal ones the first. Channels that can only
    go at once, such as the same place in every group of a grouped conv, count as one, by their mean.

    Args:
        network: left as it is.
        ratio: 0 <= ratio < 1; 0 prunes nothing.
        example: normalised images, float32 (N, 3, H, W), N at least 2.

    Raises:
        PrunecalError: nothing can be pruned so.

    Warns:
        PruneWarning: a layer had to keep its last filter.
        MeasurementWarning: less than half of what the ratio asks could be removed.
    """
    share = 1 - exact_ratio(ratio)
    what = f"filter pruning of {type(network).__name__}"
    if share == 1:
        return {}
    layout = _sound(network, share, _images(example, what), what)
    removed, floored = [], []
    for group in layout.groups:
        scores = _of_units(group, filter_norms(network, group))
        count = int(len(scores) * share)
        if count == 0:
            floored.append(group.layer)
        order = scores.argsort(descending=True, stable=True)
        removed.append((group, _channels(group, order[max(count, 1) :])))
    warn_floored(floored, ratio, kept="filter")
    cuts = cuts_of(removed)
    _account(network, cuts, layout, ratio, what, norms=False)
    return cuts


def channel_cuts(network: nn.Module, ratio: float, example: Tensor | None) -> Cuts:
    """Remove the channels of smallest |gamma| in the whole network: keep those above a global threshold.

    A channel's score is the |gamma| of its batch norm, as in the paper; the mean where it has several, since
    it is made by several layers. Ranked together are the channels of all groups that have a batch norm.

    Args: see `filter_cuts`.

    Raises:
        PrunecalError: nothing can be pruned so; a network without batch norms among it.

    Warns: see `filter_cuts`.
    """
    share = 1 - exact_ratio(ratio)
    what = f"channel pruning of {type(network).__name__}"
    if not any(isinstance(layer, NORMS) and layer.affine for layer in network.modules()):
        raise PrunecalError(
            f"{what}: it ranks the scales of batch norms, and this network has none; prune its filters or "
            "weights instead (--prunecal-pruners=filter,weight)"
        )
    if share == 1:
        return {}
    layout = _sound(network, share, _images(example, what), what)
    scored = []
    for group in layout.groups:
        scales = bn_means(network, group)
        if scales is None:
            layout.alone |= dict.fromkeys(_made_by(group), "its channels have no batch norm to rank")
        else:
            scored.append((group, _of_units(group, scales)))
    if not scored:
        raise PrunecalError(f"{what}: nothing can be removed: {_reasons(layout.alone)}")
    threshold = global_threshold([magnitudes(scores) for _, scores in scored], ratio)
    removed, floored = [], []
    for group, scores in scored:
        keep = magnitudes(scores) > threshold
        if not keep.any():
            floored.append(group.layer)
            keep[scores.argmax()] = True
        removed.append((group, _channels(group, (~keep).nonzero().flatten())))
    warn_floored(floored, ratio, kept="channel")
    cuts = cuts_of(removed)
    _account(network, cuts, layout, ratio, what, norms=True)
    return cuts


def filter_norms(network: nn.Module, group: Coupled) -> Tensor:
    """By channel the sum of |w| of all filters that make it, float64 (n,) on the CPU."""
    norms = torch.zeros(sum(map(len, group.units)), dtype=torch.float64)
    for part in group.parts:
        if not part.out or part.dim >= 0:
            continue
        layer = network.get_submodule(part.name)
        maker = layer.out_proj if isinstance(layer, nn.MultiheadAttention) else layer
        if isinstance(maker, (*CONVS, nn.Linear)):
            weight = maker.weight.detach().cpu().double().abs()
            if getattr(maker, "transposed", False):
                groups = cast("int", maker.groups)
                # Its outputs lie along dimension 1, one group's only: (inputs, outputs / groups, ...).
                weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
            norms.index_add_(0, part.root, weight.flatten(1).sum(1)[part.index])
    return norms


def bn_means(network: nn.Module, group: Coupled) -> Tensor | None:
    """By channel the mean |gamma| of its batch norms, float64 (n,) on the CPU; None where one has none."""
    count = sum(map(len, group.units))
    total, scales = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    seen: set[str] = set()
    for part in group.parts:
        layer = network.get_submodule(part.name) if part.dim < 0 else None
        if isinstance(layer, NORMS) and layer.affine and part.name not in seen:
            seen.add(part.name)
            gamma = layer.weight.detach().cpu().double().abs()
            total.index_add_(0, part.root, gamma[part.index])
            scales.index_add_(0, part.root, torch.ones(part.index.numel(), dtype=torch.float64))
    return total / scales if bool((scales > 0).all()) else None


def _images(example: Tensor | None, what: str) -> Tensor:
    if example is None or len(example) < 2:
        raise PrunecalError(f"{what}: it needs two normalised images to follow the network with, `example`")
    return example[:2]


def _of_units(group: Coupled, scores: Tensor) -> Tensor:
    """By unit the mean of its channels' scores."""
    return torch.stack([scores[unit].mean() for unit in group.units])


def _channels(group: Coupled, units: Tensor) -> Tensor:
    """The channels of some units."""
    found = [group.units[int(one)] for one in units]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.int64)


def _made_by(group: Coupled) -> list[str]:
    return list(
        dict.fromkeys([group.layer, *(part.name for part in group.parts if part.out and part.dim < 0)])
    )


def _sound(network: nn.Module, share: object, example: Tensor, what: str) -> Layout:
    """The groups of a network that can be taken out; the others are left alone.

    Tried on a copy with weights drawn at random, so that what can be pruned depends on the architecture and
    the ratio alone, and that no weight near zero hides what is wrong.

    Raises:
        PrunecalError: there are none.
    """
    layout = layout_of(network, example, what)
    trial = _Trial(network, example, share)
    passed = trial.passing([group for group in layout.groups if len(group.units) > 1])
    for group in layout.groups:
        if group not in passed:
            few = "it has but one" if len(group.units) == 1 else "the network computes something else without"
            layout.alone |= dict.fromkeys(_made_by(group), few)
    layout.groups = passed
    if not passed:
        raise PrunecalError(f"{what}: nothing can be removed: {_reasons(layout.alone)}")
    return layout


class _Trial:
    """Takes channels out and compares with the same network in which they are zero."""

    def __init__(self, network: nn.Module, example: Tensor, share: object) -> None:
        self.example, self.share = example, share
        self.network = _drawn(network)
        self.compares = _is_steady(self.network, example)

    def passing(self, groups: Sequence[Coupled]) -> list[Coupled]:
        """Those that can go together: all, or else those of either half that can."""
        if not groups or self._passes(groups):
            return [*groups]
        if len(groups) == 1:
            return []
        half = len(groups) // 2
        halves = [*self.passing(groups[:half]), *self.passing(groups[half:])]
        if len(halves) == len(groups) or not self._passes(halves):  # none is wrong by itself
            return []
        return halves

    def _passes(self, groups: Sequence[Coupled]) -> bool:
        if not groups:
            return True
        removed = []
        for group in groups:
            count = max(int(len(group.units) * self.share), 1)  # type: ignore[operator]
            # The first: a halving of channels that the graph did not see is then seen by its sizes.
            removed.append((group, torch.cat(group.units[: len(group.units) - count])))
        cuts = cuts_of(removed)
        try:
            small = without(self.network, cuts)
            return self._agree(small, masked(self.network, cuts, small))
        except Exception:  # noqa: BLE001 - whatever a network raises that cannot get narrower so
            return False

    @torch.no_grad()
    def _agree(self, small: nn.Module, full: nn.Module) -> bool:
        found, wanted = (logits_of(one.eval()(self.example)) for one in (small, full))
        logits_of(small.train()(self.example))  # a head that only training has fits as well
        if found.shape != wanted.shape:
            return False
        return not self.compares or bool((found - wanted).abs().max() <= RTOL * wanted.abs().max())


def _drawn(network: nn.Module) -> nn.Module:
    """A copy whose parameters are drawn at random, always the same, and whose norms have seen no images."""
    drawn = copy.deepcopy(network)
    for module in drawn.modules():
        if isinstance(module, _RUNNING):
            module.reset_running_stats()
    generator = torch.Generator().manual_seed(0)
    for parameter in drawn.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            values *= (2 / max(parameter[0].numel(), 1)) ** 0.5
        else:
            values = 1 + values / 8
        parameter.data.copy_(values)
    return drawn


@torch.no_grad()
def _is_steady(network: nn.Module, example: Tensor) -> bool:
    """Whether a network gives the same finite logits twice."""
    first, second = (logits_of(copy.deepcopy(network).eval()(example)) for _ in range(2))
    return bool(torch.isfinite(first).all()) and torch.equal(first, second) and bool(first.any())


def _account(network: nn.Module, cuts: Cuts, layout: Layout, ratio: float, what: str, *, norms: bool) -> None:
    """Say so where much less was removed than the ratio asks.

    Counted are the outputs of all convs and linear layers but of the head; for channel pruning the channels
    of all batch norms.
    """
    head = {name for name, why in layout.alone.items() if "logits" in why}
    wanted = {
        name: int(layer.weight.shape[0]) if layer.weight is not None else 0
        for name, layer in network.named_modules()
        if isinstance(layer, NORMS if norms else (*CONVS, nn.Linear)) and name not in head
    }
    gone = {name: entries.numel() for (name, out, _), (_, entries) in cuts.items() if out}
    for name, out, _ in cuts:  # attention makes as many outputs as it is narrower
        if out and f"{name}.out_proj" in wanted:
            gone[f"{name}.out_proj"] = gone[name]
    removed = sum(gone.get(name, 0) for name in wanted)
    if removed == 0:
        raise PrunecalError(f"{what}: nothing can be removed: {_reasons(layout.alone)}")
    if removed < ratio * sum(wanted.values()) / 2:
        unit = "channels of batch norms" if norms else "filters"
        warnings.warn(
            f"{what} removed {removed} of {sum(wanted.values())} {unit}, less than half of what ratio "
            f"{ratio:g} asks; left alone: {_reasons(layout.alone)}",
            MeasurementWarning,
            stacklevel=4,
        )


def _reasons(alone: dict[str, str]) -> str:
    """Which layers are left alone, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, why in alone.items():
        by_reason.setdefault(why, []).append(name)
    told = []
    for why, names in by_reason.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        told.append(f"{', '.join(names[:_NAMED])}{more} ({why})")
    return "; ".join(told) or "it has no conv or linear layer besides its head"
