"""Data sets of four arrays, in one file or a folder, and the real CIFAR-10 as such."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prunecal.lab.datasets.load import load


@settings(max_examples=40)
@given(data=st.data())
def test_arrays_come_back_as_they_were_written(tmp_path_factory, data):
    tmp_path = tmp_path_factory.mktemp("arrays")
    height, width, classes = (data.draw(st.integers(low, 6)) for low in (1, 1, 2))
    label_type = data.draw(st.sampled_from(["u1", "i1", "<i4", ">i8", "u8"]))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    written = {}
    for part in ("train", "test"):
        count = data.draw(st.integers(1, 5))
        written[f"x_{part}"] = draw.integers(256, size=(count, height, width, 3), dtype=np.uint8)
        written[f"y_{part}"] = draw.integers(classes, size=count).astype(label_type)
    if data.draw(st.booleans(), label="column-major"):
        written["x_train"] = np.asfortranarray(written["x_train"])
    pack = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    pack(tmp_path / "all.npz", **written, unrelated=np.zeros(3))
    for key, array in written.items():
        np.save(tmp_path / f"{key}.npy", array)

    for spec in ({"path": "all.npz"}, {}):
        dataset = load({"name": "arrays", "classes": classes, **spec}, tmp_path)
        for part in ("train", "test"):
            images, labels = getattr(dataset, f"{part}_images"), getattr(dataset, f"{part}_labels")
            np.testing.assert_array_equal(images.permute(0, 2, 3, 1), written[f"x_{part}"])
            np.testing.assert_array_equal(labels, written[f"y_{part}"])


def test_arrays_count_their_classes_and_load_the_same_twice(four_arrays, tmp_path):
    np.savez(tmp_path / "my.npz", **four_arrays(classes=3))
    first, second = (load({"name": "arrays", "path": "my.npz"}, tmp_path) for _ in range(2))
    assert first.classes == 3
    assert first.digest == second.digest


def test_arrays_in_a_folder_are_mapped_and_their_tensors_writable(four_arrays, tmp_path, monkeypatch):
    for key, array in four_arrays().items():
        np.save(tmp_path / f"{key}.npy", array)
    modes = []
    plain = np.load
    monkeypatch.setattr(np, "load", lambda *a, **k: modes.append(k) or plain(*a, **k))
    dataset = load({"name": "arrays"}, tmp_path)
    assert modes == [{"mmap_mode": "r", "allow_pickle": False}] * 4
    dataset.train_images.zero_()
    assert (np.load(tmp_path / "x_train.npy") == four_arrays()["x_train"]).all()


WRONG_ARRAYS = [
    ("x_train", np.zeros((6, 5, 5, 3)), ("x_train is float64", "wanted uint8 of shape (N, H, W, 3)")),
    ("x_train", np.zeros((6, 3, 5, 5), np.uint8), ("x_train is uint8 of shape (6, 3, 5, 5)", "(N, H, W, 3)")),
    ("x_test", np.zeros((4, 5, 5), np.uint8), ("x_test is uint8 of shape (4, 5, 5)",)),
    ("x_test", np.zeros((0, 5, 5, 3), np.uint8), ("x_test is uint8 of shape (0, 5, 5, 3)", "N >= 1")),
    ("x_test", np.zeros((4, 6, 6, 3), np.uint8), ("5x5", "6x6", "one size")),
    ("y_train", np.zeros(6), ("y_train is float64", "wanted integers of shape (6,)")),
    ("y_train", np.zeros(6, bool), ("y_train is bool", "wanted integers")),
    ("y_train", np.zeros((6, 1), int), ("y_train is int64 of shape (6, 1)", "shape (6,)")),
    ("y_test", np.zeros(5, int), ("y_test is int64 of shape (5,)", "shape (4,)")),
    ("y_test", np.array([0, 1, 2, -1]), ("test labels run from -1 to 2",)),
    (
        "y_test",
        np.array([0, 1, 2, 2**63], np.uint64),
        (f"labels run from 0 to {2**63} and no image is of class 3",),
    ),
    (
        "y_test",
        np.array([0, 1, 2, 10**6]),
        ("labels run from 0 to 1000000 and no image is of class 3", "say so by `classes: N`"),
    ),
]


@pytest.mark.parametrize(("key", "array", "words"), WRONG_ARRAYS)
@pytest.mark.parametrize("layout", ["file", "folder"])
def test_wrong_arrays_are_named(four_arrays, says, tmp_path, layout, key, array, words):
    written = four_arrays() | {key: array}
    if layout == "file":
        np.savez(tmp_path / "my.npz", **written)
    else:
        for name, values in written.items():
            np.save(tmp_path / f"{name}.npy", values)
    spec = {"name": "arrays", **({"path": "my.npz"} if layout == "file" else {})}
    # Of a single array the file is named too; a mismatch between two is the data set's.
    with says(*([str(tmp_path)] if words[0].startswith(key) else ["arrays"]), *words):
        load(spec, tmp_path)


def test_too_few_classes_for_the_labels(four_arrays, says, tmp_path):
    np.savez(tmp_path / "my.npz", **four_arrays(classes=3))
    with says("arrays", "labels run from 0 to 2", "(2 classes)"):
        load({"name": "arrays", "path": "my.npz", "classes": 2}, tmp_path)


def counted_from_one(arrays):
    return arrays | {key: labels + 1 for key, labels in arrays.items() if key.startswith("y_")}


def test_labels_that_are_counted_from_one(four_arrays, says, tmp_path):
    np.savez(tmp_path / "my.npz", **counted_from_one(four_arrays(classes=3)))
    with says("my.npz: labels run from 1 to 3 and no image is of class 0", "counted from 1? subtract 1"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    with says("labels run from 1 to 3, wanted 0 to 2 (3 classes); are they counted from 1? subtract 1"):
        load({"name": "arrays", "path": "my.npz", "classes": 3}, tmp_path)
    # Who says that a class has no images may have it so.
    assert load({"name": "arrays", "path": "my.npz", "classes": 4}, tmp_path).classes == 4


def test_more_classes_than_anybody_has(four_arrays, says, tmp_path):
    np.savez(tmp_path / "my.npz", **four_arrays())
    with says("arrays", "classes is 1000000, wanted at most 100000"):
        load({"name": "arrays", "path": "my.npz", "classes": 10**6}, tmp_path)


def test_missing_arrays_are_named(four_arrays, says, tmp_path):
    written = four_arrays()
    del written["x_test"], written["y_test"]
    np.savez(tmp_path / "my.npz", **written)
    with says("my.npz lacks x_test, y_test", "found x_train, y_train", "wanted"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    np.save(tmp_path / "x_train.npy", written["x_train"])
    with says(str(tmp_path), "lacks y_train.npy, x_test.npy, y_test.npy"):
        load({"name": "arrays"}, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("PRUNECAL_DATA"), reason="PRUNECAL_DATA names no folder of unpacked CIFAR-10 arrays"
)
def test_real_cifar_arrays():
    root = Path(os.environ["PRUNECAL_DATA"])
    dataset = load({"name": "arrays", "train": 5000, "test": 1000}, root)
    assert dataset.train_images.shape == (5000, 3, 32, 32)
    assert dataset.test_images.shape == (1000, 3, 32, 32)
    assert (dataset.classes, dataset.full_test) == (10, 10_000)
    # The images are shuffled, so a prefix is balanced by chance only: five standard deviations are 47.
    assert (dataset.test_labels.bincount() - 100).abs().max() <= 47
    np.testing.assert_array_equal(
        dataset.test_images.permute(0, 2, 3, 1), np.load(root / "x_test.npy", mmap_mode="r")[:1000]
    )
    # CIFAR-10's published channel means are .4914, .4822, .4465.
    means = dataset.train_images.double().mean(dim=(0, 2, 3)) / 255
    assert torch.allclose(means, torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64), atol=0.01)
