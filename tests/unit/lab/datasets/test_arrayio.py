"""Arrays from files of unknown origin: never unpickled, and every fault of theirs is one line."""

import io
import os
import pickle
import zipfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.load import load


def test_arrays_never_unpickle(trap, four_arrays, says, tmp_path):
    traps = np.array([trap] * 6, dtype=object)
    np.savez(tmp_path / "my.npz", **(four_arrays() | {"y_train": traps}), allow_pickle=True)
    with says("my.npz", "y_train", "cannot be read", "wanted integers"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    for key, array in four_arrays().items():
        np.save(tmp_path / f"{key}.npy", array)
    np.save(tmp_path / "y_train.npy", traps, allow_pickle=True)
    with says("y_train.npy", "cannot be read", "wanted integers"):
        load({"name": "arrays"}, tmp_path)
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(trap))
    with says("bare.npz", "cannot be read"):
        load({"name": "arrays", "path": "bare.npz"}, tmp_path)
    assert not trap.path.exists()


def test_files_under_a_wrong_name(four_arrays, says, tmp_path):
    with (tmp_path / "my.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with says("my.npz", "one bare array", ".npz archive"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    for key, array in four_arrays().items():
        np.save(tmp_path / f"{key}.npy", array)
    with (tmp_path / "x_test.npy").open("wb") as stream:
        np.savez(stream, a=np.zeros(3))
    with says("x_test.npy", "archive of arrays"):
        load({"name": "arrays"}, tmp_path)


def complaint(spec, root):
    try:
        load(spec, root)
    except PrunecalError as error:
        return str(error)
    return ""


@settings(max_examples=80)
@given(data=st.data())
def test_broken_bytes_never_escape_as_another_error(four_arrays, tmp_path_factory, data):
    tmp_path = tmp_path_factory.mktemp("broken")
    packed = io.BytesIO()
    data.draw(st.sampled_from([np.savez, np.savez_compressed]))(packed, **four_arrays(2, 2, 1, 2))
    content = bytearray(packed.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 10, 0]))]
    (tmp_path / "my.npz").write_bytes(content)
    header = io.BytesIO()
    np.save(header, four_arrays(2, 2, 1, 2)["x_train"])
    broken = bytearray(header.getvalue())
    broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    for key, array in four_arrays(2, 2, 1, 2).items():
        np.save(tmp_path / f"{key}.npy", array)
    (tmp_path / "x_train.npy").write_bytes(broken)
    for spec in ({"path": "my.npz"}, {}):
        assert "\n" not in complaint({"name": "arrays", **spec}, tmp_path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


def test_git_lfs_pointers_are_named(four_arrays, says, tmp_path):
    (tmp_path / "my.npz").write_bytes(POINTER)
    with says("my.npz cannot be read: it is a Git LFS pointer", "`git lfs pull`", "wanted a .npz archive"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    for key, array in four_arrays().items():
        np.save(tmp_path / f"{key}.npy", array)
    (tmp_path / "y_test.npy").write_bytes(POINTER)
    with says("y_test.npy cannot be read: it is a Git LFS pointer", "wanted integers"):
        load({"name": "arrays"}, tmp_path)


def test_a_member_that_is_no_array(four_arrays, says, tmp_path):
    np.savez(tmp_path / "my.npz", **{key: one for key, one in four_arrays().items() if key != "y_test"})
    with zipfile.ZipFile(tmp_path / "my.npz", "a") as archive:
        archive.writestr("y_test", b"no array")
    with says("my.npz: y_test cannot be read: it is no array", "wanted integers"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)


def test_an_archive_that_unfolds_into_far_more_than_it_is(four_arrays, says, tmp_path, monkeypatch):
    bomb = four_arrays() | {"x_train": np.zeros((6, 1000, 1000, 3), np.uint8)}
    np.savez_compressed(tmp_path / "bomb.npz", **bomb)
    np.savez(tmp_path / "plain.npz", **bomb)
    monkeypatch.setattr("pytest_prunecal.lab.datasets.arrayio._UNPACKED", 1 << 20)
    with says("bomb.npz has ", " bytes and unfolds into 18,", "over 200 times as many", "np.savez"):
        load({"name": "arrays", "path": "bomb.npz"}, tmp_path)
    with says("one size"):  # what is not compressed is read
        load({"name": "arrays", "path": "plain.npz"}, tmp_path)
    # Arrays that are not asked for are not read.
    np.savez_compressed(tmp_path / "more.npz", **four_arrays(), more=bomb["x_train"])
    assert len(load({"name": "arrays", "path": "more.npz"}, tmp_path).train_labels) == 6


def test_places_that_are_no_files(says, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, words in {
        "pipe": ("pipe is neither a file nor a folder",),
        "loop": ("loop: Too many levels of symbolic links",),
        "x" * 300: ("File name too long",),
        "nowhere": ("there is no ", "nowhere"),
        "~nobody-at-all": ("~nobody-at-all is nobody's home folder",),
    }.items():
        with says("data set 'arrays': ", *words):
            load({"name": "arrays", "path": path}, tmp_path)


def test_a_path_in_the_home_folder(four_arrays, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "my.npz", **four_arrays())
    assert load({"name": "arrays", "path": "~/my.npz"}, tmp_path / "elsewhere").classes == 3
