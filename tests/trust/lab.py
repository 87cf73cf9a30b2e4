"""The laboratory: the gate's own code on a tiny protocol, one measurement a seed, kept in a folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline import images as images_file
from pytest_prunecal.baseline import refresh
from pytest_prunecal.gate.outcome import comparisons_of, environment_of, outcome_of
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.pooled import together
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.over_seeds import BaseResult, Trial, combine
from pytest_prunecal.lab.paired import compare
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import metric, protocol_file
from pytest_prunecal.study.cell import Cell, grid
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.given_base import GivenBase
from pytest_prunecal.study.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.judge.pooled import Pooled
    from pytest_prunecal.judge.verdict import CellVerdict
    from pytest_prunecal.study.given_base import Bases
    from pytest_prunecal.study.protocol import Protocol

HERE = Path(__file__).parent
METRICS = ("accuracy", "ece", "nll", "brier", "mpc", "rpc", "corrupted_ece")
COLUMNS = tuple(name for name in METRICS if not metric.METRICS[name].quotient)


class Small(nn.Module):
    """Three convolutions and a head."""

    RANKED = (nn.Conv2d,)  # as when the tables of docs/measured were made

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 24, 3, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(24)
        self.head = nn.Linear(24, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.bn1(self.conv1(images)))
        maps = torch.relu(self.bn2(self.conv2(maps)))
        maps = torch.relu(self.bn3(self.conv3(maps)))
        logits: torch.Tensor = self.head(maps.mean((2, 3)))
        return logits

    def channel_groups(self) -> list[ChannelGroup]:
        after = ("conv2", "conv3", "head")
        return [ChannelGroup(producer=f"conv{i}", bn=f"bn{i}", consumers=(after[i - 1],)) for i in (1, 2, 3)]


def small(num_classes: int) -> Small:
    return Small(num_classes)


@dataclass(frozen=True)
class Subject:
    """What is gated.

    Attributes:
        name: names its folder of measurements.
        model: the model's name.
        protocol: how it is measured.
        extensions: where the model comes from, if it is not built in.
        data: the data folder.
        checkpoint: a trained base network; None trains one, once for all seeds (`pinned`) or once a seed.
    """

    name: str
    model: str
    protocol: Protocol
    extensions: Extensions
    data: Path | None = None
    checkpoint: Path | None = None

    @property
    def cells(self) -> list[Cell]:
        return grid(self.model, self.protocol.pruners, self.protocol.ratios)


def tiny() -> Subject:
    return Subject(
        "tiny", "small", protocol_file.load("tiny.yaml", HERE), Extensions(models={"small": small})
    )


def cifar() -> Subject:
    """Needs the folder and the checkpoint of `tests/slow`."""
    return Subject(
        "cifar",
        "resnet20",
        protocol_file.load("cifar.yaml", HERE),
        Extensions(),
        Path(os.environ["PRUNECAL_DATA"]),
        Path(os.environ["PRUNECAL_CHECKPOINT"]),
    )


SUBJECTS = {"tiny": tiny, "cifar": cifar}


class Lab:
    """Measures, and keeps what it measured.

    Args:
        subject: what is gated.
        folder: where measurements are kept.
        pinned: whether all seeds start from one base network.
    """

    def __init__(self, subject: Subject, folder: Path, *, pinned: bool) -> None:
        self.subject, self.pinned = subject, pinned
        self._folder = folder / subject.name / ("pinned" if pinned else "retrained")
        self._store = Store(str(folder / subject.name / "store"))
        self._bases = self._given() if pinned else {}
        self._bench = self.bench()

    def bench(self, *, bases: Bases | None = None, protocol: Protocol | None = None) -> Bench:
        """A fresh bench, on other bases than the pinned ones, or under another protocol."""
        setup = Setup(
            protocol or self.subject.protocol,
            str(self._store.root),
            "cpu",
            self.subject.data,
            self.subject.extensions,
            self._bases if bases is None else bases,
            fresh=True,  # a fault planted in memory changes no source, by which stored numbers are known
        )
        return Bench(setup, self._store, torch.device("cpu"))

    def trained(self, bench: Bench) -> Bases:
        """Both base networks as training gives them on a bench."""
        model = self.subject.model
        with reproducible(1):
            return {
                (model, kind): GivenBase(BaseNetwork(model, bench, slimming=kind == "slimmed").trained())
                for kind in baseline.BASE_KINDS
            }

    def _given(self) -> Bases:
        if self.subject.checkpoint:
            return {
                (self.subject.model, kind): GivenBase(self.subject.checkpoint) for kind in baseline.BASE_KINDS
            }
        self._bases = {}
        return self.trained(self.bench())

    def measure(self, seed: int, fault: str = "none") -> None:
        """Measure the whole grid under one seed, with a fault in the code; keep the result."""
        from faults import planted

        path = self._path(seed, fault)
        if path.exists():
            return
        with planted(fault, self) as bench:
            kept: dict[str, NDArray[Any]] = {}
            for cell in self.subject.cells:
                _pack(cell.id, measure_once(cell, (bench or self._bench).at(seed)), kept)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **kept)  # type: ignore[arg-type] # an array may not be called `allow_pickle`
        partial.replace(path)

    def trials(self, seed: int, fault: str = "none") -> dict[str, Trial]:
        """What was measured under one seed, by cell."""
        with np.load(self._path(seed, fault), allow_pickle=False) as kept:
            return {cell.id: _unpack(cell.id, kept) for cell in self.subject.cells}

    def seeds(self, fault: str = "none") -> list[int]:
        """Seeds that were measured."""
        return sorted(int(path.stem) for path in (self._folder / fault).glob("*.npz"))

    def _path(self, seed: int, fault: str) -> Path:
        return self._folder / fault / f"{seed}.npz"


def _pack(cell_id: str, trial: Trial, kept: dict[str, NDArray[Any]]) -> None:
    told = {
        "measurement": {**trial.measurement.to_dict(), "corrupted": {}},
        "base": [trial.base.digest, trial.base.metrics],
    }
    kept[f"{cell_id}/told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    kept[f"{cell_id}/columns"] = torch.stack(list(trial.sampled.columns.values())).numpy()
    kept[f"{cell_id}/base"] = torch.stack(list(trial.base.columns.values())).numpy()
    names = list(trial.sampled.replicates)
    assert tuple(names) == METRICS
    kept[f"{cell_id}/replicates"] = (
        torch.stack([trial.sampled.replicates[name] for name in names]).float().numpy()
    )


def _unpack(cell_id: str, kept: Mapping[str, NDArray[Any]]) -> Trial:
    told = json.loads(kept[f"{cell_id}/told"].tobytes())
    replicates = torch.from_numpy(kept[f"{cell_id}/replicates"]).double()
    digest, metrics = told["base"]
    columns, base_columns = (
        dict(zip(COLUMNS, torch.from_numpy(kept[f"{cell_id}/{what}"]), strict=True))
        for what in ("columns", "base")
    )
    return Trial(
        Measurement.from_dict({"reused": False} | told["measurement"]),
        Sampled(columns, dict(zip(METRICS, replicates, strict=True))),
        BaseResult(digest, metrics, base_columns),
    )


@dataclass(frozen=True)
class Outcome:
    """What the gate said of one run.

    Attributes:
        cells: verdict by cell id.
        together: the cells compared all at once.
    """

    cells: dict[str, CellVerdict]
    together: tuple[Pooled, ...]

    @property
    def failed(self) -> bool:
        return any(cell.status.fails for cell in self.cells.values()) or any(
            row.status.fails for row in self.together
        )

    @property
    def caught(self) -> list[str]:
        """`cell metric` of every regression."""
        found = [
            f"{cell} {row.metric}"
            for cell, verdict in self.cells.items()
            for row in verdict.metrics
            if row.status.fails
        ]
        return found + [f"together {row.metric}" for row in self.together if row.status.fails]


class Gate:
    """A baseline file and its results by image, written and read back as a user's are.

    Args:
        subject: what is gated.
        seeds: the trials that are accepted, by seed: each by cell.
    """

    def __init__(self, subject: Subject, seeds: Sequence[Mapping[str, Trial]]) -> None:
        # Of a session's settings, judging reads these and no more.
        self.settings = cast(
            "Settings",
            SimpleNamespace(
                protocol=subject.protocol, metrics=metric.known(), options=SimpleNamespace(update=None)
            ),
        )
        accepted = {
            cell: combine([trials[cell] for trials in seeds], self.settings.metrics) for cell in seeds[0]
        }
        change = refresh.Change(
            subject.model,
            environment_of(next(iter(accepted.values()))),
            {cell: dict(found.metrics) for cell, found in accepted.items()},
            uncertainty={cell: found.uncertainty for cell, found in accepted.items()},
        )
        text = refresh.apply(None, change, subject.protocol, self.settings.metrics, "baseline")
        content = images_file.dump(
            {cell: found.by_image for cell, found in accepted.items() if found.by_image}
        )
        self.images_size = len(content)
        cells = tuple(subject.cells)
        self.file = GateFile(
            subject.model,
            Path("baseline"),
            "baseline",
            baseline.parse(text, "baseline"),
            cells,
            frozenset(cell.id for cell in cells),
            images_file.load(content, "images"),
        )
        self.comparisons = comparisons_of([(self.file, cell) for cell in cells], self.settings)

    def judge(self, seeds: Sequence[Mapping[str, Trial]]) -> Outcome:
        """Judge a run: the trials of one seed or several, each by cell."""
        verdicts = {}
        for cell in self.file.cells:
            found = combine([trials[cell.id] for trials in seeds], self.settings.metrics)
            assert found.by_image is not None
            accepted = self.file.images[cell.id]
            pairing = compare(found.by_image, accepted, self.settings.metrics, tuned=cell.pruner is not None)
            outcome = outcome_of(
                self.file, cell, found, pairing, self.settings, self.comparisons, runxfail=False
            )
            verdicts[cell.id] = outcome.verdict
        rules = self.settings.protocol
        level = rules.false_alarms / max(self.comparisons, 1)
        terms = self.settings.metrics, rules.min_effect, level, rules.noise.freedom
        return Outcome(verdicts, together(verdicts.values(), *terms))
