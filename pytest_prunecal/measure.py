"""Measuring a cell: the one road from a point of the grid to its numbers."""

from __future__ import annotations

import inspect
import time
import warnings
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from pytest_prunecal.corrupted import CorruptedSets
from pytest_prunecal.datasets.load import load as load_dataset
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.evaluation import evaluate, summary
from pytest_prunecal.images import Augmentation, Normalisation
from pytest_prunecal.measurement import Measurement
from pytest_prunecal.metrics.complexity import conv_weights, macs, parameters, sparsity
from pytest_prunecal.models import MODELS
from pytest_prunecal.protocol import Protocol, Recipe, digest
from pytest_prunecal.pruners import PRUNERS
from pytest_prunecal.pruners.base import Pruned, Pruner
from pytest_prunecal.pruners.channel import init_bn_scales
from pytest_prunecal.reproducible import generator_of, reproducible, seed_of
from pytest_prunecal.resolve import resolve
from pytest_prunecal.sources import module_digest, package_digest
from pytest_prunecal.training import Pressure, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from pytest_prunecal.cell import Cell
    from pytest_prunecal.datasets.base import Dataset
    from pytest_prunecal.evaluation import Evaluated
    from pytest_prunecal.extensions import Extensions
    from pytest_prunecal.store import Store

# What shapes a base checkpoint; an edit anywhere here trains it again.
_TRAINING_SOURCES = (
    "models",
    "datasets",
    "training.py",
    "images.py",
    "reproducible.py",
    "pruners/channel.py",
)


@dataclass
class Bench:
    """All that measuring needs besides the cell; what is costly is loaded once, when first used.

    Attributes:
        protocol: turns cells into numbers.
        store: keeps base checkpoints and corrupted test sets.
        device: where networks run.
        data: the user's data folder, or None.
        extensions: the user's own models, pruners, data sets and metrics.
    """

    protocol: Protocol
    store: Store
    device: torch.device
    data: Path | None
    extensions: Extensions

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
    def normalisation(self) -> Normalisation:
        """From uint8 to what networks see."""
        return Normalisation(self.protocol.mean, self.protocol.std)

    @property
    def environment(self) -> dict[str, str]:
        """What a baseline records about where its numbers were measured."""
        on_gpu = self.device.type == "cuda"
        return {
            "torch": torch.__version__.partition("+")[0],
            "device": torch.cuda.get_device_name(self.device) if on_gpu else self.device.type,
            "threads": str(self.protocol.threads),
        }


def measure(cell: Cell, bench: Bench) -> Measurement:
    """Measure one cell: base network, pruning, fine-tuning, evaluation.

    The dense cell is the base network as trained. Every other cell prunes the base network of its pruner
    (sparsity-trained for the channel pruner) and fine-tunes it with a fresh optimiser; what is evaluated is
    always the last epoch's network. Random numbers depend on the protocol's seed and the cell alone.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    start = time.perf_counter()
    with reproducible(bench.protocol.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruner = pruner_of(cell, bench)
        dense = base_network(cell, pruner.slimming if pruner else False, bench)
        dense_weights = conv_weights(dense)
        pruned = pruner.prune(dense, cell.ratio) if pruner else Pruned(dense, {}, ())
        if pruner:
            fine_tune(pruned, cell, bench)
        evaluated = evaluate_on_all(pruned.model, bench)
    shape = tuple(bench.dataset.test_images.shape[1:])
    return Measurement(
        metrics={
            **summary(evaluated),
            "parameters": parameters(pruned.model),
            "macs": macs(pruned.model, (shape[0], shape[1], shape[2])),
            "sparsity": sparsity(pruned.model, dense_weights),
            **own_metrics(evaluated, bench),
        },
        corrupted=evaluated.corrupted,
        provenance={
            **bench.environment,
            "corruptions": bench.corrupted.source,
            "protocol": bench.protocol.name,
            "fingerprint": bench.protocol.fingerprint,
            "dataset": bench.dataset.name,
            "seed": bench.protocol.seed,
            "seconds": round(time.perf_counter() - start, 3),
        },
        warnings=tuple(dict.fromkeys(str(warning.message) for warning in caught)),
    )


def pruner_of(cell: Cell, bench: Bench) -> Pruner | None:
    """The cell's pruner; None in the dense cell."""
    if cell.pruner is None:
        return None
    entry = bench.extensions.pruners.get(cell.pruner) or PRUNERS[cell.pruner]
    pruner = resolve(entry, f"pruner {cell.pruner!r}")
    if not isinstance(pruner, Pruner):
        raise PrunecalError(
            f"pruner {cell.pruner!r} is a {type(pruner).__name__}; it must be a Pruner instance"
        )
    return pruner


