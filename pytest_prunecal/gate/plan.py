"""`--prunecal-plan`: what the gate would see, said before anything is measured, and instead of it."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import options
from pytest_prunecal.gate.family import family_of, numbers_of
from pytest_prunecal.gate.outcome import is_tuned
from pytest_prunecal.gate.registry import untuned
from pytest_prunecal.gate.session import is_gated
from pytest_prunecal.gate.stash import SETTINGS
from pytest_prunecal.judge.auto_tolerance import Terms, allowance
from pytest_prunecal.judge.compared import Sides, compare
from pytest_prunecal.judge.noise import Accepted
from pytest_prunecal.judge.outlook import Ahead
from pytest_prunecal.judge.rate import shared
from pytest_prunecal.report import plan
from pytest_prunecal.study.cell import DENSE, cell_from_id
from pytest_prunecal.study.metric import shown
from pytest_prunecal.study.tolerance import EXACT, rule_of
from pytest_prunecal.study.uncertainty import Uncertainty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_prunecal.baseline.file import Baseline
    from pytest_prunecal.gate.readers import Written
    from pytest_prunecal.gate.selection import GateFile
    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.study.cell import Cell

IMAGES = 1000
"""Test images that are assumed where no baseline tells the sampling error."""

_ASSUMED = {
    "accuracy": (0.95, 0.90),
    "ece": (0.03, 0.05),
    "mpc": (0.85, 0.80),
    "corrupted_ece": (0.06, 0.08),
}
"""By metric, what is assumed of the dense cell and of each other where there is no baseline."""

_ERRORS = {"accuracy": 1.0, "ece": 0.5, "mpc": 0.9, "corrupted_ece": 0.4}
"""Sampling errors as a share of the accuracy's: a metric over corrupted sets is a mean of many images."""


def main(config: pytest.Config, asked: Mapping[str, Written], named: list[Path]) -> int | None:
    """Print what the session's gate would see: no test runs, nothing is written, torch is not imported.

    Returns:
        The exit code; None where no plan is asked for or the session has no gate, whose tests then run.

    Raises:
        pytest.UsageError: whatever is wrong, in one sentence.
    """
    if not (_wanted(config, asked) and is_gated(config, asked, named)):
        return None
    config._do_configure()  # noqa: SLF001 - as pytest's own --help does
    try:
        _show(config)
    finally:
        config._ensure_unconfigure()  # noqa: SLF001 - likewise
    return pytest.ExitCode.OK


def _wanted(config: pytest.Config, asked: Mapping[str, Written]) -> bool:
    try:
        found: bool = options.read("plan", asked, config.rootpath)
    except PrunecalError as error:
        raise pytest.UsageError(f"prunecal: {error}") from None
    return found


def _show(config: pytest.Config) -> None:
    settings = config.stash[SETTINGS]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for said in lines(settings):
        if isinstance(reporter, pytest.TerminalReporter):
            reporter.write_line(said)
        else:
            sys.stdout.write(f"{said}\n")


def lines(settings: Settings) -> Iterator[str]:
    """The plan of every selected model, line by line."""
    protocol = settings.protocol
    yield (
        f"prunecal plan under {protocol.name}: what the gate would see; nothing is measured. At most "
        f"{100 * protocol.false_alarms:g} % of runs over a model's whole grid fail without a change."
    )
    for file in settings.files:
        yield ""
        yield from plan.lines(_model(file, settings), settings.metrics)


def _model(file: GateFile, settings: Settings) -> plan.ModelAhead:
    found = file.baseline
    if found is None or not found.cells:
        return plan.ModelAhead(
            file.model,
            f"{file.name}, which is not there yet",
            _assumed(file, settings),
            seeds=1,
            assumed=(
                f"assumed: {IMAGES} test images, accuracy {_ASSUMED['accuracy'][0]:g} dense and "
                f"{_ASSUMED['accuracy'][1]:g} pruned; noise as the protocol estimates it"
            ),
        )
    environments = [found.environment_of(cell) for cell in sorted(file.trained)]
    given_base = all(environment.get("base") is not None for environment in environments)
    ahead = _accepted(file, found, settings)
    traced = any(images.trace is not None for images in file.images.values())
    return plan.ModelAhead(
        file.model,
        file.name,
        ahead,
        file.seeds,
        given_base=given_base,
        traced=traced,
        candidates=_candidates(file, found, settings),
    )


