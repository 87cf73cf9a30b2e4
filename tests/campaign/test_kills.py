"""Killed at any moment: what was accepted is there, old or new, and the next update heals the rest."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from children import Orders, run, start
from place import TWO_CELLS, Numbers, Places, ini, listing, numbers, operations, residue, wrongs

if TYPE_CHECKING:
    from counts import Opener

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Scene:
    """An update to be killed.

    Attributes:
        name: of the scene.
        before: options of the update whose numbers were accepted before; None for no baseline.
        update: options of the update.
    """

    name: str
    before: tuple[str, ...] | None
    update: tuple[str, ...]

    def origin(self, places: Places) -> Path:
        """The project before it."""
        return places.empty if self.before is None else places.accepted(*self.before)


ONE, TWO = ("--prunecal-seeds=1",), ("--prunecal-seeds=2",)  # given, since an update keeps the file's number
PIN = ("--prunecal-pin",)
SCENES = (
    Scene("first", None, ()),
    Scene("all cells", TWO, ONE),
    Scene("one cell", TWO, ("-k", "weight-0.3", *ONE)),
    Scene("a pin", TWO, (*PIN, *ONE)),
    Scene("another pin", (*PIN, *TWO), (*PIN, *ONE)),
)


@dataclass(frozen=True)
class Expected:
    """An update that nobody kills.

    Attributes:
        before: numbers before.
        after: numbers after.
        files: files after.
        operations: what it does to files, in order.
        seconds: how long it takes.
    """

    before: Numbers
    after: Numbers
    files: dict[str, str]
    operations: list[str]
    seconds: float


def expected(scene: Scene, places: Places, planted: str = "") -> Expected:
    """Let it happen."""
    origin = scene.origin(places)
    for warm in (True, False):
        folder = places.copy(origin, "expected")
        if warm:  # whatever the store lacks
            assert run(folder, "--prunecal-update", *scene.update).code == 0
            continue
        log = folder.with_suffix(".log")
        if planted:
            ended = run(
                folder, "--prunecal-update", *scene.update, orders=Orders(log=str(log), planted=planted)
            )
            seen = log.read_text().splitlines()
        else:
            ended, seen = operations(folder, "--prunecal-update", *scene.update, log=log)
        assert ended.code == 0, ended.text
    after = numbers(folder)
    assert after != numbers(origin), "an update that changes nothing cannot be lost"
    return Expected(numbers(origin), after, listing(folder), seen, ended.seconds)


def killed(
    scene: Scene, wanted: Expected, places: Places, at: int, *, name: str, planted: str = ""
) -> list[tuple[str, str]]:
    """Kill an update before one of its operations, look, and update again."""
    folder = places.copy(scene.origin(places), name)
    orders = Orders(at, str(folder.with_suffix(".log")), planted=planted)
    ended = run(folder, "--prunecal-update", *scene.update, orders=orders)
    where = f"{scene.name}: killed before {wanted.operations[at]} ({at})"
    if ended.code is None:
        return [("hang", f"{where}\n{ended.text}")]
    faults = wrongs(folder, wanted.before, wanted.after) if ended.code == -signal.SIGKILL else []
    faults += healed(folder, scene, wanted)
    places.drop(folder)
    return [(column, f"{where}\n{what}") for column, what in faults]


def healed(folder: Path, scene: Scene, wanted: Expected) -> list[tuple[str, str]]:
    """The next update succeeds, leaves what an update leaves, and nothing else."""
    again = run(folder, "--prunecal-update", *scene.update)
    return again.faults(0) or residue(folder, wanted.files)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_at_every_operation(scene: Scene, places: Places, family: Opener) -> None:
    with family(f"kills: {scene.name}") as row:
        wanted = expected(scene, places)
        for number in row.numbers(len(wanted.operations)):
            at = number % len(wanted.operations)
            row.found(number, killed(scene, wanted, places, at, name=f"kill-{number}"))


def test_while_the_store_is_filled(places: Places, family: Opener) -> None:
    """Killed anywhere in a run that measures and keeps it; the next one gives the same bytes."""
    with family("kills: an empty store") as row:
        scene = Scene("an empty store", None, TWO_CELLS)
        wanted = expected(scene, places)
        fresh = places.copy(places.empty, "fresh")
        ini(fresh, "store")
        log = fresh.with_suffix(".log")
        ended, seen = operations(fresh, "--prunecal-update", *scene.update, log=log, whole=True)
        assert ended.code == 0, ended.text
        for number in row.numbers(48):
            at = row.random(number).randrange(len(seen))
            folder = places.copy(places.empty, f"fresh-{number}")
            ini(folder, "store")
            orders = Orders(at, str(folder.with_suffix(".log")), whole=True)
            killed = run(folder, "--prunecal-update", *scene.update, orders=orders)
            faults = [("hang", killed.text)] if killed.code is None else []
            faults += wrongs(folder, {}, wanted.after) + healed(folder, scene, wanted)
            row.found(
                number, [(column, f"killed before {seen[at]} ({at})\n{what}") for column, what in faults]
            )
            places.drop(folder)


@pytest.mark.parametrize("part", [0, 1])
def test_at_random_in_two_workers(part: int, places: Places, family: Opener) -> None:
    with family("kills: at random in -n 2") as row:
        scenes = [(scene, expected(scene, places)) for scene in SCENES[:3]]
        folder = places.copy(places.empty, "timed")
        length = run(folder, "--prunecal-update", "-n2").seconds
        for number in row.numbers(32, part, 2):
            draw = row.random(number)
            scene, wanted = draw.choice(scenes)
            late = draw.random() < 0.5  # when baselines are written
            moment = length * (draw.uniform(0.6, 1.1) if late else draw.uniform(0.0, 1.0))
            signs = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            victim = draw.choice(("controller", "worker", "all"))
            faults = struck(
                places.copy(scene.origin(places), f"random-{number}"), scene, wanted, moment, signs, victim
            )
            where = f"{scene.name}: {signs.name} to {victim} after {moment:.2f} of {length:.2f} s"
            row.found(number, [(column, f"{where}\n{what}") for column, what in faults])
            places.drop(places.root / "cases" / f"random-{number}")


def struck(
    folder: Path, scene: Scene, wanted: Expected, moment: float, sign: signal.Signals, victim: str
) -> list[tuple[str, str]]:
    """Send a signal to a run in two workers, look, and update again."""
    child = start(folder, "--prunecal-update", "-n2", *scene.update)
    time.sleep(moment)
    pid = child.process.pid
    targets = {"controller": [pid], "worker": workers(pid)[:1], "all": [*workers(pid), pid]}[victim]
    for target in targets:
        with suppress(ProcessLookupError):
            os.kill(target, sign)
    ended = child.wait()
    if ended.code is None:
        return [("hang", ended.text)]
    faults = wrongs(folder, wanted.before, wanted.after)
    if sign == signal.SIGKILL:
        faults += [fault for fault in ended.faults(*range(-64, 6)) if "INTERNALERROR" in fault[1]]
    return faults + healed(folder, scene, wanted)


def workers(pid: int) -> list[int]:
    """Processes that a process started and that are still there."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
