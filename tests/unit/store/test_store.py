"""The store: each entry made once, never half, whoever dies; a URL shares entries between machines."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid

import fsspec
import pytest
from safetensors import SafetensorError

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.store import lock
from pytest_prunecal.store.kinds import Artefact, Kind, Remembered
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import whole_file as atomic

WORKER = """
import os, sys, time
from pathlib import Path
from pytest_prunecal.store.kinds import Artefact, Kind
from pytest_prunecal.store.store import Store

folder = Path(sys.argv[1])

def begin():
    with (folder / "log").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    return b"whole"

def write(content, path):
    path.write_bytes(content[:4])
    while not (folder / "go on").exists():
        time.sleep(0.01)
    path.write_bytes(content)

def make():
    with (folder / "log").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    while not (folder / "go on").exists():
        time.sleep(0.01)
    return "whole"

def load(path):
    return {"whole": "whole"}[path.read_text()]

def save(text, path):
    path.write_text(text)

(folder / f"{os.getpid()} wants it").touch()
store = Store(str(folder / "store"))
if sys.argv[2:] == ["remember"]:
    print(store.remember(Kind("base", ".bin", save, load), "key", make))
else:
    print(store.obtain(Artefact("base", "key", ".bin", begin, write)).read_text())
"""


@pytest.fixture
def worker(tmp_path):
    """Start a process that wants the entry; whoever makes it is half done until the file `go on` is there."""
    started = []

    def start(*how):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), *how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def result_of(patience):
    """What a process got, once it has ended."""

    def wait(process):
        output, errors = process.communicate(timeout=patience)
        assert process.returncode == 0, errors
        return output.strip()

    return wait


@pytest.fixture
def maker(worker, wait_until, tmp_path):
    """A process that is making the entry, and will be half done as long as it lives."""
    process = worker()
    folder = tmp_path / "store" / "base"
    wait_until(lambda: any(half.stat().st_size for half in folder.glob(".key.bin.*.partial")), process)
    return process


def files_of(root):
    """Entries and whatever else lies there but locks and checksums, of which each entry has one."""
    found = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    sums = [path for path in found if root / "checksums" in path.parents]
    entries = {path.relative_to(root) for path in found if path not in sums and path.parent != root}
    assert {path.relative_to(root / "checksums") for path in sums} == entries
    return sorted(path.name for path in found if path not in sums)


def artefact(make, key="key", kind="base", **how):
    """An entry of text."""
    return Artefact(kind, key, ".bin", make, lambda content, path: path.write_text(content), **how)


def writes(content):
    return lambda: content


def never():
    raise AssertionError("made again")


def test_of_many_processes_one_makes_it(worker, wait_until, result_of, tmp_path):
    processes = [worker() for _ in range(4)]
    wanted = [tmp_path / f"{process.pid} wants it" for process in processes]
    wait_until(lambda: all(path.exists() for path in wanted), *processes)
    (tmp_path / "go on").touch()
    assert [result_of(process) for process in processes] == ["whole"] * 4
    assert len((tmp_path / "log").read_text().split()) == 1
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


def test_a_killed_maker_blocks_nobody_and_leaves_nothing(maker, worker, wait_until, result_of, tmp_path):
    entry = tmp_path / "store" / "base" / "key.bin"
    waiter = worker()
    wait_until((tmp_path / f"{waiter.pid} wants it").exists, waiter)
    time.sleep(0.3)  # time to do what it must not; a slow machine only sees less of it
    assert waiter.poll() is None
    assert not entry.exists()
    os.kill(maker.pid, signal.SIGKILL)
    (tmp_path / "go on").touch()
    assert result_of(waiter) == "whole"
    assert maker.wait() == -signal.SIGKILL
    assert len((tmp_path / "log").read_text().split()) == 2
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


def test_an_attempt_does_not_wait_for_another_process(maker, tmp_path):
    store, entry = Store(str(tmp_path / "store")), tmp_path / "store" / "base" / "key.bin"
    assert store.attempt(artefact(never)) is None
    assert store.attempt(artefact(writes("x"), "other")).read_text() == "x"
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    assert store.attempt(artefact(writes("y"))) == entry
    assert store.attempt(artefact(never)).read_text() == "y"


def test_after_a_crash_the_next_run_makes_it(maker, tmp_path):
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    assert not (tmp_path / "store" / "base" / "key.bin").exists()
    store = Store(str(tmp_path / "store"))
    assert store.obtain(artefact(writes("new"))).read_text() == "new"
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


def test_an_entry_is_found_again(tmp_path):
    url = str(tmp_path / "store")
    entry = Store(url).obtain(artefact(writes("x")))
    assert entry == tmp_path / "store" / "base" / "key.bin"
    assert Store(url).obtain(artefact(never)) == entry
    assert Store(f"file://{url}").obtain(artefact(never)) == entry
    assert Store(url).obtain(artefact(writes("y"), "other")).read_text() == "y"
    assert Store(url).obtain(artefact(writes("z"), kind="corrupted")).read_text() == "z"
    assert entry.read_text() == "x"


@pytest.mark.parametrize("error", [OSError("the user's own"), ValueError("no"), KeyboardInterrupt()])
def test_a_maker_that_fails_leaves_nothing(tmp_path, error):
    def fail():
        raise error

    store = Store(str(tmp_path / "store"))
    with pytest.raises(type(error)) as caught:
        store.obtain(artefact(fail))
    assert caught.value is error
    assert caught.value.__context__ is None
    assert files_of(tmp_path / "store") == [".gitignore"]
    assert store.obtain(artefact(writes("whole"))).read_text() == "whole"


def number(path):
    return int(path.read_text())


def test_what_cannot_be_read_is_made_anew(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.obtain(artefact(writes("one")))
    assert store.read(artefact(writes("1")), number) == 1
    assert store.read(artefact(never), number) == 1
    with pytest.raises(ValueError, match="two"):
        store.read(artefact(writes("two"), "other"), number)


def test_a_maker_that_fails_is_not_asked_twice(tmp_path):
    asked = []

    def fail():
        asked.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Store(str(tmp_path / "store")).read(artefact(fail), number)
    assert len(asked) == 1


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


def test_of_many_processes_one_makes_what_is_damaged(worker, wait_until, result_of, tmp_path):
    place = tmp_path / "store" / "base" / "key.bin"
    place.parent.mkdir(parents=True)
    place.write_text("damaged")
    processes = [worker("remember") for _ in range(4)]
    wanted = [tmp_path / f"{process.pid} wants it" for process in processes]
    wait_until(lambda: all(path.exists() for path in wanted), *processes)
    (tmp_path / "go on").touch()
    found = sorted(result_of(process) for process in processes)
    kept = "Remembered(content='whole', reused={}, problem='')"
    assert found == [kept.format("False"), *[kept.format("True")] * 3]
    assert len((tmp_path / "log").read_text().split()) == 1


def test_others_wait_for_a_killed_maker_no_longer_than_it_lives(worker, wait_until, result_of, tmp_path):
    maker = worker("remember")
    wait_until((tmp_path / "log").exists, maker)
    waiter = worker("remember")
    wait_until((tmp_path / f"{waiter.pid} wants it").exists, waiter)
    time.sleep(0.3)  # time to do what it must not; a slow machine only sees less of it
    assert waiter.poll() is None
    os.kill(maker.pid, signal.SIGKILL)
    (tmp_path / "go on").touch()
    assert result_of(waiter) == "Remembered(content='whole', reused=False, problem='')"
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


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
@pytest.mark.parametrize("anew", [False, True])
def test_what_cannot_be_written_is_given_anyway(store, error, anew):
    def full(content, path):
        path.write_text(str(content)[:1])
        raise error

    asked = []
    found = store.remember(Kind("number", ".txt", full, number), "key", counted(asked, 34), anew=anew)
    told = f"store {store.root}: cannot be written ({error.args[-1]}); numbers measured so far are safe; "
    told += "make room there, or give another with --prunecal-store"
    assert found == Remembered(34, problem=told)
    assert len(asked) == 1
    assert files_of(store.root) == [".gitignore"]


@pytest.mark.parametrize("anew", [False, True])
def test_a_folder_that_cannot_be_made_loses_nothing(store, anew):
    (store.root / "number").write_text("in the way")
    asked = []
    found = store.remember(NUMBER, "key", counted(asked), anew=anew)
    assert (found.content, found.reused, len(asked)) == (3, False, 1)
    assert found.problem.startswith(f"store {store.root}: cannot be written (File exists); numbers ")


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


def test_the_folder_keeps_itself_out_of_git(tmp_path):
    Store(str(tmp_path / "store"))
    ignore = tmp_path / "store" / ".gitignore"
    assert ignore.read_text().splitlines()[-1] == "*"
    ignore.write_text("mine")
    Store(str(tmp_path / "store"))
    assert ignore.read_text() == "mine"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrunecalError, match=r"^store .*file/store: cannot be written \(.+\); give another"):
        Store(str(tmp_path / "file" / "store"))
    with pytest.raises(PrunecalError, match=r"^store nosuch://x: .*nosuch"):
        Store("nosuch://x")


@pytest.fixture(params=["memory", "local"])
def url(request, tmp_path):
    if request.param == "local":
        return f"local://{tmp_path}/remote"
    return f"memory://prunecal-{uuid.uuid4().hex}"


def machine(url, home, monkeypatch):
    """The store as another machine has it: with a cache of its own."""
    monkeypatch.setenv("HOME", str(home))
    store = Store(url)
    assert store.root.is_relative_to(home)
    return store


def remote_files(url):
    """Entries and whatever else lies there but checksums, of which each entry has one."""
    filesystem, root = fsspec.core.url_to_fs(url)
    found = [path.removeprefix(f"{root}/") for path in filesystem.find(root)]
    entries = {path for path in found if not path.startswith("checksums/")}
    assert {path.removeprefix("checksums/") for path in found} == entries
    return sorted(path.rpartition("/")[2] for path in entries)


def test_machines_share_what_one_of_them_made(url, tmp_path, monkeypatch):
    first = machine(url, tmp_path / "first", monkeypatch)
    assert first.obtain(artefact(writes("whole"))).read_text() == "whole"
    assert remote_files(url) == ["key.bin"]
    second = machine(url, tmp_path / "second", monkeypatch)
    entry = second.obtain(artefact(never))
    assert entry.read_text() == "whole"
    assert entry.is_relative_to(tmp_path / "second")
    # Once here, it is not fetched again.
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.rm(root, recursive=True)
    assert second.obtain(artefact(never)) == entry


def test_two_urls_do_not_share_a_cache(tmp_path, monkeypatch):
    names = [f"memory://{uuid.uuid4().hex}" for _ in range(2)]
    roots = {machine(name, tmp_path, monkeypatch).root for name in names}
    assert len(roots) == 2


def test_a_failed_upload_leaves_nothing(url, tmp_path, monkeypatch):
    store = machine(url, tmp_path / "home", monkeypatch)

    def refuse(*_, **__):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(store._remote.files, "put_file", refuse)
        with pytest.raises(PrunecalError, match=rf"^store {url}: cannot be written \(no space\); numbers "):
            store.obtain(artefact(writes("whole")))
    assert files_of(store.root) == [".gitignore"]
    assert store.obtain(artefact(writes("again"))).read_text() == "again"
    assert remote_files(url) == ["key.bin"]


def test_a_failed_download_leaves_nothing(url, tmp_path, monkeypatch):
    machine(url, tmp_path / "first", monkeypatch).obtain(artefact(writes("whole")))
    store = machine(url, tmp_path / "second", monkeypatch)

    def cut(_, local, **__):
        with open(local, "w") as file:  # noqa: PTH123 - fsspec passes a text
            file.write("wh")
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(store._remote.files, "get_file", cut)
        with pytest.raises(PrunecalError, match=rf"^store {url}: cannot be written \(connection lost\); "):
            store.obtain(artefact(never))
    assert files_of(store.root) == [".gitignore"]
    assert store.obtain(artefact(never)).read_text() == "whole"


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
        patch.setattr(store._remote.files, broken, refuse)
        found = store.remember(NUMBER, "key", counted(asked))
    told = (
        f"store {url}: cannot be written (connection lost); numbers measured so far are safe; mend that, or "
    )
    assert found == Remembered(3, problem=f"{told}give another with --prunecal-store")
    assert len(asked) == 1
    assert files_of(store.root) == [".gitignore"]


def test_a_url_heals_what_was_damaged_here(url, tmp_path, monkeypatch):
    one = machine(url, tmp_path / "home", monkeypatch)
    entry = one.obtain(artefact(writes("whole")))
    entry.write_text("holes")
    assert one.obtain(artefact(never)).read_text() == "whole"


@pytest.mark.parametrize("which", ["base/key.bin", "checksums/base/key.bin"])
def test_a_url_with_a_damaged_entry_is_healed(url, tmp_path, monkeypatch, which):
    machine(url, tmp_path / "first", monkeypatch).obtain(artefact(writes("whole")))
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.pipe_file(f"{root}/{which}", b"holes")
    second = machine(url, tmp_path / "second", monkeypatch)
    assert second.obtain(artefact(writes("again"))).read_text() == "again"
    third = machine(url, tmp_path / "third", monkeypatch)
    assert third.obtain(artefact(never)).read_text() == "again"


def test_an_error_of_a_driver_is_one_of_the_store(url, tmp_path, monkeypatch):
    store = machine(url, tmp_path / "home", monkeypatch)

    def refuse(*_, **__):
        raise RuntimeError("403\nforbidden")

    with monkeypatch.context() as patch:
        patch.setattr(store._remote.files, "put_file", refuse)
        found = store.remember(NUMBER, "key", lambda: 3)
    assert found.content == 3
    assert found.problem.startswith(f"store {url}: cannot be written (RuntimeError: 403 forbidden); numbers ")


ODD = ["ftp://localhost:1/x", "zip://x", "data://x", "http://localhost:1/x", "://x", "nosuch://x", "a\0b"]


@pytest.mark.parametrize("odd", ODD)
def test_a_url_that_cannot_be_written_is_refused_in_one_sentence(odd):
    with pytest.raises(PrunecalError) as caught:
        Store(odd).check_writable()
    text = str(caught.value)
    assert text.startswith(f"store {odd}: cannot be written (")
    assert text.endswith("); give another with --prunecal-store")
    assert "\n" not in text


def bad_places(folder):
    (folder / "file").write_text("")
    (folder / "loop").symlink_to(folder / "loop")
    return {
        "a file": folder / "file",
        "a symbolic link to itself": folder / "loop",
        "below it": folder / "loop" / "store",
        "a long name": folder / ("x" * 300),
    }


@pytest.mark.parametrize("what", ["a file", "a symbolic link to itself", "below it", "a long name"])
def test_a_place_that_is_none_is_refused_in_one_sentence(tmp_path, what):
    place = bad_places(tmp_path)[what]
    with pytest.raises(PrunecalError) as caught:
        Store(str(place))
    assert str(caught.value).startswith(f"store {place}: cannot be written (")
    assert "\n" not in str(caught.value)


def test_a_folder_of_the_users_is_not_kept_out_of_git(tmp_path):
    (tmp_path / "mine.py").write_text("")
    for _ in range(2):
        Store(str(tmp_path)).obtain(artefact(writes("x")))
    assert not (tmp_path / ".gitignore").exists()


@pytest.fixture
def full(monkeypatch):
    """A disk that takes no more, wherever something is flushed to it."""

    def refuse(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    return monkeypatch


def test_what_cannot_be_kept_is_refused_in_one_sentence(store, full):
    with pytest.raises(PrunecalError) as caught:
        store.obtain(artefact(writes("x")))
    assert str(caught.value) == (
        f"store {store.root}: cannot be written (No space left on device); numbers measured so far are safe; "
        "make room there, or give another with --prunecal-store"
    )
    assert caught.value.__cause__ is None
    full.undo()
    assert store.obtain(artefact(writes("x"))).read_text() == "x"


@pytest.mark.parametrize("broken", ["disk", "lock"])
def test_what_is_dear_is_put_aside_and_made_once(store, full, broken):
    if broken == "lock":
        full.undo()
        shutil.rmtree(store.root / "locks")
        (store.root / "locks").write_text("in the way")
    aside = store.obtain(artefact(writes("dear"), dear=True))
    assert aside.read_text() == "dear"
    assert not aside.is_relative_to(store.root)
    assert store.read(artefact(never, dear=True), lambda path: path.read_text()) == "dear"
    with pytest.raises(PrunecalError, match=rf"^store {store.root}: cannot be written \("):
        store.find("base/key.bin")


def test_a_disk_that_can_only_be_read_gives_what_it_has(store, monkeypatch):
    store.obtain(artefact(writes("x")))
    store.remember(NUMBER, "key", lambda: 3)

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(atomic.os, "open", refuse)
    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    assert store.obtain(artefact(never)).read_text() == "x"
    assert store.remember(NUMBER, "key", never) == Remembered(3, reused=True)
    assert store.remember(NUMBER, "other", lambda: 4) == Remembered(
        4,
        problem=f"store {store.root}: cannot be written (Read-only file system); numbers measured so far are "
        "safe; make it writable, or give another with --prunecal-store",
    )


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(37, "No locks available")])
def test_a_file_system_without_locks_is_none_the_worse(store, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    assert store.obtain(artefact(writes("x"))).read_text() == "x"
    assert store.attempt(artefact(writes("y"), "other")).read_text() == "y"
    assert store.remember(NUMBER, "key", lambda: 3) == Remembered(3)
    assert store.remember(NUMBER, "key", never) == Remembered(3, reused=True)


def left(store, place):
    path = store.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    return path


LEFT = ["base/.key.bin.0123.partial", "number/.old.txt.0123.partial", "checksums/base/.old.bin.0123.partial"]


def test_what_killed_processes_left_is_removed(store):
    paths = [left(store, place) for place in LEFT]
    store.obtain(artefact(writes("x")))
    assert not any(path.exists() for path in paths)
    assert files_of(store.root) == [".gitignore", "key.bin"]


def test_what_another_process_is_writing_stays(maker, tmp_path):
    store = Store(str(tmp_path / "store"))
    store.obtain(artefact(writes("x"), "other"))
    assert list((store.root / "base").glob(".key.bin.*.partial"))
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    Store(str(store.root)).obtain(artefact(writes("x"), "third"))
    assert files_of(store.root) == [".gitignore", "other.bin", "third.bin"]


def test_without_locks_only_what_is_old_is_removed(store, monkeypatch):
    new, old = (left(store, f"base/.{name}.bin.0123.partial") for name in ("new", "old"))
    os.utime(old, (0, 0))

    def refuse(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    store.obtain(artefact(writes("x")))
    assert (new.exists(), old.exists()) == (True, False)


def test_uploads_that_were_killed_are_removed_when_they_are_old(tmp_path, monkeypatch):
    url = f"local://{tmp_path}/remote"
    one = machine(url, tmp_path / "home", monkeypatch)
    new, old = (tmp_path / "remote" / "base" / f"key.bin.{name}.partial" for name in ("new", "old"))
    new.parent.mkdir(parents=True)
    new.write_text("")
    old.write_text("")
    os.utime(old, (0, 0))
    one.obtain(artefact(writes("x")))
    assert (new.exists(), old.exists()) == (True, False)
