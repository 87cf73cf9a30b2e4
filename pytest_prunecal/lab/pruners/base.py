"""What every pruner is made of: what it gives, its ratio, the floor, the global threshold."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.models.ranked import left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_prunecal.study.measurement import Number


class PruneWarning(MeasurementWarning):
    """A pruner had to depart from its rule to keep a layer alive."""


@dataclass(frozen=True)
class Pruned:
    """A pruned network.

    Attributes:
        model: a new network; the one that was pruned is left as it was.
        masks: by parameter name, a bool tensor of the parameter's shape: False where the
            parameter must stay zero through fine-tuning (see `hold`). Empty where the network got
            physically smaller instead.
        verify: called with the network as it is evaluated, after its fine-tuning: raises an error where it
            is not what the pruner promises. None where there is nothing to verify.
        costs: of a finished network, by name those of its metrics that its file tells and `model` does not;
            None for a network that has no file yet.
    """

    model: nn.Module
    masks: dict[str, Tensor] = field(default_factory=dict)
    verify: Callable[[nn.Module], None] | None = None
    costs: Mapping[str, Number] | None = None


def held_by(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    """Masked parameters, each with ones and zeros of its own type: to multiply by them is fastest.

    Args:
        model: the pruned network.
        masks: `Pruned.masks`.
    """
    parameters = [model.get_parameter(name) for name in masks]
    return [
        (parameter, torch.zeros_like(parameter).masked_fill_(mask.to(parameter.device), 1))
        for parameter, mask in zip(parameters, masks.values(), strict=True)
    ]


@torch.no_grad()
def hold(held: list[tuple[nn.Parameter, Tensor]]) -> None:
    """Set what is masked to zero, in place; for use after each optimiser step.

    Example:
        >>> linear = nn.Linear(3, 1)
        >>> hold(held_by(linear, {"weight": torch.tensor([[True, False, False]])}))
        >>> int(torch.count_nonzero(linear.weight))
        1
    """
    for parameter, factors in held:
        parameter.mul_(factors)


def exact_ratio(ratio: float) -> Fraction:
    """The decimal that a ratio was written as, to six digits, as an exact number.

    A float's product with a count can fall just short of an integer (10 * (1 - 0.7) is 3.0000000000000004,
    100 * 0.29 is 28.999999999999996), so `int()` of it would depend on rounding. Counts made from this
    fraction do not, and a ratio means what its cell's id `f"{ratio:g}"` says.

    Raises:
        PrunecalError: the ratio is not a number with 0 <= ratio < 1.

    Example:
        >>> int(100 * 0.29), int(100 * exact_ratio(0.29))
        (28, 29)
    """
    exact = Fraction(f"{ratio:g}") if math.isfinite(ratio) else Fraction(-1)
    if not 0 <= exact < 1:
        raise PrunecalError(f"a pruning ratio must be at least 0 and less than 1, not {ratio:g}")
    return exact


def magnitudes(values: Tensor) -> Tensor:
    """Absolute values on the CPU, in float32 or float64: what the rules rank, the same on every device."""
    values = values.detach().abs().cpu()
    return values if values.dtype == torch.float64 else values.float()


def global_threshold(scores: Sequence[Tensor], ratio: float) -> float:
    """The score that a channel or weight must exceed to be kept.

    Args:
        scores: magnitudes on the CPU, one tensor per layer, of any shapes.
        ratio: 0 <= ratio < 1.

    Returns:
        With all scores sorted, the one at index `int(total * ratio)`. As only what is strictly greater is
        kept, that prunes `int(total * ratio) + 1` of them, more with ties; at ratio 0, where nothing may be
        pruned, the threshold is therefore -inf.

    Raises:
        PrunecalError: bad ratio, no scores at all, or scores that are not finite.

    Example:
        >>> global_threshold([torch.tensor([1.0, 4.0]), torch.tensor([2.0, 3.0])], ratio=0.5)
        3.0
    """
    exact = exact_ratio(ratio)
    total = sum(score.numel() for score in scores)
    if total == 0:
        raise PrunecalError("the network has nothing that this pruner could prune")
    flat = torch.cat([score.flatten() for score in scores])
    if not torch.isfinite(flat).all():
        raise PrunecalError("the network to prune holds NaN or infinite values: its training diverged")
    if exact == 0:
        return -math.inf
    return float(flat.kthvalue(int(total * exact) + 1).values)


def warn_left_out(model: nn.Module, what: str) -> None:
    """Warn of the weights that a pruner of ranked weights, which is called `what`, takes no account of."""
    others = left_out(model)
    if others:
        names = ", ".join([*others][:3]) + f" and {len(others) - 3} more" * (len(others) > 3)
        count = sum(parameter.numel() for parameter in others.values())
        warnings.warn(
            f"{what} and sparsity leave {names} out ({count} values): not of a conv, linear or "
            "attention layer",
            MeasurementWarning,
            stacklevel=3,
        )


def warn_floored(layers: Sequence[str], ratio: float, kept: str) -> None:
    """Warn, layer by layer, that the floor kept what the rule would have removed."""
    for layer in layers:
        warnings.warn(
            f"ratio {ratio:g} would have emptied {layer}; it keeps its largest {kept}",
            PruneWarning,
            stacklevel=3,
        )
