"""The bench: what measuring needs besides the cell, and building and training on it."""

from __future__ import annotations

import inspect
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.load import load as load_dataset
from pytest_prunecal.lab.evaluation.corrupted_sets import CorruptedSets
from pytest_prunecal.lab.forward import Forward, Normalisation
from pytest_prunecal.lab.identity import model_entry
from pytest_prunecal.lab.reproducible import seed_of
from pytest_prunecal.lab.resolve import resolve
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training.augmentation import Augmentation
from pytest_prunecal.store.sources import Sources
from pytest_prunecal.study.metric import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_prunecal.lab.datasets.base import Dataset
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.lab.training.loop import Pressure
    from pytest_prunecal.store.store import Store
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.given_base import Bases
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol, Recipe


@dataclass
class Bench:
    """All that measuring needs besides the cell; what is costly is loaded once, when first used.

    Attributes:
        protocol: turns cells into numbers.
        store: keeps base checkpoints and corrupted test sets.
        device: where networks run.
        data: the user's data folder, or None.
        extensions: the user's own models, pruners, data sets and metrics.
        bases: trained networks to start from instead of base training.
        fixed_base_seed: seed of every base network; None for that of the protocol.
        base_results: what evaluating base networks gave, by digest of their weights and of all that they
            were evaluated with.
        sources: reads what artefacts are made by.
        fresh: whether numbers that lie in the store are measured again.
    """

    protocol: Protocol
    store: Store
    device: torch.device
    data: Path | None
    extensions: Extensions
    bases: Bases = field(default_factory=dict)
    fixed_base_seed: int | None = None
    base_results: dict[str, Evaluated] = field(default_factory=dict)
    sources: Sources = field(default_factory=Sources)
    fresh: bool = False

    @property
    def base_seed(self) -> int:
        """Seed that the base network is trained under."""
        return self.protocol.seed if self.fixed_base_seed is None else self.fixed_base_seed

    def at(self, seed: int) -> Bench:
        """The same bench under another seed; what was loaded is shared."""
        if seed == self.protocol.seed:
            return self
        other = copy(self)
        other.protocol = replace(self.protocol, seed=seed)
        return other

    def over_seeds(self, seeds: int) -> Iterator[Bench]:
        """The same bench under each of some seeds, from the protocol's on."""
        for seed in range(self.protocol.seed, self.protocol.seed + seeds):
            yield self.at(seed)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Every metric by name, in canonical order, the user's own last."""
        return known(self.extensions.metrics.values())

    @cached_property
    def dataset(self) -> Dataset:
        """The protocol's data set."""
        extra = {
            name: resolve(entry, f"data set {name!r}") for name, entry in self.extensions.datasets.items()
        }
        return load_dataset(self.protocol.dataset, self.data, extra)

    @cached_property
    def training_set(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Training images and labels, on the device."""
        return self.dataset.train_images.to(self.device), self.dataset.train_labels.to(self.device)

    @cached_property
    def corrupted(self) -> CorruptedSets:
        """The corrupted test sets."""
        return CorruptedSets(self.dataset, self.protocol.evaluation, self.data, self.store)

    @property
    def forward(self) -> Forward:
        """From uint8 images to logits."""
        return Forward(Normalisation(self.protocol.mean, self.protocol.std), self.protocol.precision)

    @property
    def environment(self) -> dict[str, str]:
        """What a baseline records about where its numbers were measured."""
        on_gpu = self.device.type == "cuda"
        return {
            "torch": torch.__version__.partition("+")[0],
            "device": torch.cuda.get_device_name(self.device) if on_gpu else self.device.type,
            "threads": str(self.protocol.threads),
        }


def builder_of(model: str, bench: Bench) -> Callable[..., nn.Module]:
    """What builds a model: built in, the user's own by name, or `package.module:callable`."""
    builder: Callable[..., nn.Module] = resolve(model_entry(model, bench.extensions), f"model {model!r}")
    if not callable(builder):
        raise PrunecalError(f"model {model!r} is a {type(builder).__name__}; it must be a callable")
    return builder


def build(model: str, bench: Bench) -> nn.Module:
    """Build an untrained network; a builder is given those of our arguments that it names."""
    offered: dict[str, Any] = {"num_classes": bench.dataset.classes, "width": bench.protocol.width_of(model)}
    builder = builder_of(model, bench)
    signature = inspect.signature(builder)
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    arguments = {key: value for key, value in offered.items() if takes_all or key in signature.parameters}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise PrunecalError(f"model {model!r}: its builder is given {', '.join(offered)}: {error}") from None
    torch.manual_seed(seed_of(bench.base_seed, "init", model))
    network = builder(**arguments)
    if not isinstance(network, nn.Module):
        raise PrunecalError(f"model {model!r}: its builder returned a {type(network).__name__}, no nn.Module")
    return network.to(bench.device)


def train(
    model: nn.Module, recipe: Recipe, generator: torch.Generator, pressure: Pressure, bench: Bench
) -> None:
    """Train a network in place on the protocol's data and input pipeline; see `training.train`.

    Raises:
        PrunecalError: the device has too little memory for the recipe's batch.
    """
    images, labels = bench.training_set
    augmentation = Augmentation(bench.protocol.pad, bench.protocol.flip)
    try:
        # The error is answered where it is gone, and with it the memory that its frames hold.
        with suppress(torch.OutOfMemoryError):
            training.train(model, images, labels, recipe, bench.forward, augmentation, generator, pressure)
            return
    finally:
        torch.cuda.empty_cache()  # other workers on the same card may need what training no longer does
    raise PrunecalError(
        f"out of memory on {bench.device} while training on batches of {recipe.batch} images, which are part "
        "of the recipe; run fewer workers at once (a smaller -n) or on a device with more memory"
    )
