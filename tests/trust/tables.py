"""The study's results as Markdown tables."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from faults import CATALOGUE

if TYPE_CHECKING:
    from records import Detection, FalseAlarms, Point, Rate, Results


def tables(results: Results) -> str:
    """False alarms, detection and calibration, each between marks by which a page of the docs takes it in."""
    parts = {
        "false-alarms": _alarms(results["false alarms"]),
        "detection": _detection(results["detection"]),
        "power": _calibration(results["calibration"]),
    }
    lines = []
    for name, part in parts.items():
        lines += [f"<!-- --8<-- [start:{name}] -->", *part, f"<!-- --8<-- [end:{name}] -->", ""]
    return "\n".join(lines)


def _alarms(found: dict[str, FalseAlarms]) -> list[str]:
    head = ["runs without a change that fail", "auto", "of these fresh", "fixed 0.005", "fixed 0.01"]
    rows = [
        [
            situation,
            _rate(entry["auto"]),
            _rate(entry["auto, fresh runs"]),
            _rate(entry["fixed 0.005"]),
            _rate(entry["fixed 0.01"]),
        ]
        for situation, entry in found.items()
    ]
    return _table(head, rows)


def _rate(entry: Rate) -> str:
    low, high = entry["interval"]
    return f"{entry['count']} of {entry['runs']} ({100 * low:.1f} to {100 * high:.1f} %)"


def _detection(found: dict[str, dict[str, Detection]]) -> list[str]:
    """One row a fault, baselines of one seed and of three side by side."""
    one, three = found["1 seed"], found["3 seeds"]
    head = [
        *("fault", "true effect, where it stands out most", "claimed to be seen, 1 and 3 seeds"),
        *("caught, 1 seed", "3 seeds", "mostly by", "fixed 0.005", "fixed 0.01"),
    ]
    rows = []
    for fault, entry in three.items():
        by = ", ".join(name for name, _ in entry["caught by"][:2]) or "-"
        claims = ["yes" if each[fault]["above"] else "no" for each in (one, three)]
        share = max(entry["effect"], 0.0) / entry["claimed"]
        rows.append(
            [
                shown(fault),
                f"{entry['what']} {entry['effect']:+.4f}, {_share(share)} of the claim",
                ", ".join(claims),
                *(_count(each[fault]["auto"]) for each in (one, three)),
                by,
                _count(entry["fixed 0.005"]),
                _count(entry["fixed 0.01"]),
            ]
        )
    return [*_table(head, rows), "", *(_kept(title, table) for title, table in found.items())]


def _share(share: float) -> str:
    return f"{share:.0f}" if share >= 10 else f"{share:.1f}"


def _count(entry: Rate) -> str:
    return f"{entry['count']}/{entry['runs']}"


def _kept(title: str, table: dict[str, Detection]) -> str:
    """Whether the gate keeps its word."""
    above = [entry["auto"] for entry in table.values() if entry["above"]]
    caught, total = sum(entry["count"] for entry in above), sum(entry["runs"] for entry in above)
    return (
        f"- Baseline of {title}: {len(above)} faults whose true effect exceeds the claimed power, caught in "
        f"{caught} of {total} runs ({100 * caught / total:.0f} %)."
    )


def _calibration(curves: dict[str, list[Point]]) -> list[str]:
    shares = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2]
    head = ["effect, as a share of the claim", *(f"{share:g}" for share in shares), "mean difference"]
    rows = []
    for title, curve in curves.items():
        points = {round(point["effect"], 1): point for point in curve}
        gap = statistics.fmean(abs(point["predicted"] - point["observed"]) for point in curve)
        rows.append([f"{title}: predicted", *(f"{points[share]['predicted']:.2f}" for share in shares), ""])
        rows.append(
            ["observed", *(f"{points[share]['observed']:.2f}" for share in shares), f"{100 * gap:.1f} points"]
        )
    return _table(head, rows)


def shown(fault: str) -> str:
    """A fault's name with its strength: `logits x1.5`, `labels shuffled, 10 %`."""
    kind, _, strength = fault.partition("=")
    if not strength:
        return kind
    if kind == "labels shuffled":
        return f"{kind}, {100 * float(strength):g} %"
    return f"logits x{strength}" if kind.startswith("logits") else f"{kind} {strength}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def catalogue() -> list[str]:
    """The faults, in words."""
    return _table(["fault", "what it does"], [[name, text] for name, text in CATALOGUE.items()])
