"""Refreshing a baseline file: new numbers spliced into the text, everything else left to the byte.

A change is data (`Change`); `apply` turns a text and a change into the new text. The file is edited where
its values stand, not dumped anew, so that comments, notes, tolerances, order and spacing survive and the diff
shows only what changed. The result is parsed again and compared with what was meant before it is returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.editor import Editor, scalar, unusual
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.cell import canonical_order, cell_from_id
from pytest_prunecal.study.metric import recorded
from pytest_prunecal.study.uncertainty import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.recovery import Recovery
    from pytest_prunecal.study.tolerance import Tolerance
    from pytest_prunecal.study.uncertainty import Uncertainty


@dataclass(frozen=True)
class Change:
    """What a refresh does to one baseline file.

    Attributes:
        model: the model's name.
        environment: where the new numbers were measured.
        cells: new numbers by cell id and metric.
        removed: ids of cells to drop.
        base: base networks to pin, by kind; None leaves the file's as they are.
        uncertainty: how sure the new numbers are, by cell id and metric.
        images: where the results by image are now; None leaves what the file says.
        elsewhere: by cell id, where numbers were measured that `environment` does not tell of: a finished
            network starts from no base.
        networks: by cell id, SHA-256 of the file of the finished network.
    """

    model: str
    environment: dict[str, str]
    cells: dict[str, dict[str, Number]]
    removed: tuple[str, ...] = ()
    base: dict[str, baseline.PinnedBase] | None = None
    uncertainty: Mapping[str, Mapping[str, Uncertainty]] = field(default_factory=dict)
    images: baseline.ImagesFile | None = None
    elsewhere: Mapping[str, dict[str, str]] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    def environment_of(self, cell_id: str) -> dict[str, str]:
        """Where a cell's new numbers were measured."""
        return self.elsewhere.get(cell_id, self.environment)


def apply(
    text: str | None, change: Change, protocol: Protocol, metrics: Mapping[str, Metric], name: str
) -> str:
    """Write a change into a baseline file's text.

    Args:
        text: the file as it is; None if there is none yet.
        change: what to write.
        protocol: names the fingerprint and the order of cells.
        metrics: canonical order of metrics.
        name: how messages call the file.

    Returns:
        The file's new text; `text` itself if it already says all of it.

    Raises:
        PrunecalError: the file was measured under another fingerprint and the change leaves some of its
            cells as they are, or its layout defeats the splicing; nothing is lost in either case.
    """
    if text is None:
        text = _new_file(change.model, protocol)
    before = baseline.parse(text, name)
    touched = {*change.cells, *change.removed}
    kept = [cell_id for cell_id in before.cells if cell_id not in touched]
    if kept and before.fingerprint != protocol.fingerprint:
        raise PrunecalError(
            f"{name}: not refreshed, because {len(kept)} of its cells ({', '.join(kept[:3])}"
            f"{', …' if len(kept) > 3 else ''}) would stay numbers of another version of protocol "
            f"{protocol.name!r}; measure the whole file in one run"
        )
    editor = Editor(text, name, protocol.pruners, metrics)
    editor.set_fingerprint(protocol.fingerprint)
    of_file = before.environment if kept else change.environment
    if not kept:
        editor.set_environment(change.environment)
    if change.base is not None:
        editor.set_base(change.base)
    if change.images is not None:
        editor.set_images(change.images)
    for cell_id in change.removed:
        editor.remove_cell(cell_id)
    for cell_id in sorted(
        change.cells, key=lambda key: canonical_order(cell_from_id("", key), protocol.pruners)
    ):
        environment = change.environment_of(cell_id)
        editor.set_cell(
            cell_id,
            change.cells[cell_id],
            environment if environment != of_file else {},
            change.uncertainty.get(cell_id, {}),
            change.networks.get(cell_id, ""),
        )
    after = editor.result()
    _verify(after, change, protocol, name, kept, before)
    return after


def _new_file(model: str, protocol: Protocol) -> str:
    return (
        f"# Accepted numbers of {model} under {protocol.name}. "
        "Refresh with --prunecal-update; review like code.\n"
        f"prunecal: {baseline.FORMAT}\n"
        f"model: {scalar(model)}\n"
        f"protocol: {{name: {scalar(protocol.name)}, fingerprint: {scalar(protocol.fingerprint)}}}\n"
        "environment: {}\n"
        "cells:\n"
    )


def _verify(
    text: str, change: Change, protocol: Protocol, name: str, kept: Sequence[str], before: baseline.Baseline
) -> None:
    """Parse what is about to be written and compare it with what was meant."""
    try:
        after = baseline.parse(text, name)
    except PrunecalError:
        raise PrunecalError(unusual(name)) from None
    numbers = {
        cell_id: {metric: recorded(value) for metric, value in cell.items()}
        for cell_id, cell in change.cells.items()
    }
    found = {cell_id: cell.metrics for cell_id, cell in after.cells.items() if cell_id in change.cells}
    rest = {cell_id: cell.metrics for cell_id, cell in after.cells.items() if cell_id not in change.cells}
    right = (
        found == numbers
        and (after.model, after.protocol) == (before.model, before.protocol)
        and rest == {cell_id: before.cells[cell_id].metrics for cell_id in kept}
        and _sure(after, set(change.cells))
        == {
            cell_id: {
                metric: sure.recorded
                for metric, sure in change.uncertainty.get(cell_id, {}).items()
                if metric in change.cells[cell_id] and sure.recorded != UNKNOWN
            }
            for cell_id in change.cells
        }
        and _sure(after, set(kept)) == _sure(before, set(kept))
        and after.images == (change.images or before.images)
        and after.fingerprint == protocol.fingerprint
        and after.base == before.base | (change.base or {})
        and all(after.environment_of(cell_id) == change.environment_of(cell_id) for cell_id in change.cells)
        and all(
            cell.network
            == (
                change.networks.get(cell_id, "") if cell_id in change.cells else before.cells[cell_id].network
            )
            for cell_id, cell in after.cells.items()
        )
        and all(after.environment_of(cell_id) == before.environment_of(cell_id) for cell_id in kept)
        and _by_people(after, ()) == _by_people(before, change.removed)
    )
    if not right:
        raise PrunecalError(unusual(name))


def _sure(file: baseline.Baseline, cells: set[str]) -> dict[str, dict[str, Uncertainty]]:
    return {cell_id: cell.uncertainty for cell_id, cell in file.cells.items() if cell_id in cells}


def _by_people(file: baseline.Baseline, removed: Sequence[str]) -> object:
    """What only people write into a file: notes, known regressions, tolerances and rules of recovery."""

    def bounds(rules: Mapping[str, Tolerance]) -> dict[str, tuple[float, float, bool]]:
        return {metric: (rule.abs, rule.rel, rule.auto) for metric, rule in rules.items()}

    def rules(found: Mapping[str, Recovery] | None) -> object:
        return found and {metric: (rule.share, rule.abs) for metric, rule in found.items()}

    # A block text on the last line of a file gains the line end that the file did not have.
    cells = {
        cell_id: (cell.note.rstrip("\r\n"), bounds(cell.tolerance), _known(cell), rules(cell.recovery))
        for cell_id, cell in file.cells.items()
        if cell_id not in removed and (cell.note or cell.tolerance or cell.known or cell.recovery is not None)
    }
    return bounds(file.tolerance), rules(file.recovery), cells


def _known(cell: baseline.AcceptedCell) -> object:
    return cell.known and (cell.known.reason.rstrip("\r\n"), cell.known.until)
