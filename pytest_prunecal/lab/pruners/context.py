"""A pruner's context: what it may name besides the network and the ratio or level, and is given then."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from torch import Tensor, nn

    from pytest_prunecal.study.protocol import Recipe

OFFERS = ("batches", "example", "classes", "device", "recipe", "generator", "fine_tune")
"""What a pruner's function may name; see `Context`."""


class FineTune(Protocol):
    """Trains a network with the gate's own loop, in place."""

    def __call__(
        self,
        model: nn.Module,
        *,
        epochs: int | None = None,
        recipe: Recipe | None = None,
        masks: Mapping[str, Tensor] | Callable[[int, int], Mapping[str, Tensor] | None] | None = None,
        loss: Callable[..., Tensor] | None = None,
        teacher: nn.Module | None = None,
        temperature: float = 4.0,
        soft: float = 0.9,
    ) -> None:
        """Train on the protocol's data, with its augmentation and precision and a fresh optimiser.

        The schedule of the learning rate runs over this call's own epochs. Every call draws random numbers of
        its own, which depend on the seed, the cell and the number of the call.

        Args:
            model: on the device; left in evaluation mode.
            epochs: passes over the training set; None for the recipe's.
            recipe: how it is trained; None for the protocol's `finetune`.
            masks: what stays zero, as in `Pruned.masks`; or a function that is called before every step with
                its number, from 0, and how many there will be, and gives masks to hold from then on, or None
                to go on as before.
            loss: what is minimised in the place of cross-entropy: given logits, float32 (n, classes), and
                labels, int64 (n,), and the teacher's logits if there is a teacher; gives float ().
            teacher: a network to learn from (Hinton et al. 2015, arXiv 1503.02531); it is evaluated on the
                same images and not trained. With z and v the logits of both, T the temperature and y the
                labels, the loss is then

                    (1 - soft) CE(y, softmax(z)) + soft T^2 KL(softmax(v / T) || softmax(z / T))

            temperature: T > 0.
            soft: what the teacher counts, in [0, 1].

        Raises:
            PrunecalError: something is not as it must be, in one sentence.
        """


@dataclass(frozen=True)
class Context:
    """What a pruner may need of what is measured, by the name of its parameter.

    All of it is the same whatever the worker and the order of cells: random numbers depend on the protocol's
    seed, on the cell and on what they are for.

    Attributes:
        batches: training images in batches of the recipe, normalised and not augmented, on the device: pairs
            of float32 (n, 3, H, W) and labels, int64 (n,); every time in the same random order.
        classes: of the data.
        device: where the network is.
        recipe: the protocol's `finetune`.
        generator: of the CPU, seeded for this cell.
        fine_tune: trains a network with the gate's own loop, see `FineTune`.
    """

    batches: Iterable[tuple[Tensor, Tensor]]
    classes: int
    device: torch.device
    recipe: Recipe
    generator: torch.Generator
    fine_tune: FineTune

    @property
    def example(self) -> Tensor:
        """One batch of normalised images, float32 (n, 3, H, W)."""
        return next(iter(self.batches))[0]

    def named_by(self, function: Callable[..., Any], taken: int) -> dict[str, Any]:
        """What a function names.

        Args:
            function: a pruner's.
            taken: how many of its first parameters are given by position.
        """
        return {name: getattr(self, name) for name in offers_named_by(function, taken)}


def offers_named_by(function: Callable[..., Any], taken: int) -> list[str]:
    """Those of `OFFERS` that a function names; see `Context.named_by`."""
    try:
        parameters = [*inspect.signature(function).parameters.values()][taken:]
    except (TypeError, ValueError):  # some functions of C
        return []
    names = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return [name for name in OFFERS if name in names]
