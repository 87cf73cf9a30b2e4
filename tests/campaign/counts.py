"""What a campaign tried and what went wrong, counted: one row a family, one table a run."""

from __future__ import annotations

import random
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

COLUMNS = ("lost", "torn", "traceback", "hang", "milder", "other")
"""What can go wrong: accepted numbers are gone; files contradict each other or cannot be read; something else
than one sentence; no end; a verdict milder than it ought to be; a wrong exit code, other numbers, residue."""

PROPERTY = "campaign"
"""The property of a test's report that carries its rows to where the table is printed."""


_SHOWN = 500  # characters from either end of what is shown of a case


@dataclass(frozen=True)
class Plan:
    """How a campaign is run.

    Attributes:
        seed: what every random choice follows from.
        factor: how many times the usual number of cases.
        only: `family:number` of the one case to run; empty for all.
    """

    seed: int
    factor: float = 1.0
    only: str = ""


@dataclass
class Family:
    """One row of the table.

    Attributes:
        name: of the family.
        plan: how the campaign is run.
        tried: how many cases were run.
        faults: column, number of the case, what was seen.
    """

    name: str
    plan: Plan
    tried: int = 0
    faults: list[tuple[str, int, str]] = field(default_factory=list)

    def numbers(self, usual: int, part: int = 0, parts: int = 1) -> Iterator[int]:
        """Numbers of the cases of one part; each counts as tried when it is given."""
        family, _, number = self.plan.only.rpartition(":")
        total = max(int(usual * self.plan.factor), 1)
        if self.plan.only:
            chosen: Sequence[int] = [int(number)] if family == self.name else []
        else:
            chosen = range(total)
        for case in chosen:
            if case % parts == part:
                self.tried += 1
                yield case

    def random(self, number: int) -> random.Random:
        """The random numbers of one case: they follow from the seed and the case alone."""
        return random.Random(f"{self.plan.seed}:{self.name}:{number}")  # noqa: S311 - no secret

    def found(self, number: int, faults: Iterable[tuple[str, str]]) -> None:
        """Count what went wrong in a case, each column once."""
        for column, what in dict(faults).items():
            self.faults.append((column, number, what))

    def count(self, column: str) -> int:
        """Cases in which this went wrong."""
        return sum(column == found for found, _, _ in self.faults)

    def row(self) -> dict[str, Any]:
        """Builtins only: it crosses xdist with the test's report."""
        return {"family": self.name, "tried": self.tried, **{name: self.count(name) for name in COLUMNS}}

    def told(self, most: int = 4) -> str:
        """What went wrong, and how to see it again."""
        again = f"pytest tests/campaign -m slow -n 0 --campaign-seed={self.plan.seed}"
        if self.plan.factor != 1:
            again += f" --campaign-factor={self.plan.factor:g}"
        lines = [f"{len(self.faults)} faults in {self.tried} cases of {self.name}"]
        for column in COLUMNS:
            mine = [fault for fault in self.faults if fault[0] == column]
            for _, number, what in mine[:most]:
                shown = what if len(what) < 2 * _SHOWN else f"{what[:_SHOWN]}\n[…]\n{what[-_SHOWN:]}"
                lines += [
                    f"\n{column}: {again} {shlex.quote(f'--campaign-only={self.name}:{number}')}",
                    shown,
                ]
        return "\n".join(lines)


class Opener(Protocol):
    """Opens a row of the table."""

    def __call__(self, name: str) -> AbstractContextManager[Family]:
        """Under this name."""
        ...


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The table as Markdown: rows of the same family added up, the sum last."""
    families: dict[str, dict[str, Any]] = {}
    for row in rows:
        mine = families.setdefault(row["family"], dict.fromkeys(("tried", *COLUMNS), 0))
        for column in mine:
            mine[column] += row[column]
    total = {column: sum(row[column] for row in families.values()) for column in ("tried", *COLUMNS)}
    heads = ["family", "tried", *("milder verdict" if name == "milder" else name for name in COLUMNS)]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for name, row in [*sorted(families.items()), ("all", total)]:
        lines.append(f"| {name} | {' | '.join(f'{number:,}' for number in row.values())} |")
    return lines
