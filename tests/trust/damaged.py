"""Cells of a real gate that pruning damaged: alarms without a change, by splits of many real seeds.

The cells start from the shipped pinned base networks of vgg19, and are judged at the rate of the whole
shipped grid.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from false_alarms import BASELINE
from gate import file_of, of, settings_of
from lab import Subject, drawn
from records import counted, rate

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.file import AcceptedCell
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.setup import Setup
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import cell_from_id
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.given_base import GivenBase
from pytest_prunecal.study.looks import MOST
from pytest_prunecal.study.measurement import Measurement, mean_of
from pytest_prunecal.study.metric import recorded
from pytest_prunecal.study.uncertainty import Uncertainty

if TYPE_CHECKING:
    from records import Damaged

    from pytest_prunecal.study.measurement import Number

MODEL = "vgg19"
BASELINES = Path(__file__).parents[2] / "baselines" / "quick"
CELLS = {
    "filter-0.6": 64,
    "filter-0.7": 64,
    "channel-0.6": 64,
    "channel-0.7": 64,
    "weight-0.5": 36,
    "filter-0.3": 36,
}
"""Cells, four that pruning damaged and two that it did not, and how many seeds of each are measured."""

SPLITS = 10_000

Numbers = dict[str, "Number"]


def measure(folder: Path) -> None:
    """Measure every cell under every seed, one JSON line each; what is there is not measured again."""
    torch.set_num_threads(1)
    found = accepted()
    bases = {
        (MODEL, kind): GivenBase(BASELINES / pinned.file, pinned.sha256)
        for kind, pinned in found.base.items()
    }
    protocol = protocol_file.load("quick", Path())
    store = Store(str(folder / "damaged.store"))
    setup = Setup(protocol, str(store.root), "cpu", None, Extensions(), bases, fresh=False)
    bench = Bench(setup, store, torch.device("cpu"))
    path = folder / "damaged.jsonl"
    known = seeds_in(path) if path.exists() else {}
    with path.open("a") as lines:
        for seed in range(1, max(CELLS.values()) + 1):
            for cell, seeds in CELLS.items():
                if seed <= seeds and seed not in known.get(cell, {}):
                    numbers = measure_once(cell_from_id(MODEL, cell), bench.at(seed)).measurement.metrics
                    lines.write(json.dumps({"cell": cell, "seed": seed, "metrics": numbers}) + "\n")
                    lines.flush()


def accepted(model: str = MODEL) -> baseline.Baseline:
    """The shipped baseline of a model."""
    path = BASELINES / f"{model}.yaml"
    return baseline.parse(path.read_text(), path.name)


def seeds_in(path: Path) -> dict[str, dict[int, Numbers]]:
    """What was measured, by cell and seed."""
    found: dict[str, dict[int, Numbers]] = {}
    for line in path.read_text().splitlines():
        one = json.loads(line)
        found.setdefault(one["cell"], {})[one["seed"]] = one["metrics"]
    return found


def report(folder: Path) -> list[Damaged]:
    """Judge random splits of each cell's seeds: twelve for the baseline, others for the run.

    Sampling errors are those of the shipped baseline, since single seeds were kept as numbers alone.
    """
    protocol = protocol_file.load("quick", Path())
    settings, shipped = settings_of(protocol), accepted()
    subject = Subject(MODEL, MODEL, protocol, Extensions())
    found = []
    for cell_id, by_seed in seeds_in(folder / "damaged.jsonl").items():
        cell = cell_from_id(MODEL, cell_id)
        errors = {name: sure.se for name, sure in shipped.cells[cell_id].uncertainty.items()}
        caught: list[list[str]] = []
        cost = []
        for number in range(SPLITS):
            seeds = drawn(number, sorted(by_seed), min(BASELINE + MOST, len(by_seed)))
            there = summed_up([by_seed[seed] for seed in seeds[:BASELINE]], errors)
            cells = {**shipped.cells, cell_id: AcceptedCell(_recorded(there), uncertainty=there.uncertainty)}
            file = file_of(replace(shipped, cells=cells), subject, {}, settings)
            here = [by_seed[seed] for seed in seeds[BASELINE:]]
            verdict = of(file, cell, summed_up(here[:1], errors), settings)
            while verdict.more and verdict.seeds < len(here):
                verdict = of(file, cell, summed_up(here[: verdict.more], errors), settings)
            caught.append([row.metric for row in verdict.metrics if row.status.fails])
            cost.append(verdict.seeds)
        found.append(
            {
                "cell": cell_id,
                "seeds": len(by_seed),
                "failed": rate([bool(one) for one in caught]),
                "cost": statistics.fmean(cost),
                "caught": counted(name for one in caught for name in one),
            }
        )
    return found  # type: ignore[return-value] # literals that mypy does not take for the record


def _recorded(measurement: Measurement) -> Numbers:
    return {name: recorded(value) for name, value in measurement.metrics.items()}


def summed_up(seeds: list[Numbers], errors: dict[str, float | None]) -> Measurement:
    """A measurement over some seeds, as far as numbers alone tell."""
    each = {name: [one[name] for one in seeds] for name in seeds[0]}
    sure = {}
    for name, values in each.items():
        if len(values) > 1 and (statistics.stdev(values) or errors.get(name)):
            sure[name] = Uncertainty(
                errors.get(name), statistics.stdev(values), len(values), values[0]
            ).recorded
        elif errors.get(name):
            sure[name] = Uncertainty(errors[name])
    means = {name: mean_of(values) for name, values in each.items()}
    return Measurement(means, {}, {"base": "pinned", "corruptions": "generated"}, (), sure, each=each)
