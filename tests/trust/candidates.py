"""Finished networks: whether planted faults fail, and how often two that are equally good do.

Each network is run once, through its own form, and its logits are kept. A run is a resampling of the test
set: images drawn with replacement, an image's corrupted versions together, the same for both sides. It is
judged by what the images tell; what a network costs is exact, and no question of chance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from gate import Gate
from in_candidates import CATALOGUE, NAME, Workshop, another, calibrated, candidate_of
from lab import METRICS, Lab, tiny
from records import rate

from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.lab.candidates.load import load
from pytest_prunecal.lab.evaluation.evaluate import evaluate
from pytest_prunecal.lab.evaluation.tally import Tally
from pytest_prunecal.lab.metrics.functions import function_of
from pytest_prunecal.lab.over_seeds import BaseResult, Trial
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS as KNOWN
from pytest_prunecal.study.trace import CORRUPTIONS, DATA, Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from in_candidates import Made
    from lab import Subject
    from records import Alike, Candidates, Finished
    from torch import Tensor

    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.lab.trace import Stages

TIMES = 3
"""The tiny gate's own base network is not sure enough: multiplying its logits mends it."""
RUNS = 100
ALIKE = 500
CELL = Cell("small", None, 0.0, candidate=NAME)

SCORED = {
    name: KNOWN[name] if KNOWN[name].quotient else replace(KNOWN[name], function=function_of(KNOWN[name]))
    for name in METRICS
}
"""The metrics with their functions, which need not be looked up thousands of times."""

PAIRS: dict[str, Callable[[Workshop], Made]] = {"another training": another, "int8": calibrated}
"""What is exchanged, image by image, with the accepted network."""


@dataclass(frozen=True)
class Logits:
    """What a network says of the test images.

    Attributes:
        sets: float32 (1 + corrupted sets, images, classes); the clean images first.
        sha256: of its file, in hex; empty where it is built.
    """

    sets: Tensor
    sha256: str

    def of(self, images: Tensor) -> Logits:
        """The same of some of the images, given by number."""
        return Logits(self.sets[:, images], self.sha256)


class _Keeper(Tally):
    """Keeps the logits besides."""

    def __init__(self, labels: Tensor, bins: int) -> None:
        super().__init__(SCORED, labels, bins)
        self.sets: list[Tensor] = []

    def clean(self, logits: Tensor) -> None:
        super().clean(logits)
        self.sets.append(logits)

    def corrupted(self, corruption: str, severity: int, logits: Tensor) -> None:
        super().corrupted(corruption, severity, logits)
        self.sets.append(logits)


class Stand:
    """Runs candidates of the tiny gate's network, and judges them.

    Args:
        folder: where files and logits are kept.
    """

    def __init__(self, folder: Path) -> None:
        lab = Lab(subject(), folder)
        self._folder, self._bench = folder / "candidates", lab.bench()
        self._shop = Workshop(lab, self._folder)
        self._subject = lab.subject

    @cached_property
    def labels(self) -> Tensor:
        return self._bench.dataset.test_labels

    @cached_property
    def accepted(self) -> Logits:
        return self.logits("accepted", Workshop.accepted)

    def logits(self, name: str, make: Callable[[Workshop], Made]) -> Logits:
        """A network's logits, measured now if they were not before."""
        path = self._folder / f"{name}.npz"
        if not path.exists():
            found = self._measured(make)
            np.savez(path, sets=found.sets.numpy(), sha256=np.array(found.sha256))
        with np.load(path, allow_pickle=False) as kept:
            return Logits(torch.from_numpy(kept["sets"]), str(kept["sha256"]))

    def _measured(self, make: Callable[[Workshop], Made]) -> Logits:
        bench, protocol = self._bench, self._bench.protocol
        with reproducible(1):
            finished = load(candidate_of(make(self._shop), CELL.model), bench)
            keeper = _Keeper(self.labels, protocol.evaluation.bins)
            evaluate(
                finished.model,
                bench.dataset.test_images,
                bench.corrupted,
                keeper,
                bench.forward,
                protocol.evaluation.batch,
                bench.device,
                (protocol.seed, CELL.model, CELL.id),
            )
        return Logits(torch.stack(keeper.sets), finished.sha256)

    def evaluated(self, logits: Logits, labels: Tensor) -> Evaluated:
        """Score logits as evaluation does."""
        tally = Tally(SCORED, labels, self._bench.protocol.evaluation.bins)
        clean, *corrupted = logits.sets
        tally.clean(clean)
        for (name, severity), one in zip(self._versions, corrupted, strict=True):
            tally.corrupted(name, severity, one)
        return tally.result()

    @cached_property
    def _versions(self) -> list[tuple[str, int]]:
        return [(one.corruption, one.severity) for one in self._bench.corrupted]

    def trial(self, logits: Logits, images: Tensor, run: int) -> Trial:
        """What a session would measure on some of the images, of which the logits are."""
        evaluated = self.evaluated(logits, self.labels[images])
        provenance = {"network": logits.sha256} if logits.sha256 else {}
        stages: Stages = {DATA: {"images and labels": f"drawn {run}"}, CORRUPTIONS: {"all": 0.5}}
        return Trial(
            Measurement(
                {name: evaluated.metrics[name] for name in METRICS},
                {},
                {**provenance, "corruptions": "generated", "seconds": 0.0},
                trace=Trace(logits.sha256, stages),
            ),
            evaluated.sampled,
            BaseResult(logits.sha256 or "built", evaluated.metrics, evaluated.sampled.columns),
        )

    def gate(self, accepted: Trial) -> Gate:
        return Gate(self._subject, [{CELL.id: accepted}])


