"""SGD as torch has it, without what its optimiser classes load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.sgd import sgd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from pytest_prunecal.study.protocol import Recipe


class SGD:
    """Momentum, weight decay and Nesterov's variant, to the last bit those of `torch.optim.SGD(fused=True)`.

    That class imports torch's compiler: seconds and memory in every worker. The step itself does not.

    Args:
        parameters: what is optimised; a parameter without a gradient is left alone.
        recipe: momentum, its kind and weight decay.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self._parameters, self._recipe = list(parameters), recipe
        self._momenta: dict[nn.Parameter, Tensor | None] = {}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every parameter that has a gradient, at a learning rate."""
        moved, gradients, momenta = [], [], []
        for parameter in self._parameters:
            if parameter.grad is not None:
                moved.append(parameter)
                gradients.append(parameter.grad)
                momenta.append(self._momentum(parameter))
        sgd(
            moved,  # type: ignore[arg-type]
            gradients,
            momenta,
            fused=True,
            foreach=False,
            weight_decay=self._recipe.weight_decay,
            momentum=self._recipe.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self._recipe.nesterov,
            maximize=False,
        )
        self._momenta.update(zip(moved, momenta, strict=True))

    def _momentum(self, parameter: nn.Parameter) -> Tensor | None:
        """Its momentum; None at the very first step, which fills all of them in."""
        if self._momenta and parameter not in self._momenta:  # its first gradient came later than others'
            return torch.zeros_like(parameter)
        return self._momenta.get(parameter)
