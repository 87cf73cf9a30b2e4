"""Files named by their first bytes."""

from __future__ import annotations

import pytest

from pytest_prunecal.study import file_kind

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (POINTER, file_kind.LFS),
        (b"prunecal: 1\n<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> theirs\n", file_kind.CONFLICT),
        (b"<<<<<<< HEAD\r\na\r\n=======\r\n>>>>>>> theirs\r\n", file_kind.CONFLICT),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x80\x02}", "a pickle"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"GGUF\x03", "a GGUF file"),
        (b"\x93NUMPY\x01", "a numpy array"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"", ""),
        (b"\x80\x01\x00\x00\x00\x00\x00\x00{", ""),
        (b"prunecal: 1\n=======\n", ""),
    ],
)
def test_kinds(head, kind):
    assert file_kind.kind_of(head) == kind


def test_a_file_that_is_something_else(tmp_path):
    path = tmp_path / "x_train.npy"
    assert file_kind.mistaken(path) == ""
    path.write_bytes(POINTER)
    assert file_kind.mistaken(path, "a numpy array") == file_kind.LFS
    path.write_bytes(b"\x93NUMPY, and then it breaks off")
    assert file_kind.mistaken(path, "a numpy array") == ""
