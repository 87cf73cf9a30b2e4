"""The bench: what measuring needs besides the cell."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.load import load as load_dataset
from pytest_prunecal.lab.evaluation.corrupted_sets import CorruptedSets
from pytest_prunecal.lab.evaluation.evaluate import evaluate, on_clean
from pytest_prunecal.lab.evaluation.tally import Tally
from pytest_prunecal.lab.forward import Forward
from pytest_prunecal.lab.identity import model_entry
from pytest_prunecal.lab.models.zoo import builder as zoo_builder
from pytest_prunecal.lab.own_code import imported
from pytest_prunecal.lab.randomness import stage
from pytest_prunecal.lab.training.trainer import Trainer
from pytest_prunecal.store.sources import Sources
from pytest_prunecal.study import zoo
from pytest_prunecal.study.builtin import MODELS
from pytest_prunecal.study.metric import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor, nn

    from pytest_prunecal.lab.datasets.base import Dataset
    from pytest_prunecal.lab.evaluation.evaluate import TestSet
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.lab.setup import Setup
    from pytest_prunecal.store.store import Store
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol


@dataclass
class Bench:
    """All that measuring needs besides the cell; what is costly is loaded once, when first used.

    Attributes:
        setup: what the session measures with.
        store: keeps base networks, corrupted test sets and evaluations.
        device: where networks run.
        sources: reads what artefacts are made by.
        base_results: what evaluating base networks gave, by digest of their weights and of all that they
            were evaluated with.
        protocol: the setup's, under this bench's seed.
        one_base: whether this seed starts from the base network of the protocol's.
        observer: looks on while cells are fine-tuned, see `loop.Pressure`; None where nobody does.
        admitted: models of the user's own that were found to work, with a pruner or (empty) by themselves.
    """

    setup: Setup
    store: Store
    device: torch.device
    sources: Sources = field(default_factory=Sources)
    base_results: dict[str, Evaluated] = field(default_factory=dict)
    protocol: Protocol = field(init=False)
    one_base: bool = field(init=False, default=False)
    observer: Callable[[nn.Module, Tensor, float], bool] | None = field(init=False, default=None)
    admitted: set[tuple[str, str]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Begin with the protocol's own seed."""
        self.protocol = self.setup.protocol

    @property
    def base_seed(self) -> int:
        """Seed that base networks are trained under: all seeds share what is pinned."""
        return self.setup.protocol.seed if self.setup.pin or self.one_base else self.protocol.seed

    def at(self, seed: int) -> Bench:
        """The same bench under another seed; what was loaded is shared."""
        if seed == self.protocol.seed:
            return self
        other = copy(self)
        other.protocol = replace(self.protocol, seed=seed)
        return other

    def on(self, device: torch.device) -> Bench:
        """The same bench for a network that runs elsewhere; what was loaded is shared."""
        if device == self.device:
            return self
        other = copy(self)
        other.device = device
        return other

    def observed_by(self, observer: Callable[[nn.Module, Tensor, float], bool]) -> Bench:
        """The same bench while somebody looks on; what was loaded is shared."""
        other = copy(self)
        other.observer = observer
        return other

    def over_seeds(self, seeds: int, *, one_base: bool = False) -> Iterator[Bench]:
        """The same bench under each of some seeds, from the protocol's on.

        Args:
            seeds: how many.
            one_base: whether all start from the first one's base network.
        """
        for seed in range(self.protocol.seed, self.protocol.seed + seeds):
            bench = self.at(seed)
            if one_base and bench is not self:
                bench.one_base = True
            yield bench

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Every metric by name, in canonical order, the user's own last."""
        return known(self.setup.extensions.metrics.values())

    @cached_property
    def dataset(self) -> Dataset:
        """The protocol's data set."""
        extra = {
            name: imported(entry, f"data set {name!r}")
            for name, entry in self.setup.extensions.datasets.items()
        }
        # The data are the same under every seed.
        with stage(self.device, "data set", self.protocol.dataset["name"]):
            return load_dataset(self.protocol.dataset, self.setup.data, extra)

    @cached_property
    def corrupted(self) -> CorruptedSets:
        """The corrupted test sets."""
        return CorruptedSets(self.dataset, self.protocol.evaluation, self.setup.data, self.store)

    @cached_property
    def trainer(self) -> Trainer:
        """Builds and trains networks."""
        return Trainer(self.dataset, self.protocol, self.device)

    @property
    def forward(self) -> Forward:
        """From uint8 images to logits."""
        return Forward.of(self.protocol)

    @property
    def environment(self) -> dict[str, str]:
        """What a baseline records about where its numbers were measured."""
        on_gpu = self.device.type == "cuda"
        return {
            "torch": torch.__version__.partition("+")[0],
            "device": torch.cuda.get_device_name(self.device) if on_gpu else self.device.type,
            "threads": str(self.protocol.threads),
        }

    def builder_of(self, model: str) -> Callable[..., nn.Module]:
        """What builds a model: built in, of a library, the user's own, or `package.module:callable`."""
        if found := zoo.split(model):
            _, height, width = self.dataset.test_images.shape[1:]
            return zoo_builder(*found, (height, width))
        entry = model_entry(model, self.setup.extensions)
        builder: Callable[..., nn.Module] = imported(entry, f"model {model!r}")
        if not callable(builder):
            raise PrunecalError(f"model {model!r} is a {type(builder).__name__}; it must be a callable")
        return builder

    def build(self, model: str, seed: int | None = None) -> nn.Module:
        """Build an untrained network, see `Trainer.build`; one of the user's own is checked, once a process.

        Args:
            model: the model's name.
            seed: root of the initial weights; None for that of base networks.
        """
        network = self.trainer.build(model, self.builder_of(model), self.base_seed if seed is None else seed)
        if model not in MODELS and (model, "") not in self.admitted:
            self.trainer.entry.check(network, f"model {model!r}")
            self.admitted.add((model, ""))
        return network

    def logits(self, network: nn.Module, *what: object) -> Tensor:
        """Logits of the clean test images alone, float32 (N, classes) on the CPU; arguments as `evaluate`."""
        batch = self.protocol.evaluation.batch
        return on_clean(network, self.dataset.test_images, self.forward, batch, self.device, what)

    def evaluate(
        self, network: nn.Module, *what: object, corrupted: Iterable[TestSet] | None = None
    ) -> Evaluated:
        """Evaluate a network on the clean and on every corrupted test set.

        Args:
            network: on the device.
            what: what it is, which its own random numbers and those of metrics depend on, the seed first.
            corrupted: the same corrupted sets in the hands of who looks on; None for the sets themselves.
        """
        return evaluate(
            network,
            self.dataset.test_images,
            self.corrupted if corrupted is None else corrupted,
            Tally(self.metrics, self.dataset.test_labels, self.protocol.evaluation.bins),
            self.forward,
            self.protocol.evaluation.batch,
            self.device,
            what,
        )