def _candidates(file: GateFile, found: Baseline, settings: Settings) -> dict[str, dict[str, float]]:
    """By selected candidate and metric of the summary, the change that is caught by the file alone."""
    protocol, metrics = settings.protocol, settings.metrics
    caught: dict[str, dict[str, float]] = {}
    family = file.family or family_of(found, protocol, metrics)
    for cell in file.cells:
        accepted = file.accepted(cell)
        if not cell.candidate or accepted is None:
            continue
        sure, rules = accepted.uncertainty, found.tolerances_of(cell.id, protocol)
        sides = Sides(protocol.noise, tuned=False, accepted=sure, finished=True, measured=sure)
        caught[cell.id] = {}
        for name in shown(metrics):
            if name in accepted.metrics and rule_of(name, rules).auto:
                value, metric = accepted.metrics[name], metrics[name]
                terms = Terms(family.rate.cell, protocol.min_effect.get(name, EXACT).bound(value), 1)
                change = compare(name, metric, value, value, sides, seeds=1).alone
                caught[cell.id][name] = allowance(change, terms, metric).detectable
    return caught


def _accepted(file: GateFile, found: Baseline, settings: Settings) -> Ahead:
    """Look ahead from a baseline file: from the selected cells, at the rate of all."""
    protocol, selected = settings.protocol, {cell.id for cell in file.cells}
    family = file.family or family_of(found, protocol, settings.metrics)
    dense = found.cells[DENSE].metrics if DENSE in found.cells else {}
    cells = {}
    for cell_id, cell in found.cells.items():
        if cell_id in selected and cell_id in file.trained:
            rules = found.tolerances_of(cell_id, protocol)
            shares = found.environment_of(cell_id).get("base") is not None
            numbers = numbers_of(cell, dense, share_base=shares)
            cells[cell_id] = {name: one for name, one in numbers.items() if rule_of(name, rules).auto}
    return Ahead(
        cells,
        {cell_id: _tuned_by(cell_from_id(file.model, cell_id), settings) for cell_id in cells},
        protocol.noise,
        settings.metrics,
        protocol.min_effect,
        family.rate,
        protocol.repeat,
        family.levels["finetune"],
    )


def _tuned_by(cell: Cell, settings: Settings) -> str | None:
    """The cell's pruner; None where it is not fine-tuned, and so has no training noise of its own."""
    return cell.pruner if is_tuned(cell, untuned(settings.extensions)) else None


def _assumed(file: GateFile, settings: Settings) -> Ahead:
    """Look ahead from a baseline that nobody measured: of one seed, from a pinned base network."""
    protocol = settings.protocol
    cells = {}
    for cell in file.cells:
        worth = {name: values[not cell.dense] for name, values in _ASSUMED.items()}
        error = math.sqrt(worth["accuracy"] * (1 - worth["accuracy"]) / IMAGES)
        cells[cell.id] = {
            name: Accepted(value, Uncertainty(error * _ERRORS[name]), _ASSUMED[name][0], share_base=True)
            for name, value in worth.items()
            if rule_of(name, protocol.tolerance).auto
        }
    grid = [_tuned_by(cell_from_id(file.model, cell_id), settings) for cell_id in sorted(file.grid)]
    names = [name for name in settings.metrics if rule_of(name, protocol.tolerance).auto]
    return Ahead(
        cells,
        {cell.id: _tuned_by(cell, settings) for cell in file.cells},
        protocol.noise,
        settings.metrics,
        protocol.min_effect,
        shared(
            protocol.false_alarms, [(pruner, names) for pruner in grid], settings.metrics, given_base=True
        ),
        protocol.repeat,
        levels={},
    )