def base_network(cell: Cell, slimming: bool, bench: Bench) -> nn.Module:  # noqa: FBT001 - it is a kind of base
    """The trained network that the cell starts from, trained now if nobody has yet.

    Every process reads it back from the store, so that who trained it makes no difference.
    """
    builder = builder_of(cell.model, bench)
    penalty = bench.protocol.slimming.lambda_of(cell.model) if slimming else 0.0
    key = {
        "model": [cell.model, module_digest(builder)],
        "made by": [package_digest(*_TRAINING_SOURCES), bench.environment],
        "data": bench.dataset.digest,
        "recipe": asdict(bench.protocol.base),
        "input": [bench.protocol.mean, bench.protocol.std, bench.protocol.pad, bench.protocol.flip],
        "width": bench.protocol.width_of(cell.model),
        "slimming": [bench.protocol.slimming.scale, penalty] if slimming else None,
        "seed": bench.protocol.seed,
        "precision": bench.protocol.precision,
    }
    train_base = partial(_train_base, builder, cell, slimming, penalty, bench)
    entry = bench.store.obtain("base", digest(key), ".safetensors", train_base)
    model = _build(builder, cell, bench)
    model.load_state_dict(load_file(entry, device=str(bench.device)))
    return model


def _train_base(
    builder: Callable[..., nn.Module],
    cell: Cell,
    slimming: bool,  # noqa: FBT001 - it is a kind of base
    penalty: float,
    bench: Bench,
    path: Path,
) -> None:
    model = _build(builder, cell, bench)
    if slimming:
        init_bn_scales(model, bench.protocol.slimming.scale)
    generator = generator_of(bench.protocol.seed, "base", cell.model)
    _train(model, bench.protocol.base, generator, Pressure(slimming=penalty), bench)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, path)


def fine_tune(pruned: Pruned, cell: Cell, bench: Bench) -> None:
    """Fine-tune a pruned network in place: fresh optimiser, zeros held, no penalty on BN scales."""
    generator = generator_of(bench.protocol.seed, "finetune", cell.model, cell.id)
    _train(pruned.model, bench.protocol.finetune, generator, Pressure(masks=pruned.masks), bench)


def evaluate_on_all(model: nn.Module, bench: Bench) -> Evaluated:
    """Evaluate a network on the clean and on every corrupted test set."""
    return evaluate(
        model,
        bench.dataset.test_images,
        bench.corrupted,
        bench.dataset.test_labels,
        bench.normalisation,
        bench.protocol.evaluation.batch,
        bench.protocol.evaluation.bins,
        bench.device,
    )


def own_metrics(evaluated: Evaluated, bench: Bench) -> dict[str, float]:
    """The user's own metrics, on the clean test set."""
    values = {}
    for name, metric in bench.extensions.metrics.items():
        function = resolve(metric.function, f"metric {name!r}")
        values[name] = float(function(evaluated.logits, bench.dataset.test_labels))
    return values


def builder_of(model: str, bench: Bench) -> Callable[..., nn.Module]:
    """What builds a model: built in, the user's own by name, or `package.module:callable`."""
    entry = bench.extensions.models.get(model) or MODELS.get(model, model)
    builder: Callable[..., nn.Module] = resolve(entry, f"model {model!r}")
    if not callable(builder):
        raise PrunecalError(f"model {model!r} is a {type(builder).__name__}; it must be a callable")
    return builder


def _build(builder: Callable[..., nn.Module], cell: Cell, bench: Bench) -> nn.Module:
    """Build an untrained network; a builder is given those of our arguments that it names."""
    offered: dict[str, Any] = {"num_classes": bench.dataset.classes, "width": bench.protocol.width_of(cell.model)}
    named = inspect.signature(builder).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
    arguments = {key: value for key, value in offered.items() if takes_all or key in named}
    torch.manual_seed(seed_of(bench.protocol.seed, "init", cell.model))
    return builder(**arguments).to(bench.device)


def _train(
    model: nn.Module, recipe: Recipe, generator: torch.Generator, pressure: Pressure, bench: Bench
) -> None:
    images, labels = bench.training_set
    augmentation = Augmentation(bench.protocol.pad, bench.protocol.flip)
    train(model, images, labels, recipe, bench.normalisation, augmentation, generator, pressure)
