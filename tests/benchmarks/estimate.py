"""A paper estimate of the whole published study, arXiv 2405.20876, on 1, 2, 8 and 64 GPUs.

    python tests/benchmarks/estimate.py                  # work and schedule, from FLOPs alone: half a minute
    python tests/benchmarks/estimate.py floor.json       # hours too, from `test_floor.py` run on a GPU
    python tests/benchmarks/estimate.py --rate 5000      # hours at a rate of your own, in GFLOP/s
    python tests/benchmarks/estimate.py --measure cpu    # hours on this machine's CPU, measured: 3 minutes

FLOPs are those of convs and linear layers. Left out is what takes none of them: reading and corrupting
images, pruning, scores and their resampling.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flops import BASE, STUDY, WORKS, forward_flops, jobs, study, test_sets, total, training_factor
from markdown_table import markdown_table
from rates import given, measured_on_cpu, read
from schedule import makespan

from pytest_prunecal.study import protocol_file

if TYPE_CHECKING:
    from flops import Part
    from rates import Rates

    from pytest_prunecal.study.protocol import Protocol

GPUS = (1, 2, 8, 64)
PETA, HOUR = 1e15, 3600


def work_table(cells: list[tuple[Part, ...]], protocol: Protocol) -> list[str]:
    """FLOPs by model and work."""
    head = ["model", "GFLOP an image, dense", "a training step, in forward passes"]
    rows = []
    for model in STUDY:
        width = protocol.width_of(model)
        counts = [total(cells, model, work) for work in WORKS]
        rows.append(
            [
                model,
                f"{forward_flops(model, width) / 1e9:.3f}",
                f"{training_factor(model, width):.3f}",
                *_petas(counts),
            ]
        )
    sums = [sum(total(cells, model, work) for model in STUDY) for work in WORKS]
    rows.append(["all", "", "", *_petas(sums)])
    return markdown_table([*head, *(f"{work}, PFLOP" for work in WORKS), "sum, PFLOP"], rows)


def _petas(counts: list[float]) -> list[str]:
    return [f"{count / PETA:.1f}" for count in (*counts, sum(counts))]


def schedule_table(cells: list[tuple[Part, ...]]) -> list[str]:
    """Makespan if every FLOP took as long, whichever network's it is, and hours per TFLOP/s of that rate."""
    spans = {gpus: makespan(jobs(cells, lambda *_: PETA), gpus) for gpus in GPUS}
    rows = [
        [
            str(gpus),
            f"{span:.1f}",
            f"{spans[1] / span:.1f}",
            f"{100 * spans[1] / span / gpus:.0f} %",
            f"{span * 1000 / HOUR:.1f}",
        ]
        for gpus, span in spans.items()
    ]
    head = ["GPUs", "makespan, PFLOP of one GPU", "speed-up", "of the ideal", "hours at 1 TFLOP/s"]
    return markdown_table(head, rows)


def hours_table(cells: list[tuple[Part, ...]], rates: Rates) -> list[str]:
    """Wall-clock time at some rates."""
    spans = {gpus: makespan(jobs(cells, rates.of), gpus) / HOUR for gpus in GPUS}
    rows = [
        [str(gpus), f"{span:.1f}", f"{span / 24:.1f}", f"{spans[1] / span:.1f}"]
        for gpus, span in spans.items()
    ]
    return markdown_table(["of these at once", "hours", "days", "speed-up"], rows)


def rates_table(rates: Rates) -> list[str]:
    """What was reached, by model."""
    rows = [
        [model, f"{rates.training[model] / 1e9:.1f}", f"{rates.evaluation[model] / 1e9:.1f}"]
        for model in STUDY
    ]
    return markdown_table(["model", "training, GFLOP/s", "evaluation, GFLOP/s"], rows)


def report(protocol: Protocol, found: list[Rates], *, gpu: bool) -> str:
    """All tables."""
    cells = study(protocol)
    bases = len({part.once for cell in cells for part in cell if part.work == BASE})
    shortest = makespan(jobs(cells, lambda *_: PETA), len(cells))
    lines = [
        "### Work",
        "",
        f"{len(cells)} cells of {len(STUDY)} networks, protocol `{protocol.name}`:",
        f"{bases} base trainings of {protocol.base.epochs} epochs,",
        f"{len(cells) - len(STUDY)} fine-tunings of {protocol.finetune.epochs},",
        f"{len(cells) + bases - len(STUDY)} evaluations on {test_sets(protocol)} test sets.",
        "",
        *work_table(cells, protocol),
        "",
        "### Schedule",
        "",
        "Cells as the gate hands them out, one at a time on a GPU.",
        f"With a GPU for every cell: {shortest:.1f} PFLOP, a base training and what follows it.",
        "",
        *schedule_table(cells),
        "",
    ]
    if not gpu:
        lines += ["No GPU was measured: divide the hours by the TFLOP/s that yours reaches.", ""]
    for rates in found:
        lines += [f"### Hours: {rates.source}", "", *rates_table(rates), "", *hours_table(cells, rates), ""]
    return "\n".join(lines)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="BENCH.json")
    parser.add_argument("--rate", type=float, metavar="GFLOP/s", help="that your GPU reaches")
    parser.add_argument("--measure", choices=["cpu"], help="measure rates on this machine")
    parser.add_argument("--protocol", default="paper", help="its name or file (default: paper)")
    asked = parser.parse_args()
    protocol = protocol_file.load(asked.protocol, Path())
    on_gpu = read(asked.files, protocol)
    if asked.files and not on_gpu:
        print("No row of a paper-sized network on a GPU in the given files.\n")  # noqa: T201 - a script
    found = [on_gpu] if on_gpu else []
    if asked.rate:
        found.append(given(asked.rate * 1e9))
    if asked.measure:
        found.append(measured_on_cpu(protocol))
    print(report(protocol, found, gpu=on_gpu is not None))  # noqa: T201 - a script


if __name__ == "__main__":
    main()
