"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_prunecal.study import whole_file as atomic
from pytest_prunecal.study.whole_file import leftovers, written_whole


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.txt"


def write(path, text, during=None):
    with written_whole(path) as passing:
        passing.write_text(text)
        if during:
            during(passing)


def test_it_takes_its_place_when_it_is_whole(path):
    seen = []
    path.write_text("old")
    write(path, "new", lambda passing: seen.append((passing.parent, passing.read_text(), path.read_text())))
    assert seen == [(path.parent, "new", "old")]
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("no"), KeyboardInterrupt()])
def test_what_fails_leaves_what_was_there(path, error):
    def fail(_):
        raise error

    path.write_text("old")
    with pytest.raises(type(error)) as caught:
        write(path, "new", fail)
    assert caught.value is error
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_nobody_can_guess_its_passing_name_and_no_link_is_followed(path, monkeypatch):
    names = set()
    for _ in range(3):
        write(path, "x", lambda passing: names.add(passing.name))
    assert len(names) == 3
    target = path.parent / "target"
    target.write_text("mine")
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda _: "guessed")
    (path.parent / ".kept.txt.guessed.partial").symlink_to(target)
    with pytest.raises(FileExistsError):
        write(path, "y")
    assert target.read_text() == "mine"


def test_the_content_is_on_the_disk_before_its_name_and_the_name_before_all_is_done(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def flushed(file):
        done.append("folder" if Path(f"/proc/self/fd/{file}").is_dir() else "file")
        fsync(file)

    monkeypatch.setattr(atomic.os, "fsync", flushed)
    monkeypatch.setattr(os, "rename", lambda *_: pytest.fail("Windows replaces nothing so"))
    monkeypatch.setattr(type(path), "replace", lambda *names: done.append("name") or replace(*names))
    write(path, "x")
    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize(("number", "told"), [(22, False), (28, True)])
def test_a_file_system_that_flushes_no_folders_is_none_the_worse(path, monkeypatch, number, told):
    fsync = os.fsync

    def refuse(file):
        if Path(f"/proc/self/fd/{file}").is_dir():
            raise OSError(number, "no")
        fsync(file)

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    if told:
        with pytest.raises(OSError, match="no"):
            write(path, "x")
    else:
        write(path, "x")
    assert path.read_text() == "x"


def test_what_was_left_tells_what_it_was_to_become(path):
    write(path, "x", lambda passing: (path.parent / passing.name.replace("kept", "lost")).write_text(""))
    ((left, name),) = leftovers(path.parent)
    assert (left.exists(), name) == (True, "lost.txt")
