"""Where a data set named by a path lies."""

import numpy as np

from pytest_prunecal.lab.datasets.load import load


def test_arrays_paths_are_relative_to_the_data_directory_else_to_the_current_one(
    four_arrays, says, tmp_path, monkeypatch
):
    np.savez(tmp_path / "my.npz", **four_arrays())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    by_root = load({"name": "arrays", "path": "my.npz"}, tmp_path)
    assert load({"name": "arrays", "path": str(tmp_path / "my.npz")}, elsewhere).digest == by_root.digest
    with says("there is no", "my.npz"):
        load({"name": "arrays", "path": "my.npz"}, None)
    monkeypatch.chdir(tmp_path)
    assert load({"name": "arrays", "path": "my.npz"}, None).digest == by_root.digest
    with says("path", "--prunecal-data"):
        load({"name": "arrays"}, None)
    with says("path is 3"):
        load({"name": "arrays", "path": 3}, tmp_path)
