"""The study's results as Markdown tables."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from faults import CATALOGUE
from in_candidates import CATALOGUE as PLANTED
from lab import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from records import Candidates, Damaged, Detection, Elsewhere, Point, Quiet, Rate, Results, Sight


def tables(results: Results) -> str:
    """Every part that there is, each between marks by which a page of the docs takes it in."""
    parts: dict[str, list[str]] = {"catalogue": _catalogue()}
    if "false alarms" in results:
        parts["false-alarms"] = _quiet(results["false alarms"])
    if "damaged" in results:
        parts["damaged"] = _damaged(results["damaged"])
    if "detection" in results:
        parts["detection"] = _detection(results["detection"])
    if "power" in results:
        parts["power"] = _power(results["power"])
    if "candidates" in results:
        parts["candidates"] = _candidates(results["candidates"])
        parts["candidates-alike"] = _alike(results["candidates"])
    if "detectable" in results:
        parts["detectable"] = _detectable(results["detectable"])
    if "environments" in results:
        parts["environments"] = _environments(results["environments"])
    lines = []
    for name, part in parts.items():
        lines += [f"<!-- --8<-- [start:{name}] -->", *part, f"<!-- --8<-- [end:{name}] -->", ""]
    return "\n".join(lines)


def _quiet(found: dict[str, Quiet]) -> list[str]:
    def row(what: str, told: Callable[[Quiet], str]) -> list[str]:
        return [what, *map(told, found.values())]

    head = row("seeds of the baseline", lambda _: "")
    head[1:] = found
    return _table(
        head,
        [
            row("runs that fail", lambda one: _rate(one["failed"])),
            row("of these by a cell of their own", lambda one: _rate(one["cells"])),
            row("by", lambda one: _counts(one["caught"])),
            row("seeds a tuned cell, mean", lambda one: f"{one['cost']:.2f}"),
            row(
                "tuned cells by seeds looked at",
                lambda one: ", ".join(f"{count} over {seeds}" for seeds, count in one["looks"].items()),
            ),
        ],
    )


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{what} ({count})" for what, count in found.items()) or "-"


def _rate(entry: Rate) -> str:
    share = 100 * entry["count"] / entry["runs"]
    return f"{entry['count']} of {entry['runs']} ({share:.2g} %; at most {100 * entry['upper']:.2g} %)"


def _damaged(found: Sequence[Damaged]) -> list[str]:
    head = ["cell", "seeds", "splits that fail", "by", "seeds looked at, mean"]
    rows = [
        [
            one["cell"],
            str(one["seeds"]),
            _rate(one["failed"]),
            _counts(one["caught"]),
            f"{one['cost']:.2f}",
        ]
        for one in found
    ]
    count, runs = (sum(one["failed"][key] for one in found) for key in ("count", "runs"))
    mean = statistics.fmean(one["cost"] for one in found)
    return _table(head, [*rows, ["all", "", f"{count} of {runs}", "", f"{mean:.2f}"]])


def _detection(found: dict[str, Detection]) -> list[str]:
    head = ["fault", "told by, as expected", "told", "failed", "over seeds", "by", "true effect"]
    rows = []
    for fault, entry in found.items():
        stages = ", ".join(f"{stage or 'nothing'}" for stage in entry["stages"])
        as_expected = [*entry["stages"]] == [entry["expected"]]
        decided = ", ".join(f"{seeds} ({count})" for seeds, count in entry["decided"].items()) or "-"
        share = entry["effect"] / entry["claimed"]
        rows.append(
            [
                fault,
                stages if as_expected else f"{stages}; expected: {entry['expected'] or 'nothing'}",
                _count(entry["told"]),
                _count(entry["failed"]),
                decided,
                ", ".join(name for name, _ in entry["caught"][:2]) or "-",
                f"{entry['what']} {entry['effect']:+.4f}, {_share(share)} of the claim",
            ]
        )
    return _table(head, rows)


def _candidates(found: Candidates) -> list[str]:
    head = ["candidate", "what it is", "failed", "by", "true effect"]
    rows = []
    for name, entry in found["planted"].items():
        effect = entry["effect"] + 0.0  # no -0
        share = effect / entry["claimed"]
        rows.append(
            [
                name if entry["fault"] else f"{name} (no fault)",
                PLANTED[name].does,
                _count(entry["failed"]),
                _counts(dict(entry["caught"])),
                f"{entry['what']} {effect:+.4f}, {_share(share)} of the claim",
            ]
        )
    return _table(head, rows)


def _alike(found: Candidates) -> list[str]:
    rows = [
        [name, _rate(one["failed"]), _counts(dict(one["caught"]))] for name, one in found["alike"].items()
    ]
    return _table(["exchanged with", "runs that fail", "by"], rows)


def _share(share: float) -> str:
    return f"{share:.0f}" if share >= 10 else f"{share:.2g}"


def _count(entry: Rate) -> str:
    return f"{entry['count']}/{entry['runs']}"


def _power(found: dict[str, list[Point]]) -> list[str]:
    head = ["power", *("" for _ in range(max(map(len, found.values()))))]
    rows = []
    for what, points in found.items():
        rows.append([f"{what}: claimed", *(f"{point['claimed']:.2f}" for point in points)])
        rows.append(["observed", *(f"{point['observed']:.2f}" for point in points)])
        rows.append(["comparisons", *(str(point["comparisons"]) for point in points)])
    lines = _table(head, rows)
    for what, points in found.items():
        gap = statistics.fmean(abs(point["claimed"] - point["observed"]) for point in points)
        lines += ["", f"- {what}: {100 * gap:.1f} points apart on average over the columns."]
    return lines


def _detectable(found: Sequence[Sight]) -> list[str]:
    head = ["model", "caught with 95 % from", *METRICS]
    return _table(
        head,
        [
            [one["model"], one["what"], *(f"{one['detectable'][metric]:.4f}" for metric in METRICS)]
            for one in found
            if all(metric in one["detectable"] for metric in METRICS)
        ],
    )


def _environments(found: Sequence[Elsewhere]) -> list[str]:
    head = ["other than the baseline's", "cells", "differ in the screen", "verdicts", "seeds, mean"]
    rows = [
        [
            one["what"],
            str(one["cells"]),
            ", ".join(one["differ"]) or f"none of {one['compared']}",
            _counts(one["labels"]),
            f"{one['cost']:.2f}",
            *(f"{one['worst'][metric]:.4f}" for metric in METRICS),
        ]
        for one in found
    ]
    return _table([*head, *METRICS], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def _catalogue() -> list[str]:
    """The faults, in words."""
    rows = [[name, fault.does, fault.stage or "-"] for name, fault in CATALOGUE.items()]
    return _table(["fault", "what it does", "stage that must tell it"], rows)
