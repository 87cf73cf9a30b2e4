"""Measuring a candidate: a finished network, evaluated as it is."""

from __future__ import annotations

import hashlib
import time
import warnings
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.against_dense import dense_of
from pytest_prunecal.lab.candidates.load import load
from pytest_prunecal.lab.evaluation.pixels import Pixels
from pytest_prunecal.lab.forward import described, lay_out
from pytest_prunecal.lab.metrics.functions import check_function
from pytest_prunecal.lab.metrics.of_network import of_network
from pytest_prunecal.lab.over_seeds import BaseResult, Trial
from pytest_prunecal.lab.own_code import told
from pytest_prunecal.lab.randomness import stage
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.trace import trace_of
from pytest_prunecal.lab.warned import told_with
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, NETWORK
from pytest_prunecal.study.trace import CORRUPTIONS, DATA

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.candidates.finished import Finished
    from pytest_prunecal.lab.trace import Stages
    from pytest_prunecal.study.candidate import Candidate
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Number

_ALONE = 1e-2
"""How far an image's logits may move, as a share of the largest, by which images are beside it."""
_PROBABILITIES = 1e-3


def admit(cell: Cell, bench: Bench) -> None:
    """Load a candidate, run two images and one through it, and count what it costs.

    Raises:
        PrunecalError: it cannot be loaded, or gives no logits of the data's classes; in one sentence.
    """
    with reproducible(bench.protocol.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the measuring itself will give them
        candidate = _candidate(cell, bench)
        _check(load(candidate, bench), candidate, bench)
        finished = load(candidate, bench)
        _costs(finished, candidate, cell, _where(finished, bench))


def measure_candidate(cell: Cell, bench: Bench) -> Trial:
    """Evaluate a candidate on the clean and on every corrupted test set; nothing is trained.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    start = time.perf_counter()
    with reproducible(bench.protocol.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for metric in bench.setup.extensions.metrics.values():
            check_function(metric)
        candidate = _candidate(cell, bench)
        _check(load(candidate, bench), candidate, bench)
        finished = load(candidate, bench)  # anew: what it keeps of a pass shall not reach its evaluation
        at = _where(finished, bench)
        costs = _costs(finished, candidate, cell, at)
        sets = Pixels(at.corrupted)
        evaluated = at.evaluate(finished.model, at.protocol.seed, cell.model, cell.id, corrupted=sets)
        dense = dense_of(cell, bench)
        beside = dense.evaluated() if dense else None
        stages: Stages = {
            DATA: {"images and labels": at.dataset.digest},
            CORRUPTIONS: dict(sets.means),
        }
    found: dict[str, Number] = {**evaluated.metrics, **costs}
    state = finished.state or hashlib.sha256(evaluated.logits.numpy().tobytes()).hexdigest()
    measurement = Measurement(
        metrics={name: found[name] for name in at.metrics if name in found},
        corrupted=evaluated.corrupted,
        provenance={
            **at.environment,
            "corruptions": at.corrupted.source,
            **({"network": finished.sha256} if finished.sha256 else {}),
            "protocol": at.protocol.name,
            "fingerprint": at.protocol.fingerprint,
            "dataset": at.dataset.name,
            "seed": at.protocol.seed,
            "seconds": round(time.perf_counter() - start, 3),
        },
        warnings=told_with(caught),
        trace=trace_of(state, stages),
    )
    # Nothing stands before it: it is what it is compared from.
    own = BaseResult(state, evaluated.metrics, evaluated.sampled.columns)
    return Trial(measurement, evaluated.sampled, own, beside)


def _candidate(cell: Cell, bench: Bench) -> Candidate:
    return bench.setup.candidates[cell.model, cell.candidate]


def _where(finished: Finished, bench: Bench) -> Bench:
    """The bench for where a finished network runs."""
    return bench.on(torch.device("cpu")) if finished.on_cpu else bench


def _costs(finished: Finished, candidate: Candidate, cell: Cell, bench: Bench) -> dict[str, Number]:
    """Metrics of the network itself: those that its form tells, and the others where they can be counted.

    What cannot be counted on such a network is left out and told, as a number that nobody counted is worse
    than none; but for metrics of the user's own, which are given what is evaluated.

    Raises:
        PrunecalError: a metric's function fails on it.
    """
    shape = tuple(bench.dataset.test_images.shape[1:])
    found = {name: value for name, value in finished.costs.items() if name in bench.metrics}
    what = candidate.shown
    own = finished.network if finished.network is not None else finished.model
    for name, metric in bench.metrics.items():
        if metric.where != NETWORK or name in found:
            continue
        if finished.network is None and name in METRICS:
            continue
        offers = {"input_shape": shape, "dense_weights": finished.dense_weights}
        try:
            found |= of_network(own, {name: metric}, cell, bench.protocol.seed, bench.device, **offers)
        except PrunecalError as error:
            raise PrunecalError(f"{what}: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever a function does that finds another network
            raise PrunecalError(f"{what}: metric {name!r} cannot be measured: {told(error)}") from None
    return found


def _check(finished: Finished, candidate: Candidate, bench: Bench) -> None:
    """Run two images, and then one, through a candidate, which may remember them.

    Raises:
        PrunecalError: it fails, or does not give finite float (N, classes); in one sentence.

    Warns:
        MeasurementWarning: what it says of an image depends on the images beside it.
    """
    what, bench, probe = candidate.shown, _where(finished, bench), finished.model
    lay_out(probe, bench.device)
    images = bench.dataset.test_images[:2].to(bench.device)
    with stage(bench.device, "entry", what), torch.no_grad():
        probe.eval()
        together = _logits(probe, images, what, bench)
        alone = _logits(probe, images[:1], what, bench)
    if _are_probabilities(together) and _are_probabilities(alone):
        raise PrunecalError(
            f"{what}: what it gives are probabilities (from 0 to 1, and 1 in sum), and logits are wanted; "
            "end the network before its softmax"
        )
    if float((together[:1] - alone).abs().max()) > _ALONE * max(float(together.abs().max()), 1e-6):
        warnings.warn(
            f"{what}: what it says of an image depends on the images beside it, as with dynamic quantisation "
            f"or batch norm in training mode, so its numbers are those of batches of "
            f"{bench.protocol.evaluation.batch}",
            MeasurementWarning,
            stacklevel=1,
        )


def _are_probabilities(logits: Tensor) -> bool:
    sums = logits.sum(1)
    return bool((logits >= 0).all() and ((sums - 1).abs() < _PROBABILITIES).all())


def _logits(probe: torch.nn.Module, images: Tensor, what: str, bench: Bench) -> Tensor:
    size, classes = "x".join(map(str, images.shape[1:])), bench.dataset.classes
    try:
        logits = bench.forward.logits(probe, images).cpu()
    except PrunecalError as error:
        raise PrunecalError(f"{what}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever it raises
        if "deterministic" in str(error):
            raise PrunecalError(
                f"{what}: it computes with what has no deterministic implementation on {bench.device.type}, "
                f"so its numbers would differ from run to run: {told(error)}"
            ) from None
        raise PrunecalError(f"{what}: it fails on {len(images)} images of {size}: {told(error)}") from None
    if logits.ndim == 2 and len(logits) == len(images) and logits.shape[1] != classes:
        raise PrunecalError(
            f"{what}: it gives {logits.shape[1]} logits an image, and the data have {classes} classes"
        )
    if logits.shape != (len(images), classes):
        raise PrunecalError(
            f"{what}: wanted logits, float ({len(images)}, {classes}), of {len(images)} images, got "
            f"{described(logits)}"
        )
    if not torch.isfinite(logits).all():
        raise PrunecalError(f"{what}: its logits are NaN or infinite")
    return logits
