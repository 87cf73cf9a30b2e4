"""The study's results as Markdown tables."""

from __future__ import annotations

import statistics

from faults import CATALOGUE


def tables(results: dict) -> str:
    """False alarms, detection and calibration."""
    lines = ["### False alarms", "", *_alarms(results["false alarms"]), ""]
    for seeds, table in results["detection"].items():
        lines += [f"### Detection, baseline of {seeds}", "", *_detection(table), ""]
    lines += ["### Power claimed and observed", "", *_calibration(results["calibration"]), ""]
    return "\n".join(lines)


def _alarms(found: dict) -> list[str]:
    head = ["runs without a change that fail", "auto", "fixed 0.005", "fixed 0.01"]
    rows = [
        [situation, *(_rate(entry[rule]) for rule in ("auto", "fixed 0.005", "fixed 0.01"))]
        for situation, entry in found.items()
    ]
    return _table(head, rows)


def _rate(entry: dict) -> str:
    low, high = entry["interval"]
    return f"{entry['count']} of {entry['runs']} ({100 * low:.1f} to {100 * high:.1f} %)"


def _detection(table: dict) -> list[str]:
    head = [
        *("fault", "largest true effect", "claimed to see", "caught by auto", "mostly by"),
        *("fixed 0.005", "fixed 0.01"),
    ]
    rows = []
    for fault, entry in table.items():
        by = ", ".join(name for name, _ in entry["caught by"][:2]) or "-"
        rows.append(
            [
                shown(fault),
                f"{entry['what']} {entry['effect']:+.4f}",
                f"{entry['claimed']:.4f}{' (seen)' if entry['above'] else ''}",
                f"{entry['auto']['count']}/{entry['auto']['runs']}",
                by,
                *(
                    f"{entry[f'fixed {bound}']['count']}/{entry[f'fixed {bound}']['runs']}"
                    for bound in (0.005, 0.01)
                ),
            ]
        )
    above = [entry for entry in table.values() if entry["above"]]
    caught = sum(entry["auto"]["count"] for entry in above)
    total = sum(entry["auto"]["runs"] for entry in above)
    said = (
        f"Of the {len(above)} whose true effect exceeds the claimed power: {caught} of {total} runs caught."
    )
    return [*_table(head, rows), "", said if above else "No true effect exceeds the claimed power."]


def _calibration(curves: dict) -> list[str]:
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
