"""The campaign itself: it sees faults that are planted, and what it runs can be run again."""

from __future__ import annotations

import signal

import pytest
from children import Orders, raw, run
from counts import Family, Plan, table
from place import CELLS, FILE, Places
from test_documents import said
from test_kills import SCENES, expected, killed
from test_sessions import judged, only, take_turns
from test_side_files import milder

from pytest_prunecal.errors import PrunecalError

pytestmark = pytest.mark.slow


def test_writing_in_place_is_torn(places: Places) -> None:
    scene = SCENES[1]
    wanted = expected(scene, places, planted="not_atomic")
    within = [
        at for at, label in enumerate(wanted.operations) if label.split()[-1] == FILE and "write" in label
    ]
    faults = [
        fault
        for at in within[1:3]
        for fault in killed(scene, wanted, places, at, name=f"torn-{at}", planted="not_atomic")
    ]
    assert {column for column, _ in faults} & {"torn", "lost"}, wanted.operations


def test_a_cell_that_is_gone_is_lost(places: Places) -> None:
    folder = places.copy(places.empty, "new-forgotten")
    ended = [
        run(folder, "--prunecal-update", *only("weight-0.4", "weight-0.5"), orders=Orders(planted="forgets"))
    ]
    faults = judged(folder, ["weight-0.4", "weight-0.5"], places, ended)
    assert "lost" in {column for column, _ in faults}


def test_turns_are_taken_one_operation_at_a_time(places: Places) -> None:
    folder = places.copy(places.empty, "new-turns")
    places.accepted()
    ended, histories = take_turns(folder, CELLS[:2], [(0, 3), (1, 2)])
    assert [one.code for one in ended] == [0, 0]
    assert all(any(label.startswith("replace") for label in history) for history in histories)


def test_without_locks_sessions_lose(places: Places) -> None:
    places.accepted()
    alone = take_turns(places.copy(places.empty, "new-alone"), CELLS[:1], [])[1][0]
    columns: set[str] = set()
    for first in reversed(range(len(alone))):  # from the end, where the file was read and is not yet written
        folder = places.copy(places.empty, f"new-without-{first}")
        ended, _ = take_turns(folder, CELLS[:2], [(0, first), (1, 10_000)], planted="no_locks")
        columns |= {column for column, _ in judged(folder, CELLS[:2], places, ended)}
        if "lost" in columns:
            break
    assert "lost" in columns


def test_a_child_that_never_ends_hangs(places: Places) -> None:
    ended = run(places.copy(places.empty, "endless"), limit=1.0, orders=Orders(planted="never_ends"))
    assert [column for column, _ in ended.faults(0)] == ["hang"]


def test_a_stumbling_reader_is_a_traceback(places: Places) -> None:
    ended = run(places.copy(places.empty, "stumbling"), orders=Orders(planted="raises"))
    assert [column for column, _ in ended.faults(0, 1, 4)] == ["traceback"]


def test_a_death_is_seen(places: Places) -> None:
    folder = places.copy(places.empty, "dying")
    orders = Orders(die_at=3, log=str(folder.with_suffix(".log")))
    ended = run(folder, "--prunecal-update", *only("dense"), orders=orders)
    assert ended.code == -signal.SIGKILL
    assert len(folder.with_suffix(".log").read_text().splitlines()) == 4


def test_a_reader_says_one_sentence_or_is_wrong() -> None:
    def refuse(sentence: str) -> object:
        raise PrunecalError(sentence)

    assert said(lambda: 1) == []
    assert said(lambda: refuse("a.yaml:1: é is wrong; mend it")) == []
    assert [column for column, _ in said(lambda: refuse("one\ntwo"))] == ["other"]
    assert [column for column, _ in said(lambda: refuse("\x1b[31mred"))] == ["other"]
    assert [column for column, _ in said(lambda: 1 // 0)] == ["traceback"]


def test_what_a_log_obeys_is_raw() -> None:
    assert raw("a\n::error::b\n") == "'::error::b'"
    assert raw("left \u202e right")
    assert raw("a b\né ±\n") == ""


def test_a_milder_verdict_is_seen() -> None:
    alone = {"dense ece": {"status": "regression"}, "dense nll": {"status": "ok"}}
    assert milder(alone, alone) == []
    assert milder(alone, {}) == []  # the cell ended in an error, and its test failed
    assert milder(alone, {**alone, "dense nll": {"status": "regression"}}) == []
    assert [column for column, _ in milder(alone, {"dense ece": {"status": "ok"}})] == ["milder"]


def test_the_table_adds_rows_of_a_family_up() -> None:
    plan = Plan(seed=1)
    one, two = Family("kills", plan), Family("kills", plan)
    assert [*one.numbers(5, 0, 2), *two.numbers(5, 1, 2)] == [0, 2, 4, 1, 3]
    one.found(2, [("torn", "a"), ("torn", "b"), ("lost", "c")])
    lines = table([one.row(), two.row()])
    assert lines[2] == "| kills | 5 | 1 | 1 | 0 | 0 | 0 | 0 |"
    assert lines[-1] == "| all | 5 | 1 | 1 | 0 | 0 | 0 | 0 |"
    assert "--campaign-seed=1 --campaign-only=kills:2" in one.told()


def test_one_case_alone_is_the_same_case() -> None:
    all_of_them, alone = Family("a: b", Plan(seed=7)), Family("a: b", Plan(seed=7, only="a: b:3"))
    assert [*alone.numbers(2)] == [3]
    assert all_of_them.random(3).random() == alone.random(3).random()
    assert [*Family("b", alone.plan).numbers(9)] == []
