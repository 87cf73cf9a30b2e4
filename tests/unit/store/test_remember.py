"""What is made once is remembered, and given even where it cannot be kept."""

import os
import signal
import subprocess
import sys
import time
import uuid

import pytest
from safetensors import SafetensorError

from pytest_prunecal.store.store import Kind, Remembered, Store

WORKER = """
import os, sys, time
from pathlib import Path
from pytest_prunecal.store.store import Kind, Store

folder = Path(sys.argv[1])

def make():
    with (folder / "log").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    while not (folder / "go on").exists():
        time.sleep(0.01)
    return "whole"

def save(text, path):
    path.write_text(text)

def load(path):
    return {"whole": "whole"}[path.read_text()]

(folder / f"{os.getpid()} wants it").touch()
print(Store(str(folder / "store")).remember(Kind("base", ".bin", save, load), "key", make))
"""


@pytest.fixture
def worker(tmp_path):
    """Start a process that wants the thing; whoever makes it is busy until the file `go on` is there."""
    started = []

    def start():
        command = [sys.executable, "-c", WORKER, str(tmp_path)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def result_of(process):
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip()


def wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def wanted_by(process, folder):
    wait_for(folder / f"{process.pid} wants it")


def files_of(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def number(path):
    return int(path.read_text())


def save(content, path):
    path.write_text(str(content))


NUMBER = Kind("number", ".txt", save, number)


def never_made():
    raise AssertionError("made again")


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def entry(tmp_path):
    return tmp_path / "store" / "number" / "key.txt"


def test_what_was_made_once_is_remembered(store, tmp_path, entry):
    assert store.remember(NUMBER, "key", lambda: 3) == Remembered(3)
    assert store.remember(NUMBER, "key", never_made) == Remembered(3, reused=True)
    assert Store(str(tmp_path / "store")).remember(NUMBER, "key", never_made).content == 3
    assert store.remember(NUMBER, "other", lambda: 4) == Remembered(4)
    assert entry.read_text() == "3"


def test_what_is_made_is_given_as_it_was_made(store):
    rounding = Kind("number", ".txt", lambda content, path: save(round(content), path), number)
    assert store.remember(rounding, "key", lambda: 3.25).content == 3.25
    assert store.remember(rounding, "key", never_made).content == 3


def test_nothing_can_be_remembered_too(store):
    nothing = Kind("nothing", ".txt", save, lambda path: {"None": None}[path.read_text()])
    assert store.remember(nothing, "key", lambda: None) == Remembered(None)
    assert store.remember(nothing, "key", never_made) == Remembered(None, reused=True)


def test_anew_replaces_what_is_there(store, entry):
    store.remember(NUMBER, "key", lambda: 3)
    assert store.remember(NUMBER, "key", lambda: 4, anew=True) == Remembered(4)
    assert store.remember(NUMBER, "key", never_made) == Remembered(4, reused=True)
    assert entry.read_text() == "4"


@pytest.mark.parametrize("damage", [b"", b"three", b"\xff"])
def test_a_damaged_memory_is_made_anew(store, entry, damage):
    store.remember(NUMBER, "key", lambda: 3)
    entry.write_bytes(damage)
    assert store.remember(NUMBER, "key", lambda: 4) == Remembered(4)
    assert store.remember(NUMBER, "key", never_made) == Remembered(4, reused=True)


MADE = "Remembered(content='whole', reused=False, problem='')"
FOUND = MADE.replace("False", "True")


def test_of_many_processes_one_makes_what_is_damaged(worker, tmp_path):
    place = tmp_path / "store" / "base" / "key.bin"
    place.parent.mkdir(parents=True)
    place.write_text("damaged")
    processes = [worker() for _ in range(4)]
    for process in processes:
        wanted_by(process, tmp_path)
    (tmp_path / "go on").touch()
    assert sorted(result_of(process) for process in processes) == [MADE, *[FOUND] * 3]
    assert len((tmp_path / "log").read_text().split()) == 1


def test_others_wait_for_a_maker_no_longer_than_it_lives(worker, tmp_path):
    maker = worker()
    wait_for(tmp_path / "log")
    waiter = worker()
    wanted_by(waiter, tmp_path)
    time.sleep(0.3)  # time to do what it must not; a slow machine only sees less of it
    assert waiter.poll() is None
    assert len((tmp_path / "log").read_text().split()) == 1
    os.kill(maker.pid, signal.SIGKILL)
    (tmp_path / "go on").touch()
    assert result_of(waiter) == MADE
    assert len((tmp_path / "log").read_text().split()) == 2
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


@pytest.mark.parametrize("error", [OSError("the user's own"), ValueError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("anew", [False, True])
def test_what_the_making_raises_comes_out_and_is_asked_for_once(store, error, anew):
    asked = []

    def fail():
        asked.append(1)
        raise error

    with pytest.raises(type(error)) as caught:
        store.remember(NUMBER, "key", fail, anew=anew)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert len(asked) == 1
    assert files_of(store.root) == [".gitignore"]
    assert store.remember(NUMBER, "key", lambda: 3) == Remembered(3)


def counted(asked, content=3):
    def make():
        asked.append(1)
        return content

    return make


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("no space")])
@pytest.mark.parametrize("anew", [False, True])
def test_what_cannot_be_written_is_given_anyway(store, error, anew):
    def full(content, path):
        path.write_text(str(content)[:1])
        raise error

    asked = []
    found = store.remember(Kind("number", ".txt", full, number), "key", counted(asked, 34), anew=anew)
    assert found == Remembered(34, problem=str(error))
    assert len(asked) == 1
    assert files_of(store.root) == [".gitignore"]


@pytest.mark.parametrize("anew", [False, True])
def test_a_folder_that_cannot_be_made_loses_nothing(store, anew):
    (store.root / "number").write_text("in the way")
    asked = []
    found = store.remember(NUMBER, "key", counted(asked), anew=anew)
    assert (found.content, found.reused, len(asked)) == (3, False, 1)
    assert found.problem.startswith("[Errno 17] File exists")


def test_an_error_of_saving_that_no_disk_gives_is_no_secret(store):
    def broken(content, _):
        raise ZeroDivisionError(content)

    with pytest.raises(ZeroDivisionError):
        store.remember(Kind("number", ".txt", broken, number), "key", lambda: 3)


def test_what_is_unfit_is_given_and_not_kept(store):
    asked = []
    unfit = store.remember(NUMBER, "key", counted(asked), unfit=lambda: f"edited after {len(asked)}")
    assert unfit == Remembered(3, problem="edited after 1")
    assert files_of(store.root) == [".gitignore"]
    assert store.remember(NUMBER, "key", lambda: 3, unfit=lambda: "") == Remembered(3)
    assert store.remember(NUMBER, "key", never_made, unfit=never_made) == Remembered(3, reused=True)


def test_what_is_unfit_leaves_what_was_there(store, entry):
    store.remember(NUMBER, "key", lambda: 3)
    found = store.remember(NUMBER, "key", lambda: 4, anew=True, unfit=lambda: "edited")
    assert found == Remembered(4, problem="edited")
    assert entry.read_text() == "3"


@pytest.fixture(params=["memory", "local"])
def url(request, tmp_path):
    if request.param == "local":
        return f"local://{tmp_path}/remote"
    return f"memory://prunecal-{uuid.uuid4().hex}"


def machine(url, home, monkeypatch):
    """The store as another machine has it: with a cache of its own."""
    monkeypatch.setenv("HOME", str(home))
    return Store(url)


def test_machines_share_what_one_of_them_remembers(url, tmp_path, monkeypatch):
    first = machine(url, tmp_path / "first", monkeypatch)
    assert first.remember(NUMBER, "key", lambda: 3) == Remembered(3)
    second = machine(url, tmp_path / "second", monkeypatch)
    assert second.remember(NUMBER, "key", never_made) == Remembered(3, reused=True)
    assert second.remember(NUMBER, "key", lambda: 4, anew=True) == Remembered(4)
    third = machine(url, tmp_path / "third", monkeypatch)
    assert third.remember(NUMBER, "key", never_made) == Remembered(4, reused=True)
    assert third.find("number/key.txt").read_text() == "4"
    assert third.find("number/other.txt") is None


def test_what_is_damaged_on_the_way_is_made_anew_for_all(url, tmp_path, monkeypatch):
    first = machine(url, tmp_path / "first", monkeypatch)
    first.remember(Kind("number", ".txt", lambda _, path: path.write_text("three"), number), "key", lambda: 3)
    second = machine(url, tmp_path / "second", monkeypatch)
    assert second.remember(NUMBER, "key", lambda: 4) == Remembered(4)
    third = machine(url, tmp_path / "third", monkeypatch)
    assert third.remember(NUMBER, "key", never_made) == Remembered(4, reused=True)


@pytest.mark.parametrize("broken", ["exists", "get_file", "put_file"])
def test_a_lost_connection_loses_nothing(url, tmp_path, monkeypatch, broken):
    if broken == "get_file":
        machine(url, tmp_path / "first", monkeypatch).remember(NUMBER, "key", lambda: 3)
    store = machine(url, tmp_path / "second", monkeypatch)

    def refuse(*_, **__):
        raise OSError("connection lost")

    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(store._remote, broken, refuse)
        found = store.remember(NUMBER, "key", counted(asked))
    assert found == Remembered(3, problem="connection lost")
    assert len(asked) == 1
    assert files_of(store.root) == [".gitignore"]
