"""AdamW as torch has it, without what its optimiser classes load; see `sgd`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.adamw import adamw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from pytest_prunecal.study.protocol import Recipe


class AdamW:
    """Adam with decoupled weight decay, to the last bit that of `torch.optim.AdamW(fused=True)`.

    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv 1711.05101).

    Args:
        parameters: what is optimised; a parameter without a gradient is left alone.
        recipe: betas, eps and weight decay.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self._parameters, self._recipe = list(parameters), recipe
        self._states: dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]] = {}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every parameter that has a gradient, at a learning rate."""
        moved = [parameter for parameter in self._parameters if parameter.grad is not None]
        states = [self._state(parameter) for parameter in moved]
        adamw(
            moved,  # type: ignore[arg-type]
            [parameter.grad for parameter in moved if parameter.grad is not None],
            [means for means, _, _ in states],
            [squares for _, squares, _ in states],
            [],
            [steps for _, _, steps in states],
            fused=True,
            foreach=False,
            amsgrad=False,
            beta1=self._recipe.betas[0],
            beta2=self._recipe.betas[1],
            lr=rate,
            weight_decay=self._recipe.weight_decay,
            eps=self._recipe.eps,
            maximize=False,
        )

    def _state(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor, Tensor]:
        """Running means of its gradients and of their squares, and how many there were."""
        if parameter not in self._states:
            means, squares = torch.zeros_like(parameter), torch.zeros_like(parameter)
            steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
            self._states[parameter] = means, squares, steps
        return self._states[parameter]
