"""Base networks: what a cell starts from, trained once and shared, or the user's own checkpoint."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from pytest_prunecal.lab import models, trained_state
from pytest_prunecal.lab.checkpoint import load_given
from pytest_prunecal.lab.evaluation import saved
from pytest_prunecal.lab.evaluation.pixels import Pixels
from pytest_prunecal.lab.identity import declared, model_entry, own_metrics
from pytest_prunecal.lab.randomness import generator_of, perturb, stage
from pytest_prunecal.lab.training import trainer
from pytest_prunecal.store.environment import conditions
from pytest_prunecal.store.kinds import Artefact, Kind
from pytest_prunecal.store.sources import file_digest, package_digest
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor, nn

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.evaluation.tally import Evaluated


def training_code() -> str:
    """Digest of the code that trains base networks: what the trainer reaches, and the models, by name."""
    return package_digest(models, reached_from=trainer)


class BaseNetwork:
    """The trained network that cells of a model start from; a user's checkpoint takes its place.

    Attributes:
        kind: `slimmed` if it is trained for sparsity, as the channel pruner wants it, else `plain`. A user's
            checkpoint serves as either, whether or not it was trained for sparsity.
        given: the user's checkpoint, or what is pinned in a baseline; None where it is trained.

    Args:
        model: the model's name.
        bench: trains, keeps and evaluates it.
        slimming: whether it is trained for sparsity.
    """

    def __init__(self, model: str, bench: Bench, *, slimming: bool) -> None:
        self._model, self._bench, self._slimming = model, bench, slimming
        self.kind = "slimmed" if slimming else "plain"
        self.given = bench.setup.bases.get((model, self.kind))
        # One that is given is the same under every seed, and what it draws too.
        self._seed = bench.setup.protocol.seed if self.given else bench.base_seed

    def network(self) -> nn.Module:
        """A copy of it on the device, trained now if nobody has yet.

        Every process reads it back from the store, so that who trained it makes no difference.

        Raises:
            PrunecalError: what is given does not fit the model.
        """
        network = self._bench.build(self._model, self._seed)
        if self.given:
            with self._loading():
                load_given(network, self.given, self._model)
        else:
            wanted = network.state_dict()
            read = partial(trained_state.load, wanted=wanted, device=str(self._bench.device))
            state = self._bench.store.read(self._artefact, read)
            with self._loading():
                network.load_state_dict(state)
        return network

    def perturbed(self, *what: object) -> nn.Module:
        """As `network`, its weights moved as little as another machine's arithmetic moves numbers.

        Args:
            what: what for; the random numbers depend on it, on the seed and on the model.
        """
        network = self.network()
        perturb(network, generator_of(self._seed, "jitter", self._model, *what))
        return network

    def _loading(self) -> AbstractContextManager[None]:
        """The stage of a network's own `load_state_dict`."""
        return stage(self._bench.device, self._seed, "load", self._model)

    def trained(self) -> Path:
        """A file with what base training gives, whatever is given; trained now if nobody has yet.

        It is the store's entry, or a file of this process where the store can keep nothing.
        """
        return self._bench.store.obtain(self._artefact)

    @property
    def place(self) -> str:
        """Where the store has what was trained, such as `base/KEY.safetensors`; empty if it was given."""
        if self.given:
            return ""
        self.trained()
        return self._artefact.place

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of its file of weights."""
        return file_digest(self.given.path if self.given else self.trained())

    def provenance(self) -> dict[str, str]:
        """What a measurement says of it.

        `base` is `pinned`, or twelve hex digits of a user's checkpoint; it is absent where the base was
        trained, and `base_entry` is then its place in the store. `base_kind` is `plain` or `slimmed`.
        """
        if self.given is None:
            return {"base_kind": self.kind, "base_entry": self.place}
        return {"base_kind": self.kind, "base": "pinned" if self.given.sha256 else self.digest[:12]}

    def evaluated(self, repeat: int = 0) -> Evaluated:
        """Its own evaluation, made once: the dense cell, and what every change is counted from.

        Args:
            repeat: from 1 on, number of a repeat from perturbed weights, which tells how far float
                arithmetic moves such an evaluation.
        """
        bench, protocol = self._bench, self._bench.protocol
        key = digest(
            {
                "weights": [self.digest, repeat],
                "seed": self._seed,
                "model": [self._model, protocol.width_of(self._model), self._code],
                "data": [bench.dataset.digest, bench.corrupted.digest],
                "input": [protocol.mean, protocol.std],
                "evaluation": asdict(protocol.evaluation),
                "metrics": own_metrics(bench.setup.extensions, bench.sources),
                "made by": [bench.sources.of_package(), protocol.precision, protocol.threads],
                "conditions": conditions(bench.environment["device"]),
            }
        )
        if key not in bench.base_results:
            load = partial(saved.load, images=len(bench.dataset.test_images), metrics=bench.metrics)
            bench.base_results[key] = bench.store.remember(
                Kind("evaluation", ".safetensors", saved.save, load),
                key,
                partial(self._evaluate, repeat),
                anew=bench.setup.fresh,
            ).content
        return bench.base_results[key]

    def _evaluate(self, repeat: int) -> Evaluated:
        network = self.perturbed(self.kind, repeat) if repeat else self.network()
        sets = Pixels(self._bench.corrupted)
        found = self._bench.evaluate(network, self._seed, self._model, corrupted=sets)
        return replace(found, pixels=sets.means)

    @cached_property
    def _artefact(self) -> Artefact:
        """Its entry: the key holds all that `Trainer.train_base` is given, and the code that it runs."""
        bench, protocol = self._bench, self._bench.protocol
        penalty = protocol.slimming.lambda_of(self._model)
        key = {
            "model": [self._model, self._code],
            "made by": [training_code(), bench.environment],
            "data": bench.dataset.digest,
            "recipe": protocol.base.measuring,
            "input": [protocol.mean, protocol.std, protocol.pad, protocol.flip],
            "width": protocol.width_of(self._model),
            "slimming": [protocol.slimming.scale, penalty] if self._slimming else None,
            "seed": bench.base_seed,
            "precision": protocol.precision,
        }
        return Artefact("base", digest(key), ".safetensors", self._train, trained_state.save, dear=True)

    @cached_property
    def _code(self) -> str:
        """Digest of the code that the model is made of, and of the files that the user says it reads."""
        self._bench.builder_of(self._model)  # imported first: what is edited after this is noticed
        own, sources = self._bench.setup.extensions, self._bench.sources
        return digest(
            [sources.of_code(model_entry(self._model, own), own.registrars), declared(own, sources)]
        )

    def _train(self) -> dict[str, Tensor]:
        bench = self._bench
        builder = bench.builder_of(self._model)
        return bench.trainer.train_base(self._model, builder, bench.base_seed, slimming=self._slimming)
