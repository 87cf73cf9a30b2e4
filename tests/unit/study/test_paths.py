"""Paths as people write them: `~`, and one sentence for whatever the file system refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import paths


def test_a_path_is_what_it_says_but_for_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.written("a/../b", tmp_path, "it") == tmp_path / "a/../b"
    assert paths.written("/b", tmp_path, "it") == Path("/b")
    assert paths.written("~/b", tmp_path, "it") == Path("/home/me/b")
    assert paths.written("a~/~b", tmp_path, "it") == tmp_path / "a~/~b"
    assert paths.written("./~b", tmp_path, "it") == tmp_path / "~b"


@pytest.mark.parametrize(
    ("text", "says"),
    [("a\0", "NUL"), ("~nobody-at-all", "is nobody's home folder"), ("a\udcff", "is no UTF-8")],
)
def test_what_is_no_path(tmp_path, text, says):
    with pytest.raises(PrunecalError, match=f"^it: .*{says}"):
        paths.written(text, tmp_path, "it")


def test_what_lies_there(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert {name: paths.found(tmp_path / name, "it") for name in ("", "file", "link", "pipe")} == {
        "": "a folder",
        "file": "a file",
        "link": "a file",
        "pipe": "neither a file nor a folder",
    }
    for name in ("nowhere", "dangling", "file/below"):
        assert paths.found(tmp_path / name, "it") == ""


@pytest.mark.parametrize(
    ("name", "says"), [("x" * 300, "File name too long"), ("loop", "Too many levels of symbolic links")]
)
def test_what_the_file_system_refuses(tmp_path, name, says):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PrunecalError, match=f"^it: {says}$"):
        paths.found(tmp_path / name, "it")


def test_what_may_not_be_looked_at(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x")

    monkeypatch.setattr(Path, "stat", denied)  # no mode keeps the root user out
    with pytest.raises(PrunecalError, match=r"^it: Permission denied$"):
        paths.found(tmp_path, "it")
