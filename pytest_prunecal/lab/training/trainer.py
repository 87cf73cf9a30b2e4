"""The trainer: builds networks and trains them as a protocol says, base networks and pruned ones alike.

What shapes a base network is what `Trainer.train_base` is given and the modules that this one reaches by
imports; `lab.base_network` makes its key of exactly these. So nothing that only evaluates, keeps or reports
belongs here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.forward import Forward
from pytest_prunecal.lab.models.builder import call
from pytest_prunecal.lab.models.entry import Entry, own_copy
from pytest_prunecal.lab.models.norms import init_bn_scales
from pytest_prunecal.lab.models.tied import stored_once
from pytest_prunecal.lab.randomness import generator_of, stage
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.training.augmentation import Augmentation
from pytest_prunecal.lab.training.loop import Pressure, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.lab.datasets.base import Dataset
    from pytest_prunecal.study.protocol import Protocol, Recipe


@dataclass(frozen=True, eq=False)
class Trainer:
    """Builds and trains networks.

    Attributes:
        dataset: whose training images.
        protocol: widths, input pipeline, precision, recipes; its seed takes no part.
        device: where networks run.
    """

    dataset: Dataset
    protocol: Protocol
    device: torch.device

    @cached_property
    def training_set(self) -> tuple[Tensor, Tensor]:
        """Training images and labels, on the device."""
        return self.dataset.train_images.to(self.device), self.dataset.train_labels.to(self.device)

    def offered(self, model: str) -> dict[str, Any]:
        """What a model's builder may name."""
        return {"num_classes": self.dataset.classes, "width": self.protocol.width_of(model)}

    def build(self, model: str, builder: Callable[..., nn.Module], seed: int) -> nn.Module:
        """Build an untrained network on the device.

        Args:
            model: the model's name, for its width and for messages.
            builder: is given those of our arguments that it names, and through `**` the number of classes.
            seed: root of the initial weights.

        Raises:
            PrunecalError: the builder takes none of our arguments as it must, or gives no network that could
                be trained and pruned.
        """
        with stage(self.device, seed, "init", model):
            network = call(builder, self.offered(model), f"model {model!r}")
            if not isinstance(network, nn.Module):
                raise PrunecalError(
                    f"model {model!r}: its builder returned a {type(network).__name__}, no nn.Module"
                )
            images = self.dataset.test_images[:2].to(self.device)
            return own_copy(network, images, Forward.of(self.protocol), f"model {model!r}").to(self.device)

    @property
    def entry(self) -> Entry:
        """What a network must be able to do."""
        protocol = self.protocol
        return Entry(
            self.dataset.test_images[:2],
            self.dataset.classes,
            Forward.of(protocol),
            self.device,
            trained=protocol.base.epochs > 0 or protocol.finetune.epochs > 0,
        )

    def train(
        self, network: nn.Module, recipe: Recipe, generator: torch.Generator, pressure: Pressure
    ) -> None:
        """Train a network in place on the protocol's data and input pipeline; see `loop.train`.

        Raises:
            PrunecalError: the device has too little memory for the recipe's batch.
        """
        images, labels = self.training_set
        augmentation = Augmentation(self.protocol.pad, self.protocol.flip)
        forward = Forward.of(self.protocol)
        try:
            # The error is answered where it is gone, and with it the memory that its frames hold.
            with suppress(torch.OutOfMemoryError):
                train(network, images, labels, recipe, forward, augmentation, generator, pressure)
                return
        finally:
            torch.cuda.empty_cache()  # other workers on the same card may need what training no longer does
        raise PrunecalError(
            f"out of memory on {self.device} while training on batches of {recipe.batch} images, which are "
            "part of the recipe; run fewer workers at once (a smaller -n) or on a device with more memory"
        )

    def train_base(
        self, model: str, builder: Callable[..., nn.Module], seed: int, *, slimming: bool
    ) -> dict[str, Tensor]:
        """Build and train a base network; what this process does besides is neither seen nor touched.

        Args:
            model: the model's name.
            builder: see `build`.
            seed: root of all its random numbers.
            slimming: whether it is trained for sparsity, as the channel pruner wants it.

        Returns:
            Its state, on the CPU; tied weights under the first of their names, see `with_all_names`.
        """
        with reproducible(self.protocol.threads):
            network = self.build(model, builder, seed)
            penalty = 0.0
            if slimming:
                penalty = self.protocol.slimming.lambda_of(model)
                init_bn_scales(network, self.protocol.slimming.scale)
            generator = generator_of(seed, "base", model)
            with stage(self.device, seed, "base training", model, slimming):
                self.train(network, self.protocol.base, generator, Pressure(slimming=penalty))
            return stored_once(network.state_dict())
