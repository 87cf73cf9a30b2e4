"""What a pruner's context is made of, and `fine_tune`: our training loop in a pruner's hands."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.forward import described
from pytest_prunecal.lab.pruners.call import check_masks
from pytest_prunecal.lab.pruners.context import Context
from pytest_prunecal.lab.randomness import generator_of, stage
from pytest_prunecal.lab.training.batches import Batches
from pytest_prunecal.lab.training.distillation import distilled
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.study.protocol import LEAST_BATCH, OPTIMISERS, SCHEDULES, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.study.cell import Cell

    Masks = Mapping[str, Tensor]


class Enough(BaseException):
    """Whoever looked on has seen enough: what a pruner would do then is not needed.

    No `Exception`, so that a pruner which catches those does not go on.
    """


def context_of(cell: Cell, bench: Bench, begun: Callable[[nn.Module], None], *, tunes: bool) -> Context:
    """The context of a cell's pruner.

    Args:
        cell: of a pruner.
        bench: what measures; its observer sees every step of `fine_tune`.
        begun: called with the network before the first step of `fine_tune`.
        tunes: whether the pruner may train: what it gives is fine-tuned, too.
    """
    parts = drawing_seed(bench, tunes=tunes), "pruner", cell.model, cell.id
    images, labels = bench.trainer.training_set
    recipe = bench.protocol.finetune
    return Context(
        Batches(images, labels, recipe.batch, bench.forward, *parts, "batches"),
        bench.dataset.classes,
        bench.device,
        recipe,
        generator_of(*parts, "generator"),
        Tuner(cell, bench, begun, tunes),
    )


def drawing_seed(bench: Bench, *, tunes: bool) -> int:
    """Root of what a pruner draws: what is not trained has no noise, so it is the same under every seed."""
    return bench.protocol.seed if tunes else bench.setup.protocol.seed


@dataclass
class Tuner:
    """A cell's `fine_tune`; see `pruners.context.FineTune`.

    Attributes:
        cell: the cell.
        bench: what measures.
        begun: called with the network before the first step.
        tunes: whether the pruner may train.
        calls: how often it was called.
        trained: whether a step was made.
    """

    cell: Cell
    bench: Bench
    begun: Callable[[nn.Module], None]
    tunes: bool
    calls: int = 0
    trained: bool = False

    def __call__(
        self,
        model: nn.Module,
        *,
        epochs: int | None = None,
        recipe: Recipe | None = None,
        masks: Masks | Callable[[int, int], Masks | None] | None = None,
        loss: Callable[..., Tensor] | None = None,
        teacher: nn.Module | None = None,
        temperature: float = 4.0,
        soft: float = 0.9,
    ) -> None:
        """Train a network in place; see `pruners.context.FineTune`."""
        if not self.tunes:
            self._fail(
                "calls fine_tune, and its row says tunes=False, that its networks are not trained; "
                "take tunes=False away"
            )
        self.calls += 1
        recipe = self._recipe(recipe, epochs)
        if not isinstance(model, nn.Module):
            self._fail(f"calls fine_tune with a {type(model).__name__}; wanted an nn.Module")
        numbers = all(isinstance(one, (int, float)) for one in (temperature, soft))
        if not (numbers and 0 < temperature < math.inf and 0 <= soft <= 1):
            self._fail(
                f"calls fine_tune with temperature={temperature!r} and soft={soft!r}; "
                "the one must be above 0, the other in [0, 1]"
            )
        self.bench.trainer.entry.check(model, f"{self.cell.model!r} as pruner {self._name!r} fine-tunes it")
        held, schedule = self._masks(model, masks)
        if recipe.epochs and not self.trained:
            self.trained = True
            self.begun(model)
        ended = False

        def looked_on(network: nn.Module, loss: Tensor, rate: float) -> bool:
            nonlocal ended
            ended = self.bench.observer is not None and self.bench.observer(network, loss, rate)
            return ended

        pressure = Pressure(
            held,
            loss=self._loss(recipe, loss, teacher, temperature, soft),
            schedule=schedule,
            observer=looked_on,
        )
        parts = self.bench.protocol.seed, "pruner's fine-tuning", self.cell.model, self.cell.id, self.calls
        with stage(self.bench.device, *parts, "draws"), torch.enable_grad():
            self.bench.trainer.train(model, recipe, generator_of(*parts), pressure)
        model.eval()
        if ended:
            raise Enough

    def _recipe(self, recipe: Recipe | None, epochs: int | None) -> Recipe:
        """The recipe of a call."""
        found = self.bench.protocol.finetune if recipe is None else recipe
        if not isinstance(found, Recipe):
            self._fail(
                f"calls fine_tune with a recipe that is a {type(found).__name__}; "
                "make one of its `recipe`: dataclasses.replace(recipe, learning_rate=0.01)"
            )
        found = found if epochs is None else replace(found, epochs=epochs)
        for name, least in (("epochs", 0), ("batch", LEAST_BATCH)):
            value = getattr(found, name)
            if not isinstance(value, int) or value < least:
                self._fail(
                    f"calls fine_tune with {name}={value!r}; it must be a whole number, at least {least}"
                )
        for name, known in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            value = getattr(found, name)
            if value not in known:
                self._fail(f"calls fine_tune with {name}={value!r}; it must be one of {', '.join(known)}")
        return found

    def _masks(
        self, model: nn.Module, masks: Masks | Callable[[int, int], Masks | None] | None
    ) -> tuple[Masks, Callable[[int, int], Masks | None] | None]:
        """Masks to begin with, and what gives others on the way."""
        if masks is None:
            return {}, None
        if isinstance(masks, Mapping) or not callable(masks):
            check_masks(self._name, model, masks)
            return masks, None
        given = masks

        def schedule(step: int, steps: int) -> Masks | None:
            found = given(step, steps)
            if found is not None:
                check_masks(self._name, model, found)
            return found

        return {}, schedule

    def _loss(
        self,
        recipe: Recipe,
        loss: Callable[..., Tensor] | None,
        teacher: nn.Module | None,
        temperature: float,
        soft: float,
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
        """The loss of a call; None for the recipe's own."""
        taught = self._taught(teacher) if teacher is not None else None
        if loss is None:
            if taught is None:
                return None
            return lambda logits, labels, images: distilled(
                logits,
                labels,
                taught(logits, images),
                temperature=temperature,
                soft=soft,
                label_smoothing=recipe.label_smoothing,
            )
        own = loss

        def checked(logits: Tensor, labels: Tensor, images: Tensor) -> Tensor:
            found: object = own(logits, labels, taught(logits, images)) if taught else own(logits, labels)
            if not isinstance(found, Tensor) or found.ndim or not found.is_floating_point():
                self._fail(f"fine-tunes on a loss that is {described(found)}; wanted float ()")
            return found

        return checked

    def _taught(self, teacher: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """A teacher's logits, as it is now, of the images that a network gives logits of."""
        if not isinstance(teacher, nn.Module):
            self._fail(
                f"calls fine_tune with a teacher that is a {type(teacher).__name__}; wanted an nn.Module"
            )
        # A copy: neither is the user's network put into another mode, nor does it follow its own pupil.
        network = copy.deepcopy(teacher).to(self.bench.device).eval()

        def taught(logits: Tensor, images: Tensor) -> Tensor:
            with torch.no_grad():
                found = self.bench.forward.logits(network, images)
            if found.shape != logits.shape:
                self._fail(
                    f"fine-tunes on {described(logits)} logits with a teacher that gives {described(found)}"
                )
            return found

        return taught

    @property
    def _name(self) -> str:
        return str(self.cell.pruner)

    def _fail(self, problem: str) -> NoReturn:
        raise PrunecalError(f"pruner {self._name!r} {problem}")
