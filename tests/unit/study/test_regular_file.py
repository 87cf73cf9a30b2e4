"""Reading a file: nothing that waits, nothing that is too large."""

import os

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.regular_file import read


def refused(path, most=10):
    with pytest.raises(PrunecalError) as error:
        read(path, "f.zip", most, "delete it")
    return str(error.value)


def test_a_file_is_read(tmp_path):
    place = tmp_path / "f.zip"
    with pytest.raises(FileNotFoundError):
        read(place, "f.zip", 10, "")
    place.write_bytes(b"0123456789")
    assert read(place, "f.zip", 10, "") == b"0123456789"
    (tmp_path / "link").symlink_to(place)
    assert read(tmp_path / "link", "f.zip", 10, "") == b"0123456789"


def test_what_is_no_file_is_refused_at_once(tmp_path):
    place = tmp_path / "f.zip"
    os.mkfifo(place)
    assert refused(place) == "f.zip: is a named pipe, not a regular file; put the file itself there"
    (tmp_path / "device").symlink_to("/dev/zero")
    assert "is a device, not a regular file; " in refused(tmp_path / "device")
    assert "is a directory, not a regular file; " in refused(tmp_path)


def test_a_large_file_is_not_read(tmp_path):
    place = tmp_path / "f.zip"
    with place.open("wb") as file:
        file.truncate(2**40)  # a terabyte of holes
    assert refused(place) == f"f.zip: has {2**40} bytes, more than 10; delete it"


def test_what_the_file_system_says_is_said(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop").startswith("f.zip: cannot be read: Too many levels")
    assert refused(tmp_path / ("n" * 300)) == "f.zip: cannot be read: File name too long"