def subject() -> Subject:
    """The tiny gate with nothing but a candidate, trained until it is as sure as it should be."""
    found = tiny()
    base = found.protocol.base
    protocol = replace(found.protocol, base=replace(base, epochs=TIMES * base.epochs))
    return replace(found, name="candidate", protocol=protocol, candidates=(NAME,))


def report(folder: Path) -> Candidates:
    """Planted faults, and networks that are equally good."""
    torch.set_num_threads(1)
    stand = Stand(folder)
    draws = [_drawn(run, len(stand.labels)) for run in range(RUNS)]
    gates = [
        stand.gate(stand.trial(stand.accepted.of(images), images, run)) for run, images in enumerate(draws)
    ]
    return {
        "images": len(stand.labels),
        "planted": {name: _planted(stand, name, draws, gates) for name in CATALOGUE},
        "alike": {name: _alike(stand, name) for name in PAIRS},
    }


def _drawn(run: int, images: int) -> Tensor:
    return torch.randint(images, (images,), generator=torch.Generator().manual_seed(run))


def _planted(stand: Stand, name: str, draws: list[Tensor], gates: list[Gate]) -> Finished:
    """Judge one candidate on every resampling."""
    logits = stand.logits(name, CATALOGUE[name].make)
    verdicts = [
        gate.verdict(CELL, [{CELL.id: stand.trial(logits.of(images), images, run)}])
        for run, (images, gate) in enumerate(zip(draws, gates, strict=True))
    ]
    here, there = (stand.evaluated(one, stand.labels).metrics for one in (logits, stand.accepted))
    effects = {metric: scale_of(KNOWN[metric]).sign * (here[metric] - there[metric]) for metric in METRICS}
    claims = {metric: _claimed(verdicts, metric) for metric in METRICS}
    what = max(METRICS, key=lambda metric: effects[metric] / claims[metric])
    return {
        "fault": CATALOGUE[name].fault,
        "failed": rate([one.status.fails for one in verdicts]),
        "caught": Counter(metric for one in verdicts for metric in _caught(one)).most_common(3),
        "what": what,
        "effect": effects[what],
        "claimed": claims[what],
    }


def _claimed(verdicts: list[CellVerdict], metric: str) -> float:
    """The smallest true effect that is caught with 95 %, averaged over the resamplings."""
    rows = [row for one in verdicts for row in one.metrics if row.metric == metric]
    return fmean(row.allowance.detectable for row in rows if row.allowance)


def _caught(verdict: CellVerdict) -> list[str]:
    found = [row.metric for row in verdict.metrics if row.status.fails]
    return found or (["screen"] if verdict.status.fails else [])


def _alike(stand: Stand, name: str) -> Alike:
    """Judge two networks between which there is no difference: of each image it is chance which is which."""
    other = stand.logits(f"alike {name}", PAIRS[name])
    verdicts = []
    for run in range(ALIKE):
        images = _drawn(RUNS + run, len(stand.labels))
        generator = torch.Generator().manual_seed(run)
        # Of each draw anew: copies of an image exchanged together would err together, as no test images do.
        swapped = torch.randint(2, (1, len(stand.labels), 1), generator=generator).bool()
        ours, theirs = (one.of(images) for one in (stand.accepted, other))
        there, here = (
            stand.trial(Logits(torch.where(swapped, first.sets, second.sets), first.sha256), images, run)
            for first, second in ((ours, theirs), (theirs, ours))
        )
        verdicts.append(stand.gate(there).verdict(CELL, [{CELL.id: here}]))
    return {
        "failed": rate([one.status.fails for one in verdicts]),
        "caught": Counter(metric for one in verdicts for metric in _caught(one)).most_common(3),
    }
