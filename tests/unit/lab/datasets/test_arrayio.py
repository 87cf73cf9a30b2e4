"""Arrays from files of unknown origin: never unpickled, and every fault of theirs is one line."""

import io
import pickle

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
