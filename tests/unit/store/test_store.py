"""The store: each entry made once, never half, whoever dies; a URL shares entries between machines."""

import os
import signal
import subprocess
import sys
import time
import uuid

import fsspec
import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.store.store import Artefact, Store

WORKER = """
import os, sys, time
from pathlib import Path
from pytest_prunecal.store.store import Artefact, Store

root, log, delay = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])

def write(path):
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    path.write_bytes(b"half")
    time.sleep(delay)
    path.write_bytes(b"whole")

print(Store(root).obtain(Artefact("base", "key", ".bin", write)).read_text())
"""


@pytest.fixture
def worker(tmp_path):
    """Start a process that wants the entry; it takes its time making it."""
    started = []

    def start(delay):
        arguments = [str(tmp_path / "store"), str(tmp_path / "log"), str(delay)]
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
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


def result_of(process):
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return output.strip()


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def files_of(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def writes(content):
    return lambda path: path.write_text(content)


def never(path):
    raise AssertionError(f"{path} is made again")


def test_of_many_processes_one_makes_it(worker, tmp_path):
    processes = [worker(0.3) for _ in range(4)]
    assert [result_of(process) for process in processes] == ["whole"] * 4
    assert len((tmp_path / "log").read_text().split()) == 1
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


def test_a_killed_maker_blocks_nobody_and_leaves_nothing(worker, tmp_path):
    entry = tmp_path / "store" / "base" / "key.bin"
    maker = worker(60)
    wait_for(entry.with_name(".key.bin.partial"))
    waiter = worker(0)
    time.sleep(0.3)
    assert waiter.poll() is None
    assert not entry.exists()
    os.kill(maker.pid, signal.SIGKILL)
    assert result_of(waiter) == "whole"
    assert maker.wait() == -signal.SIGKILL
    assert len((tmp_path / "log").read_text().split()) == 2
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


def test_an_attempt_does_not_wait_for_another_process(worker, tmp_path):
    store, entry = Store(str(tmp_path / "store")), tmp_path / "store" / "base" / "key.bin"
    maker = worker(60)
    wait_for(entry.with_name(".key.bin.partial"))
    assert store.attempt(Artefact("base", "key", ".bin", never)) is None
    assert store.attempt(Artefact("base", "other", ".bin", writes("x"))).read_text() == "x"
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    assert store.attempt(Artefact("base", "key", ".bin", writes("y"))) == entry
    assert store.attempt(Artefact("base", "key", ".bin", never)).read_text() == "y"


def test_after_a_crash_the_next_run_makes_it(worker, tmp_path):
    maker = worker(60)
    wait_for(tmp_path / "store" / "base" / ".key.bin.partial")
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    assert not (tmp_path / "store" / "base" / "key.bin").exists()
    store = Store(str(tmp_path / "store"))
    assert store.obtain(Artefact("base", "key", ".bin", writes("new"))).read_text() == "new"
    assert files_of(tmp_path / "store") == [".gitignore", "key.bin"]


def test_an_entry_is_found_again(tmp_path):
    url = str(tmp_path / "store")
    entry = Store(url).obtain(Artefact("base", "key", ".bin", writes("x")))
    assert entry == tmp_path / "store" / "base" / "key.bin"
    assert Store(url).obtain(Artefact("base", "key", ".bin", never)) == entry
    assert Store(f"file://{url}").obtain(Artefact("base", "key", ".bin", never)) == entry
    assert Store(url).obtain(Artefact("base", "other", ".bin", writes("y"))).read_text() == "y"
    assert Store(url).obtain(Artefact("corrupted", "key", ".bin", writes("z"))).read_text() == "z"
    assert entry.read_text() == "x"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_maker_that_fails_leaves_nothing(tmp_path, error):
    def fail(path):
        path.write_text("half")
        raise error

    store = Store(str(tmp_path / "store"))
    with pytest.raises(type(error)):
        store.obtain(Artefact("base", "key", ".bin", fail))
    assert files_of(tmp_path / "store") == [".gitignore"]
    assert store.obtain(Artefact("base", "key", ".bin", writes("whole"))).read_text() == "whole"


def number(path):
    return int(path.read_text())


def test_what_cannot_be_read_is_made_anew(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.obtain(Artefact("base", "key", ".bin", writes("one")))
    assert store.read(Artefact("base", "key", ".bin", writes("1")), number) == 1
    assert store.read(Artefact("base", "key", ".bin", never), number) == 1
    with pytest.raises(ValueError, match="two"):
        store.read(Artefact("base", "other", ".bin", writes("two")), number)


def test_a_maker_that_fails_is_not_asked_twice(tmp_path):
    asked = []

    def fail(path):
        asked.append(path)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Store(str(tmp_path / "store")).read(Artefact("base", "key", ".bin", fail), number)
    assert len(asked) == 1


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
    filesystem, root = fsspec.core.url_to_fs(url)
    return sorted(path.rpartition("/")[2] for path in filesystem.find(root))


def test_machines_share_what_one_of_them_made(url, tmp_path, monkeypatch):
    first = machine(url, tmp_path / "first", monkeypatch)
    assert first.obtain(Artefact("base", "key", ".bin", writes("whole"))).read_text() == "whole"
    assert remote_files(url) == ["key.bin"]
    second = machine(url, tmp_path / "second", monkeypatch)
    entry = second.obtain(Artefact("base", "key", ".bin", never))
    assert entry.read_text() == "whole"
    assert entry.is_relative_to(tmp_path / "second")
    # Once here, it is not fetched again.
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.rm(root, recursive=True)
    assert second.obtain(Artefact("base", "key", ".bin", never)) == entry


def test_two_urls_do_not_share_a_cache(tmp_path, monkeypatch):
    names = [f"memory://{uuid.uuid4().hex}" for _ in range(2)]
    roots = {machine(name, tmp_path, monkeypatch).root for name in names}
    assert len(roots) == 2


def test_a_failed_upload_leaves_nothing(url, tmp_path, monkeypatch):
    store = machine(url, tmp_path / "home", monkeypatch)

    def refuse(*_, **__):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(store._remote, "put_file", refuse)
        with pytest.raises(OSError, match="no space"):
            store.obtain(Artefact("base", "key", ".bin", writes("whole")))
    assert files_of(store.root) == [".gitignore"]
    assert store.obtain(Artefact("base", "key", ".bin", writes("again"))).read_text() == "again"
    assert remote_files(url) == ["key.bin"]


def test_a_failed_download_leaves_nothing(url, tmp_path, monkeypatch):
    machine(url, tmp_path / "first", monkeypatch).obtain(Artefact("base", "key", ".bin", writes("whole")))
    store = machine(url, tmp_path / "second", monkeypatch)

    def cut(_, local, **__):
        with open(local, "w") as file:  # noqa: PTH123 - fsspec passes a text
            file.write("wh")
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(store._remote, "get_file", cut)
        with pytest.raises(OSError, match="connection lost"):
            store.obtain(Artefact("base", "key", ".bin", never))
    assert files_of(store.root) == [".gitignore"]
    assert store.obtain(Artefact("base", "key", ".bin", never)).read_text() == "whole"
