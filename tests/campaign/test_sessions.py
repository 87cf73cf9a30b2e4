"""Several sessions accept cells of one model at once: none is lost, whoever comes when."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from children import LIMIT, Ended, Orders, start
from place import CELLS, Places, beside, listing, numbers

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from children import Child
    from counts import Opener

pytestmark = pytest.mark.slow

Turns = list[tuple[int, int]]
"""Who goes on next, and for how many operations."""

TWO = ("--prunecal-seeds=2",)
ACCEPT = ("--prunecal-update", "--prunecal-seeds=1")  # an update keeps the seeds that a file has

ENDLESS = 10_000


def only(*cells: str) -> tuple[str, str]:
    """Select cells."""
    return "-k", " or ".join(cells)


def judged(
    folder: Path, cells: Sequence[str], places: Places, ended: Sequence[Ended]
) -> list[tuple[str, str]]:
    """What is wrong after sessions that accepted these cells over those that were there."""
    faults = [fault for one in ended for fault in one.faults(0)]
    new = numbers(places.accepted())
    old = numbers(places.accepted(*TWO)) if folder.name.startswith("over") else {}
    wanted = {**old, **{cell: new[cell] for cell in cells}}
    try:
        found = numbers(folder)
    except PrunecalError as error:
        return [*faults, ("torn", str(error))]
    if lost := [cell for cell in wanted if found.get(cell) != wanted[cell]]:
        faults.append(("lost", f"not as accepted: {', '.join(lost)}"))
    if found:
        faults += beside(folder, found)
    if len(files := listing(folder)) > 2:
        faults.append(("other", f"left behind: {sorted(files)}"))
    return faults


def origin(draw: bool, places: Places) -> Path:  # noqa: FBT001 - one of two
    """A project with other numbers of all cells, or without any."""
    return places.accepted(*TWO) if draw else places.empty


def test_eight_at_once(places: Places, family: Opener) -> None:
    with family("sessions at once") as row:
        for number in row.numbers(9):
            draw = row.random(number)
            over = draw.random() < 0.5
            folder = places.copy(origin(over, places), f"{'over' if over else 'new'}-{number}")
            cells = draw.sample(CELLS, 8)
            places.accepted()
            delays = [draw.choice((0.0, draw.uniform(0.0, 0.3))) for _ in cells]
            children = [
                start(folder, *ACCEPT, *only(cell), orders=Orders(delay=delay))
                for cell, delay in zip(cells, delays, strict=True)
            ]
            ended = [child.wait() for child in children]
            row.tried += len(cells) - 1  # a session is a case
            row.found(number, judged(folder, cells, places, ended))
            places.drop(folder)


@dataclass
class Session:
    """One of several that take turns.

    Attributes:
        child: the run.
        line: where it asks before each operation.
        asked: what it asks to do; empty while it does something.
        over: whether it has ended.
        history: what it did.
    """

    child: Child
    line: Connection
    asked: str = ""
    over: bool = False
    history: list[str] = field(default_factory=list)

    def listen(self, seconds: float) -> bool:
        """Wait until it asks or ends; False if it does neither, as where another holds what it wants."""
        if self.asked or self.over:
            return True
        if not self.line.poll(seconds):
            return False
        try:
            self.asked = self.line.recv()
        except (EOFError, ConnectionResetError):
            self.over = True
        return True

    def go(self) -> str:
        """Let it do what it asks for."""
        self.history.append(self.asked)
        asked, self.asked = self.asked, ""
        self.line.send(None)
        return asked


def take_turns(
    folder: Path, cells: Sequence[str], turns: Turns, planted: str = ""
) -> tuple[list[Ended], list[list[str]]]:
    """Run sessions, one operation of one session at a time, all with a fault of `planted` if one is named.

    A session that waits for another's lock gives its turn away.
    """
    orders = Orders(planted=planted)
    sessions = []
    for cell in cells:
        ours, theirs = multiprocessing.Pipe()
        child = start(folder, *ACCEPT, *only(cell), orders=orders, line=theirs)
        sessions.append(Session(child, ours))
        theirs.close()
    assert all(session.listen(LIMIT) for session in sessions), "it hangs"
    rest = [(place, ENDLESS) for place in range(len(cells))]
    for place, operations in [*turns, *rest * 50]:
        session = sessions[place]
        for _ in range(operations):
            if session.over or not session.listen(1.0):
                break
            if session.asked and session.go() == "sleep":  # it waits for a lock
                session.listen(1.0)
                break
        if all(one.over for one in sessions):
            break
    ended = [session.child.wait(1.0 if not session.over else LIMIT) for session in sessions]
    return ended, [session.history for session in sessions]


def schedules(length: int, draw: Callable[[], float]) -> Iterator[tuple[int, Turns]]:
    """How many sessions, and their turns: each place for one change, then drawn ones for two, three."""
    for first in range(length + 1):
        yield 2, [(0, first), (1, ENDLESS)]
    while True:
        yield 2, [(0, int(draw() * length)), (1, int(draw() * length) + 1), (0, ENDLESS)]
        yield 3, [(place, int(draw() * length / 2)) for place in (0, 1, 2, 0, 2, 1)]


@pytest.mark.parametrize("over", [True, False], ids=["over others", "the first"])
def test_one_operation_at_a_time(over: bool, places: Places, family: Opener) -> None:  # noqa: FBT001
    with family(f"sessions in turns: {'over others' if over else 'the first'}") as row:
        places.accepted()
        length = len(take_turns(places.copy(origin(over, places), "over-alone"), ["dense"], [])[1][0])
        plan = list(islice(schedules(length, row.random(-1).random), max(int(40 * row.plan.factor), 1)))
        for number in row.numbers(40):
            many, turns = plan[number]
            cells = row.random(number).sample(CELLS, many)
            folder = places.copy(origin(over, places), f"{'over' if over else 'new'}-turns-{number}")
            ended, histories = take_turns(folder, cells, turns)
            faults = judged(folder, cells, places, ended)
            where = f"{cells} by turns {turns}; " + "; ".join(", ".join(history) for history in histories)
            row.found(number, [(column, f"{where}\n{what}") for column, what in faults])
            places.drop(folder)
