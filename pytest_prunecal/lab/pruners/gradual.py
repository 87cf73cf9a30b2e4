"""Gradual pruning: the network is trained on while more and more of its weights become zero.

Zhu and Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for model compression"
(arXiv 1710.01878). It is also the worked example of a schedule that is written with `fine_tune`.
"""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.ranked import ranked_weights
from pytest_prunecal.lab.pruners.base import Pruned, exact_ratio, held_by, hold, magnitudes, warn_left_out

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pytest_prunecal.lab.pruners.context import FineTune
    from pytest_prunecal.study.protocol import Recipe

PRUNINGS = 16
"""How often the network is pruned on the way to its ratio."""


def prune(model: nn.Module, ratio: float, *, fine_tune: FineTune, recipe: Recipe) -> Pruned:
    """Train for half of the recipe's epochs, and meanwhile zero the smallest weights of each layer.

    From the dense network on, sparsity rises after the cubic schedule of the paper's equation 1: fast while
    there is much that is not needed, slowly towards the end. Pruning number k of n, every so many steps,
    zeros `int(count * sparsity(ratio, k, n))` of the weights of every layer that weight pruning ranks (see
    `models.ranked.ranked_weights`), smallest first, of equals the last; what is zero stays zero. The last
    pruning comes after the last of these steps, and the protocol's fine-tuning then trains at the ratio.

    Args:
        model: the trained network.
        ratio: share of each layer's weights that is zero in the end, 0 <= ratio < 1.
        fine_tune: the gate's own loop.
        recipe: whose epochs count, rounded up; without any the network is pruned at once.

    Returns:
        The network with zeros in place, and the masks of every ranked weight.

    Raises:
        PrunecalError: bad ratio, nothing to rank, or weights that are not finite.

    Warns:
        MeasurementWarning: weights of layers that are not known here are left out.
    """
    final = exact_ratio(ratio)
    pruned = copy.deepcopy(model)
    if not ranked_weights(pruned):
        raise PrunecalError("the network has nothing that this pruner could prune")

    def masks(step: int, steps: int) -> dict[str, Tensor] | None:
        every = max(1, steps // PRUNINGS)
        number, rest = divmod(step, every)
        return None if rest or not final else kept(pruned, sparsity(final, number, -(-steps // every)))

    fine_tune(pruned, epochs=-(-recipe.epochs // 2), masks=masks)
    warn_left_out(pruned, "gradual pruning")
    last = kept(pruned, final)
    hold(held_by(pruned, last))
    return Pruned(pruned, last)


def sparsity(final: Fraction, number: int, of: int) -> Fraction:
    """Share of zeros after a pruning: `final + (0 - final) (1 - number / of)^3`, exactly.

    Args:
        final: share in the end.
        number: of the pruning, from 0, where nothing is pruned, to `of`.
        of: number of the last.

    Example:
        >>> [float(sparsity(Fraction(1, 2), number, 4)) for number in range(5)]
        [0.0, 0.2890625, 0.4375, 0.4921875, 0.5]
    """
    return final - final * (1 - Fraction(number, of)) ** 3


def kept(model: nn.Module, share: Fraction) -> dict[str, Tensor]:
    """By the name of each ranked weight, what is left when a share of it is zero: bool masks.

    Args:
        model: the network.
        share: in [0, 1).

    Raises:
        PrunecalError: weights that are not finite.
    """
    found = {}
    for name, weight in ranked_weights(model).items():
        sizes = magnitudes(weight).flatten()
        if not torch.isfinite(sizes).all():
            raise PrunecalError("the network to prune holds NaN or infinite values: its training diverged")
        order = sizes.argsort(descending=True, stable=True)
        mask = torch.zeros(sizes.shape, dtype=torch.bool)
        mask[order[: len(sizes) - int(len(sizes) * share)]] = True
        found[name] = mask.view(weight.shape).to(weight.device)
    return found
