"""Base networks: what a cell starts from, trained once and shared, or the user's own checkpoint."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab import bench as bench_module
from pytest_prunecal.lab import datasets, forward, models, reproducible
from pytest_prunecal.lab.bench import build, builder_of, train
from pytest_prunecal.lab.identity import declared, model_entry
from pytest_prunecal.lab.pruners import channel
from pytest_prunecal.lab.pruners.channel import init_bn_scales
from pytest_prunecal.lab.reproducible import generator_of
from pytest_prunecal.lab.training import augmentation as images
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training import sgd as optimiser
from pytest_prunecal.lab.training.loop import Pressure
from pytest_prunecal.store import environment
from pytest_prunecal.store.sources import file_digest, package_digest
from pytest_prunecal.store.store import Artefact
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.given_base import GivenBase

# What shapes a base checkpoint; an edit anywhere here trains it again.
_MADE_BY = (
    sys.modules[__name__],
    bench_module,
    channel,
    datasets,
    environment,
    forward,
    images,
    models,
    optimiser,
    reproducible,
    training,
)


def base_network(cell: Cell, bench: Bench, *, slimming: bool) -> nn.Module:
    """The trained network that the cell starts from, trained now if nobody has yet.

    Every process reads it back from the store, so that who trained it makes no difference.
    """
    given = _given(cell, bench, slimming=slimming)
    if given:
        return _from_file(given, cell.model, bench)
    model = build(cell.model, bench)
    artefact = _artefact(cell, bench, slimming=slimming)
    model.load_state_dict(bench.store.read(artefact, partial(load_file, device=str(bench.device))))
    return model


def _given(cell: Cell, bench: Bench, *, slimming: bool) -> GivenBase | None:
    return bench.bases.get((cell.model, _kind(slimming=slimming)))


def _kind(*, slimming: bool) -> str:
    return "slimmed" if slimming else "plain"


def trained_base(cell: Cell, bench: Bench, *, slimming: bool) -> Path:
    """The store's entry of the network that base training gives, trained now if nobody has yet."""
    return bench.store.obtain(_artefact(cell, bench, slimming=slimming))


def _artefact(cell: Cell, bench: Bench, *, slimming: bool) -> Artefact:
    penalty = bench.protocol.slimming.lambda_of(cell.model) if slimming else None
    key = {
        "model": [cell.model, code_of(cell, bench)],
        "made by": [package_digest(*_MADE_BY), bench.environment],
        "data": bench.dataset.digest,
        "recipe": asdict(bench.protocol.base),
        "input": [bench.protocol.mean, bench.protocol.std, bench.protocol.pad, bench.protocol.flip],
        "width": bench.protocol.width_of(cell.model),
        "slimming": None if penalty is None else [bench.protocol.slimming.scale, penalty],
        "seed": bench.base_seed,
        "precision": bench.protocol.precision,
    }
    return Artefact("base", digest(key), ".safetensors", partial(_train_base, cell, bench, penalty))


def code_of(cell: Cell, bench: Bench) -> str:
    """Digest of the code that a cell's model is made of, and of the files that the user says it reads."""
    builder_of(cell.model, bench)  # imported first: what is edited after this is noticed
    own = bench.extensions
    code = bench.sources.of_code(model_entry(cell.model, own), own.registrars)
    return digest([code, declared(own, bench.sources)])


def _train_base(cell: Cell, bench: Bench, penalty: float | None, path: Path) -> None:
    model = build(cell.model, bench)
    if penalty is not None:
        init_bn_scales(model, bench.protocol.slimming.scale)
    generator = generator_of(bench.base_seed, "base", cell.model)
    train(model, bench.protocol.base, generator, Pressure(slimming=penalty or 0.0), bench)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, path)


def _from_file(given: GivenBase, model: str, bench: Bench) -> nn.Module:
    """Load a given network; safetensors files hold tensors and nothing that could run.

    A user's checkpoint serves the channel pruner too, whether or not it was trained for sparsity.
    """
    what = f"{'pinned base' if given.sha256 else 'checkpoint'} {given.path}"
    network = build(model, bench)
    try:
        content = given.path.read_bytes()
        if given.sha256 and hashlib.sha256(content).hexdigest() != given.sha256:
            raise PrunecalError(f"{what}: is not the file that the baseline names: its sha256 differs")
        state = load(content)
    except (OSError, SafetensorError) as error:
        raise PrunecalError(f"{what}: is no readable safetensors file: {error}") from None
    wanted = network.state_dict()
    problem = _mismatch(wanted, state)
    if problem:
        raise PrunecalError(f"{what}: {problem}, so it is no {model} of this protocol")
    network.load_state_dict({name: state.get(name, tensor) for name, tensor in wanted.items()})
    return network


def _mismatch(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    """Say how a checkpoint differs from what a network needs; empty if it fits."""
    # Counts of seen batches: some exporters leave them out, and nothing here reads them.
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    for names, problem in (
        (needed - found.keys(), "it lacks"),
        (found.keys() - wanted.keys(), "it has the unknown"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{problem} {min(names)}{more}"
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            return f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted[name].shape)}"
        if not torch.isfinite(tensor).all():
            return f"{name} holds NaN or infinite values"
    return ""


def place_of(cell: Cell, bench: Bench, *, slimming: bool) -> str:
    """Where the store has the trained network that the cell starts from; empty if it was given instead."""
    if _given(cell, bench, slimming=slimming):
        return ""
    return trained_base(cell, bench, slimming=slimming).relative_to(bench.store.root).as_posix()


def digest_of(cell: Cell, bench: Bench, *, slimming: bool) -> str:
    """SHA-256, in hex, of the file of weights that the cell starts from."""
    given = _given(cell, bench, slimming=slimming)
    return file_digest(given.path if given else trained_base(cell, bench, slimming=slimming))


def provenance(cell: Cell, bench: Bench, *, slimming: bool) -> dict[str, str]:
    """What a measurement says of its base.

    `base` is `pinned`, or twelve hex digits of a user's checkpoint; it is absent where the base was trained,
    and `base_entry` is then its place in the store. `base_kind` is `plain` or `slimmed`.
    """
    kind, given = _kind(slimming=slimming), _given(cell, bench, slimming=slimming)
    if given is None:
        return {"base_kind": kind, "base_entry": place_of(cell, bench, slimming=slimming)}
    return {"base_kind": kind, "base": "pinned" if given.sha256 else file_digest(given.path)[:12]}
