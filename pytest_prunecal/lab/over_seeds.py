"""One cell over several seeds: means, deviations, sampling errors, and what lies beside them."""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.against_dense import against_dense
from pytest_prunecal.lab.evaluation.bootstrap import errors_of
from pytest_prunecal.lab.evaluation.encoded import encode
from pytest_prunecal.study.image_results import ImageResults, paired
from pytest_prunecal.study.measurement import Measurement, mean_of
from pytest_prunecal.study.uncertainty import Uncertainty

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from pytest_prunecal.lab.evaluation.bootstrap import Sampled
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.study.against_dense import AgainstDense
    from pytest_prunecal.study.measurement import Scores
    from pytest_prunecal.study.metric import Metric


@dataclass(frozen=True)
class BaseResult:
    """What is kept of a base network's evaluation.

    Attributes:
        digest: of its weights.
        metrics: by name.
        columns: image by image; see `Sampled.columns`.
    """

    digest: str
    metrics: dict[str, float]
    columns: dict[str, Tensor]


@dataclass(frozen=True)
class Trial:
    """One cell under one seed.

    Attributes:
        measurement: its numbers.
        sampled: image by image, and resampled.
        base: the base network's own numbers.
        dense: those of the plain dense network; None where nobody asked.
    """

    measurement: Measurement
    sampled: Sampled
    base: BaseResult
    dense: Evaluated | None = None


def combine(trials: list[Trial], metrics: Mapping[str, Metric]) -> Measurement:
    """Sum up the trials of one cell, one a seed.

    Args:
        trials: at least one.
        metrics: all there are.

    Returns:
        The measurement: means over seeds, each seed's numbers, deviations over seeds where there are several,
        sampling errors, means by image, and the trace of the first seed.
    """
    first = trials[0].measurement
    numbers = {name: [trial.measurement.metrics[name] for trial in trials] for name in first.metrics}
    errors = errors_of([trial.sampled for trial in trials])
    means = {name: mean_of(values) for name, values in numbers.items()}
    several = len(trials) > 1
    uncertainty = {
        name: Uncertainty(errors.get(name), statistics.stdev(values), len(trials), values[0])
        if several
        else Uncertainty(errors.get(name))
        for name, values in numbers.items()
        if name in errors or (several and statistics.stdev(values))
    }
    bases = [trial.base.digest for trial in trials]
    names = paired(trials[0].sampled.columns, metrics)
    seconds = sum(float(trial.measurement.provenance["seconds"]) for trial in trials)
    return Measurement(
        metrics=means,
        corrupted=_mean_scores([trial.measurement.corrupted for trial in trials]),
        provenance=first.provenance
        | {"seconds": round(seconds, 3), "seeds": len(trials), "bases": len(set(bases))},
        warnings=tuple(dict.fromkeys(text for trial in trials for text in trial.measurement.warnings)),
        uncertainty=uncertainty,
        by_image=ImageResults(
            metrics={name: float(value) for name, value in means.items()},
            each={name: [*map(float, values)] for name, values in numbers.items()},
            base=bases[0] if len(set(bases)) == 1 else hashlib.sha256("".join(bases).encode()).hexdigest(),
            base_metrics={
                name: statistics.fmean(trial.base.metrics[name] for trial in trials) for name in names
            },
            cell=encode(_mean_columns([trial.sampled.columns for trial in trials])),
            base_cell=encode(_mean_columns([trial.base.columns for trial in trials])),
            change_sd=_change_sd(trials, names) if several else {},
            trace=first.trace,
        ),
        each=numbers,
        trace=first.trace,
        against_dense=_against_dense(trials),
    )


def _against_dense(trials: list[Trial]) -> dict[str, AgainstDense]:
    dense = [trial.dense for trial in trials if trial.dense is not None]
    return against_dense([trial.sampled for trial in trials], dense) if len(dense) == len(trials) else {}


def _mean_columns(columns: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([each[name] for each in columns]).mean(0) for name in columns[0]}


def _change_sd(trials: list[Trial], names: Iterable[str]) -> dict[str, float]:
    """Deviation over seeds of how far the cell lies from its base network."""
    return {
        name: statistics.stdev(trial.measurement.metrics[name] - trial.base.metrics[name] for trial in trials)
        for name in names
    }


def _mean_scores(sets: list[dict[str, dict[str, Scores]]]) -> dict[str, dict[str, Scores]]:
    if len(sets) == 1:
        return sets[0]
    return {
        corruption: {
            severity: {
                name: statistics.fmean(each[corruption][severity][name] for each in sets) for name in scores
            }
            for severity, scores in levels.items()
        }
        for corruption, levels in sets[0].items()
    }
