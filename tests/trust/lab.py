"""The laboratory: the gate's own code on a tiny protocol, one measurement a seed, kept in a folder."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.gate.registry import levels_of
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.jitter import jitter
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.models.groups import ChannelGroup
from pytest_prunecal.lab.over_seeds import BaseResult, Trial
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import metric, protocol_file
from pytest_prunecal.study.cell import Cell, grid
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.given_base import GivenBase
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.trace import Jitter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from pytest_prunecal.study.given_base import Bases
    from pytest_prunecal.study.protocol import Protocol

HERE = Path(__file__).parent
METRICS = ("accuracy", "ece", "nll", "brier", "mpc", "rpc", "corrupted_ece")
COLUMNS = tuple(name for name in METRICS if not metric.METRICS[name].quotient)
REPEATS = 2
"""Whole repeats of a baseline's first seed, as `--prunecal-update` makes them."""


def drawn(number: int, among: Iterable[int], count: int) -> list[int]:
    """Some of them in random order, the same for the same number."""
    return random.Random(number).sample(list(among), count)  # noqa: S311 - no secret


class Small(nn.Module):
    """Three convolutions and a head."""

    RANKED = (nn.Conv2d,)

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
        extensions: where the model comes from.
        candidates: names of finished networks that are gated in the place of the grid.
    """

    name: str
    model: str
    protocol: Protocol
    extensions: Extensions
    candidates: tuple[str, ...] = ()

    @property
    def cells(self) -> list[Cell]:
        if self.candidates:
            return [Cell(self.model, None, 0.0, candidate=name) for name in self.candidates]
        levels = levels_of(self.protocol.pruners, self.extensions)
        return grid(self.model, self.protocol.pruners, self.protocol.ratios, levels)


def tiny() -> Subject:
    return Subject(
        "tiny", "small", protocol_file.load("tiny.yaml", HERE), Extensions(models={"small": small})
    )


class Lab:
    """Measures from one base network, and keeps what it measured.

    Args:
        subject: what is gated.
        folder: where measurements are kept.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self._folder = folder / subject.name
        self._store = Store(str(folder / "store"))
        self._bases: Bases = {}
        self._bases = self.trained(self.bench())
        self._bench = self.bench()

    def bench(self, *, bases: Bases | None = None, protocol: Protocol | None = None) -> Bench:
        """A fresh bench, on other bases than the pinned ones, or under another protocol."""
        setup = Setup(
            protocol or self.subject.protocol,
            str(self._store.root),
            "cpu",
            None,
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

    def network(self, protocol: Protocol | None = None) -> nn.Module:
        """The base network: the pinned one, or what another protocol trains."""
        bench = self.bench(bases={} if protocol else None, protocol=protocol)
        with reproducible(1):
            return BaseNetwork(self.subject.model, bench, slimming=False).network()

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

    def jitter(self, seed: int) -> dict[str, Jitter]:
        """How far float arithmetic moves each cell under one seed, measured now if it was not before."""
        path = self._folder / "jitter" / f"{seed}.json"
        if not path.exists():
            found = {}
            for cell in self.subject.cells:
                bench = self._bench.at(seed)
                first = self.trials(seed)[cell.id].measurement
                assert first.trace is not None
                found[cell.id] = jitter(cell, bench, first.trace, first.metrics, REPEATS).to_dict()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found))
        return {cell: Jitter.from_dict(one) for cell, one in json.loads(path.read_text()).items()}

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
        Measurement.from_dict(told["measurement"]),
        Sampled(columns, dict(zip(METRICS, replicates, strict=True))),
        BaseResult(digest, metrics, base_columns),
    )
