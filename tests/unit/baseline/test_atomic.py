"""Files are whole or not there, and what a kill leaves behind goes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytest_prunecal.baseline.atomic import make_folder, sweep, write_atomically


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a.yaml"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_stay_and_new_files_have_the_usual_ones(tmp_path):
    usual, path = tmp_path / "usual", tmp_path / "a.yaml"
    usual.touch()
    write_atomically(path, b"old")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_one_where_it_is_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"new")
    write_atomically(link, b"newer", follow=False)
    assert (link.is_symlink(), link.read_bytes(), target.read_bytes()) == (False, b"newer", b"new")


def test_what_is_no_file_is_written_to_and_not_replaced():
    null = Path(os.devnull)
    write_atomically(null, b"gone")
    assert null.is_char_device()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch, step):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_somebody_guessed_is_not_followed(tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    monkeypatch.setattr("secrets.token_hex", lambda count: "00" * count)
    (tmp_path / ".a.yaml.0000000000000000.partial").symlink_to(outside)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a.yaml", b"new")
    assert outside.read_bytes() == b"precious"


def test_names_reach_the_disk_after_contents(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *args, **more: (done.append("replace"), replace(*args, **more)))
    write_atomically(tmp_path / "a.yaml", b"new")
    assert done == [False, "replace", True]


def test_folders_are_made_and_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("pytest_prunecal.baseline.atomic.fsync_folder", synced.append)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert set(synced) == {tmp_path, tmp_path / "a"}


def test_passing_files_of_the_dead_are_swept(tmp_path):
    left = [".a.yaml.0123abcd.partial", ".b.yaml.0123abcd.partial", "a.yaml", ".a.yaml.notes.txt"]
    for name in left:
        (tmp_path / name).touch()
    sweep(tmp_path, r"a\.yaml", locked=False)
    assert {path.name for path in tmp_path.iterdir()} == set(left)  # somebody may be writing it just now
    os.utime(tmp_path / left[0], (1, 1))
    sweep(tmp_path, r"a\.yaml", locked=False)
    assert {path.name for path in tmp_path.iterdir()} == set(left[1:])
    sweep(tmp_path, r"b\.yaml", locked=True)
    assert {path.name for path in tmp_path.iterdir()} == set(left[2:])
