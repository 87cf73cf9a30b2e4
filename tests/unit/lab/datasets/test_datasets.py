from __future__ import annotations

import hashlib
import inspect
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import urllib.request
import warnings
from importlib import import_module
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.lab.datasets.cifar import cifar10
from pytest_prunecal.lab.datasets.digits import digits, enlarge, read_embedded, split
from pytest_prunecal.lab.datasets.load import load
from pytest_prunecal.lab.datasets.order import round_robin
from pytest_prunecal.lab.datasets.published import PublishedCorruptions, published
from pytest_prunecal.study.builtin import DATASETS

# What the shipped baselines were measured on. A change here makes every one of them incomparable.
DIGITS_16 = "a86f689ef95b55790e65108412c1f0cee212d479db3f70223616bbd8c0f0f258"

KEYS = ("x_train", "y_train", "x_test", "y_test")


def small(train=6, test=4, size=5, classes=3, seed=0, **changes):
    """A made-up data set, or one with some parts replaced."""
    draw = torch.Generator().manual_seed(seed)
    parts = {
        "name": "small",
        "train_images": torch.randint(256, (train, 3, size, size), generator=draw, dtype=torch.uint8),
        "train_labels": torch.arange(train) % classes,
        "test_images": torch.randint(256, (test, 3, size, size), generator=draw, dtype=torch.uint8),
        "test_labels": torch.arange(test) % classes,
        "classes": classes,
    }
    return Dataset(**(parts | changes))


def four_arrays(train=6, test=4, size=5, classes=3):
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.integers(256, size=(train, size, size, 3), dtype=np.uint8),
        "y_train": np.arange(train) % classes,
        "x_test": draw.integers(256, size=(test, size, size, 3), dtype=np.uint8),
        "y_test": np.arange(test) % classes,
    }


def says(*parts):
    """Expects one PrunecalError of one line that holds every part, in this order."""
    # A dot matches no line break, so this is also what holds a message to one line.
    return pytest.raises(PrunecalError, match=r"\A.*" + ".*".join(map(re.escape, parts)) + r".*\Z")


def assert_balanced(labels, classes):
    """Every prefix holds the classes within one image of each other, until the smallest is used up."""
    onehot = np.eye(classes, dtype=int)[np.asarray(labels)]
    counts = onehot.cumsum(axis=0)
    smallest = onehot.sum(axis=0).min()
    inside = counts.max(axis=1) <= smallest
    assert (np.ptp(counts[inside], axis=1) <= 1).all()
    # Afterwards no class may get ahead of another that still has images.
    left = counts < counts[-1]
    for count, remaining in zip(counts, left, strict=True):
        if remaining.any():
            assert count.max() - count[remaining].min() <= 1


# ---------------------------------------------------------------------------------------- Dataset


def test_the_registry_imports_neither_torch_nor_numpy():
    heavy = "{'torch', 'numpy', 'PIL'}"
    code = f"import sys, pytest_prunecal.lab.datasets; sys.exit(bool({heavy} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_registered_loader_exists_and_takes_a_root():
    assert set(DATASETS) == {"digits", "cifar10", "cifar100", "folder", "arrays"}
    for place in DATASETS.values():
        module, function = place.split(":")
        assert next(iter(inspect.signature(getattr(import_module(module), function)).parameters)) == "root"


def test_a_dataset_makes_its_tensors_contiguous_and_prints_sizes_only():
    nhwc = torch.zeros(6, 5, 5, 3, dtype=torch.uint8)
    dataset = small(train_images=nhwc.permute(0, 3, 1, 2))
    assert dataset.train_images.is_contiguous()
    assert repr(dataset) == "Dataset('small', 6 train, 4 test, 3x5x5, 3 classes)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 1}, ("classes is 1", "at least 2")),
        ({"classes": True}, ("classes is True",)),
        (
            {"classes": 2, "train_labels": torch.arange(6) % 3},
            ("train labels run from 0 to 2", "wanted 0 to 1"),
        ),
        ({"test_labels": torch.tensor([0, 1, -1, 2])}, ("test labels run from -1 to 2",)),
        ({"train_labels": torch.arange(5) % 3}, ("5 train labels for 6 train images",)),
        ({"train_labels": torch.zeros(6)}, ("train_labels is float32", "wanted int64")),
        ({"train_labels": torch.zeros(6, 1, dtype=torch.int64)}, ("train_labels has shape (6, 1)", "(N,)")),
        ({"train_images": np.zeros((6, 3, 5, 5), np.uint8)}, ("train_images is a ndarray", "uint8 tensor")),
        ({"test_images": torch.full((4, 3, 5, 5), float("nan"))}, ("test_images is float32", "wanted uint8")),
        ({"test_images": torch.zeros(4, 1, 5, 5, dtype=torch.uint8)}, ("shape (4, 1, 5, 5)", "(N, 3, H, W)")),
        ({"test_images": torch.zeros(4, 3, 6, 6, dtype=torch.uint8)}, ("5x5", "6x6", "one size")),
        ({"test_images": torch.zeros(0, 3, 5, 5, dtype=torch.uint8)}, ("at least one image",)),
        ({"train_labels": torch.zeros(6, dtype=torch.int64, device="meta")}, ("on meta", "on cpu")),
        ({"full_test": 3}, ("full_test is 3", "at least the 4")),
    ],
)
def test_a_wrong_dataset_is_refused(changes, words):
    with says("small", *words):
        small(**changes)


def test_the_digest_follows_the_content_and_only_that():
    base = small()
    assert len(base.digest) == 64
    assert int(base.digest, 16) >= 0
    assert small().digest == base.digest == small(name="other").digest
    others = [
        small(seed=1),
        small(classes=4, train_labels=base.train_labels, test_labels=base.test_labels),
        small(test_labels=torch.tensor([0, 1, 2, 1])),
        small(train_images=base.train_images.flip(0)),
        base.subset(5, None),
        base.subset(None, 3),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_the_digest_tells_shapes_of_equal_bytes_apart():
    flat, tall = (torch.zeros(6, 3, *shape, dtype=torch.uint8) for shape in ((2, 8), (8, 2)))
    assert (
        small(train_images=flat, test_images=flat[:4]).digest
        != small(train_images=tall, test_images=tall[:4]).digest
    )


def test_the_digest_is_computed_once(monkeypatch):
    dataset = small()
    first = dataset.digest
    monkeypatch.setattr(hashlib, "sha256", None)
    assert dataset.digest == first


def test_subset_takes_prefixes_and_remembers_the_full_test_set():
    dataset = small()
    part = dataset.subset(3, 2)
    assert torch.equal(part.train_images, dataset.train_images[:3])
    assert torch.equal(part.train_labels, dataset.train_labels[:3])
    assert torch.equal(part.test_images, dataset.test_images[:2])
    assert torch.equal(part.test_labels, dataset.test_labels[:2])
    assert (part.full_test, part.subset(None, 1).full_test, dataset.full_test) == (4, 4, None)
    assert dataset.subset().digest == dataset.digest == dataset.subset(6, 4).digest


@pytest.mark.parametrize("number", [0, -1, 7, 1.0, "3", True])
def test_subset_refuses_what_is_no_number_of_images(number):
    with says("small", "train", repr(number), "from 1 to 6"):
        small().subset(number, None)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_round_robin_is_a_balanced_permutation(labels):
    labels = np.unique(labels, return_inverse=True)[1]
    order = round_robin(labels)
    assert sorted(order) == list(range(len(labels)))
    assert_balanced(labels[order], labels.max() + 1)
    for label in set(labels.tolist()):
        assert (np.diff(order[labels[order] == label]) > 0).all()


# ------------------------------------------------------------------------------------------- load


def test_load_resolves_names_passes_options_and_takes_prefixes():
    dataset = load({"name": "digits", "size": 8, "train": 100, "test": 50}, None)
    assert dataset.train_images.shape == (100, 3, 8, 8)
    assert dataset.test_images.shape == (50, 3, 8, 8)
    assert dataset.full_test == 800
    assert torch.equal(dataset.test_images, digits(None, size=8).test_images[:50])
    assert load({"name": "digits", "size": 8, "test": None}, None).full_test is None


def test_load_reaches_the_users_own_loaders(tmp_path):
    seen = []

    def mine(root, shade, classes=3):
        seen.append((root, shade, classes))
        return small(classes=classes)

    dataset = load({"name": "mine", "shade": 7, "train": 2}, tmp_path, {"mine": mine})
    assert seen == [(tmp_path, 7, 3)]
    assert len(dataset.train_labels) == 2
    assert (
        load({"name": "any", "whatever": 1}, None, {"any": lambda _root, **_options: small()}).name == "small"
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ("needs a name", "arrays, cifar10, cifar100, digits, folder, mine")),
        ({"name": 3}, ("needs a name",)),
        ({"name": "mnist"}, ("unknown data set 'mnist'", "digits", "mine")),
        ({"name": "digits", "sise": 16}, ("'digits'", "unknown option sise", "valid: size, train, test")),
        ({"name": "digits", "b": 1, "a": 1}, ("unknown options a, b",)),
        ({"name": "digits", "root": "x"}, ("unknown option root",)),
        ({"name": "digits", 3: 4}, ("unknown option 3",)),
        ({"name": "mine"}, ("'mine'", "needs the option shade")),
        ({"name": "mine", "shade": 1}, ("'mine'", "returned a int", "wanted a Dataset")),
        ({"name": "digits", "size": 8, "test": 801}, ("test", "801", "from 1 to 800")),
        ({"name": "digits", "size": 8, "train": "all"}, ("train", "'all'")),
    ],
)
def test_load_refuses_a_wrong_entry(spec, words):
    def mine(_root, shade):
        return shade

    with says(*words):
        load(spec, None, {"mine": mine})


def test_load_lets_nobody_replace_a_built_in_data_set():
    with says("'digits' is built in"):
        load({"name": "digits"}, None, {"digits": lambda root: root})


# ----------------------------------------------------------------------------------------- digits


def test_the_embedded_digits_are_scikit_learns():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    images, labels = read_embedded()
    reference = sklearn_datasets.load_digits()
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images, reference.images)
    np.testing.assert_array_equal(labels, reference.target)


def test_the_digits_never_change():
    assert digits(None).digest == digits(None, size=16).digest == DIGITS_16


def test_the_digits_split_is_balanced_and_disjoint():
    images, labels = read_embedded()
    train, test = split(labels)
    assert sorted([*train, *test]) == list(range(1797))
    assert np.bincount(labels[test]).tolist() == [80] * 10
    assert (len(train), len(test)) == (997, 800)
    pixels = {part: {images[index].tobytes() for index in part} for part in (tuple(train), tuple(test))}
    assert not set.intersection(*pixels.values())
    assert_balanced(labels[train], 10)
    assert_balanced(labels[test], 10)

    dataset = digits(None, size=8)
    np.testing.assert_array_equal(dataset.train_labels, labels[train])
    np.testing.assert_array_equal(dataset.test_labels, labels[test])
    np.testing.assert_array_equal(dataset.test_images[:, 1], enlarge(images[test], 8))


def test_digits_at_their_own_size_are_only_scaled():
    images, _ = read_embedded()
    np.testing.assert_array_equal(enlarge(images, 8), np.floor(images * (255 / 16) + 0.5))


@pytest.mark.parametrize("size", [8, 9, 16, 28, 32, 75, 224])
def test_enlarging_is_bilinear_interpolation(size):
    images = read_embedded()[0][:40]
    exact = torch.nn.functional.interpolate(
        torch.from_numpy(images)[:, None].double(), (size, size), mode="bilinear", align_corners=False
    )
    # Half a level is the one rounding; a hair more is float64's own.
    assert np.abs(enlarge(images, size) - exact[:, 0].numpy() * 255 / 16).max() <= 0.5 + 1e-9


def test_enlarging_keeps_black_and_white():
    for size in (8, 13, 16, 224):
        assert set(np.unique(enlarge(np.full((1, 8, 8), 16, np.uint8), size))) == {255}
        assert set(np.unique(enlarge(np.zeros((1, 8, 8), np.uint8), size))) == {0}


@pytest.mark.parametrize("size", [7, 225, 16.0, "16", True, None])
def test_digits_refuse_a_wrong_size(size):
    with says("digits", "size", repr(size), "8 to 224"):
        digits(None, size=size)


# ----------------------------------------------------------------------------------------- arrays


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arrays_come_back_as_they_were_written(tmp_path, data):
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


def test_arrays_count_their_classes_and_load_the_same_twice(tmp_path):
    np.savez(tmp_path / "my.npz", **four_arrays(classes=3))
    first, second = (load({"name": "arrays", "path": "my.npz"}, tmp_path) for _ in range(2))
    assert first.classes == 3
    assert first.digest == second.digest


def test_arrays_paths_are_relative_to_the_data_directory_else_to_the_current_one(tmp_path, monkeypatch):
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


def test_arrays_in_a_folder_are_mapped_and_their_tensors_writable(tmp_path, monkeypatch):
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
    ("y_test", np.array([0, 1, 2, 2**63], np.uint64), ("test labels run from",)),
]


@pytest.mark.parametrize(("key", "array", "words"), WRONG_ARRAYS)
@pytest.mark.parametrize("layout", ["file", "folder"])
def test_wrong_arrays_are_named(tmp_path, layout, key, array, words):
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


def test_too_few_classes_for_the_labels(tmp_path):
    np.savez(tmp_path / "my.npz", **four_arrays(classes=3))
    with says("arrays", "labels run from 0 to 2", "(2 classes)"):
        load({"name": "arrays", "path": "my.npz", "classes": 2}, tmp_path)


def test_missing_arrays_are_named(tmp_path):
    written = four_arrays()
    del written["x_test"], written["y_test"]
    np.savez(tmp_path / "my.npz", **written)
    with says("my.npz lacks x_test, y_test", "found x_train, y_train", "wanted"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    np.save(tmp_path / "x_train.npy", written["x_train"])
    with says(str(tmp_path), "lacks y_train.npy, x_test.npy, y_test.npy"):
        load({"name": "arrays"}, tmp_path)


class Trap:
    """Unpickling this creates a file: proof that something was unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_arrays_never_unpickle(tmp_path):
    trap, sprung = np.array([Trap(tmp_path / "sprung")] * 6, dtype=object), tmp_path / "sprung"
    np.savez(tmp_path / "my.npz", **(four_arrays() | {"y_train": trap}), allow_pickle=True)
    with says("my.npz", "y_train", "cannot be read", "wanted integers"):
        load({"name": "arrays", "path": "my.npz"}, tmp_path)
    for key, array in four_arrays().items():
        np.save(tmp_path / f"{key}.npy", array)
    np.save(tmp_path / "y_train.npy", trap, allow_pickle=True)
    with says("y_train.npy", "cannot be read", "wanted integers"):
        load({"name": "arrays"}, tmp_path)
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap(sprung)))
    with says("bare.npz", "cannot be read"):
        load({"name": "arrays", "path": "bare.npz"}, tmp_path)
    assert not sprung.exists()


def test_files_under_a_wrong_name(tmp_path):
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


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_bytes_never_escape_as_another_error(tmp_path, data):
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


# ----------------------------------------------------------------------------------------- folder


def picture(path, color, size=(6, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def tree(tmp_path):
    """Two classes; three cats and one dog to train on; colours tell the files apart."""
    for number in range(3):
        picture(tmp_path / f"pets/train/cat/{number}.png", (number, 0, 0))
        picture(tmp_path / f"pets/test/dog/{number}.PNG", (0, 0, number))
    picture(tmp_path / "pets/train/dog/a.bmp", (9, 9, 9))
    picture(tmp_path / "pets/test/cat/b.png", (7, 7, 7))
    return tmp_path


def test_a_folder_is_read_sorted_and_dealt_round_the_classes(tree):
    (tree / "pets/train/cat/notes.txt").write_text("not an image")
    (tree / "pets/train/.cache").mkdir()
    picture(tree / "pets/train/cat/.hidden.png", (200, 0, 0))
    first, second = (load({"name": "folder", "path": "pets"}, tree) for _ in range(2))
    assert first.classes == 2
    assert first.train_images.shape == (4, 3, 4, 6)
    assert first.train_labels.tolist() == [0, 1, 0, 0]
    assert first.train_images[:, 0, 0, 0].tolist() == [0, 9, 1, 2]
    assert first.test_labels.tolist() == [0, 1, 1, 1]
    assert first.test_images[:, 2, 0, 0].tolist() == [7, 0, 1, 2]
    assert first.digest == second.digest
    assert load({"name": "folder"}, tree / "pets").digest == first.digest


def test_a_folder_is_resized_by_pillows_bilinear_filter(tree):
    draw = np.random.default_rng(0).integers(256, size=(9, 7, 3), dtype=np.uint8)
    Image.fromarray(draw).save(tree / "pets/train/cat/0.png")
    dataset = load({"name": "folder", "path": "pets", "size": 5}, tree)
    assert dataset.train_images.shape == (4, 3, 5, 5)
    expected = np.asarray(Image.fromarray(draw).resize((5, 5), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(dataset.train_images[0].permute(1, 2, 0), expected)


def test_grey_palette_and_transparent_images_become_rgb(tree):
    picture(tree / "pets/train/cat/0.png", 30, mode="L")
    picture(tree / "pets/train/cat/1.png", (10, 20, 30, 40), mode="RGBA")
    picture(tree / "pets/train/cat/2.png", 0, mode="P")
    dataset = load({"name": "folder", "path": "pets"}, tree)
    cats = dataset.train_images[dataset.train_labels == 0]
    assert cats[0, :, 0, 0].tolist() == [30, 30, 30]
    assert cats[1, :, 0, 0].tolist() == [10, 20, 30]


def test_images_of_two_sizes_need_a_size(tree):
    picture(tree / "pets/test/dog/1.PNG", (0, 0, 1), size=(8, 8))
    with says("1.PNG is 8x8", "is 6x4", "size: N"):
        load({"name": "folder", "path": "pets"}, tree)
    assert load({"name": "folder", "path": "pets", "size": 6}, tree).test_images.shape == (4, 3, 6, 6)


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_a_broken_image_is_named(tree, cut):
    file = tree / "pets/train/cat/1.png"
    Image.fromarray(np.random.default_rng(0).integers(256, size=(4, 6, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:cut])
    with says(str(file), "not a readable image"):
        load({"name": "folder", "path": "pets"}, tree)


def test_sixteen_bit_images_are_refused(tree):
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tree / "pets/train/cat/1.png")
    with says("1.png", "mode I", "8 bits"):
        load({"name": "folder", "path": "pets"}, tree)


def test_classes_must_be_the_same_in_train_and_test(tree):
    picture(tree / "pets/train/eel/0.png", 0)
    with says("has eel under train but not under test"):
        load({"name": "folder", "path": "pets"}, tree)
    (tree / "pets/train/eel").rename(tree / "pets/test/eel")
    with says("has eel under test but not under train"):
        load({"name": "folder", "path": "pets"}, tree)
    (tree / "pets/test/eel/0.png").unlink()
    (tree / "pets/train/eel").mkdir()
    with says("no image in", "eel", ".png"):
        load({"name": "folder", "path": "pets"}, tree)


def test_a_folder_without_its_parts(tmp_path):
    with says("there is no", "nowhere"):
        load({"name": "folder", "path": "nowhere"}, tmp_path)
    with says("there is no folder", "train"):
        load({"name": "folder"}, tmp_path)
    (tmp_path / "train").mkdir()
    with says("train is empty"):
        load({"name": "folder"}, tmp_path)
    with says("nowhere", "--prunecal-data"):
        load({"name": "folder"}, None)
    with says("size is '32'"):
        load({"name": "folder", "size": "32"}, tmp_path)


# ------------------------------------------------------------------------------------------ CIFAR


@pytest.fixture
def offline(monkeypatch):
    """No test reaches the network."""

    def refuse(*_args, **_kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


class Grumble:
    """Unpickling this warns, as the real files do under newer numpy."""

    def __reduce__(self):
        return (warnings.warn, ("old pickle",))


def write_cifar(root, monkeypatch, name):
    """Writes tiny files in CIFAR's layout and has torchvision take their md5s for the published ones.

    The real checksums cannot be met by a fixture, so the checksum lists are the one thing replaced: the
    constructor, its integrity check and its unpickling are torchvision's own.
    """
    datasets = pytest.importorskip("torchvision.datasets")
    kind, labels = {"cifar10": (datasets.CIFAR10, "labels"), "cifar100": (datasets.CIFAR100, "fine_labels")}[
        name
    ]
    classes = 10 if name == "cifar10" else 100
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    written, md5s = {}, {}

    def write(file, content):
        (folder / file).write_bytes(pickle.dumps(content))
        md5s[file] = hashlib.md5((folder / file).read_bytes(), usedforsecurity=False).hexdigest()

    for file, _ in kind.train_list + kind.test_list:
        pixels = draw.integers(256, size=(4, 3072), dtype=np.uint8)
        numbers = draw.integers(classes, size=4).tolist()
        write(file, {"data": pixels, labels: numbers, "batch_label": Grumble()})
        written[file] = pixels.reshape(4, 3, 32, 32), numbers
    write(kind.meta["filename"], {kind.meta["key"]: [str(number) for number in range(classes)]})
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[file, md5s[file]] for file, _ in getattr(kind, part)])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5s[kind.meta["filename"]]})
    return kind, written


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.filterwarnings("error:old pickle")
@pytest.mark.usefixtures("offline")
def test_cifar_is_read_through_torchvision(tmp_path, monkeypatch, name):
    kind, written = write_cifar(tmp_path, monkeypatch, name)
    first, second = (load({"name": name}, tmp_path) for _ in range(2))
    for part, files in (("train", kind.train_list), ("test", kind.test_list)):
        pixels = np.concatenate([written[file][0] for file, _ in files])
        np.testing.assert_array_equal(getattr(first, f"{part}_images"), pixels)
        assert getattr(first, f"{part}_labels").tolist() == [
            label for file, _ in files for label in written[file][1]
        ]
    assert (first.name, first.classes) == (name, {"cifar10": 10, "cifar100": 100}[name])
    assert first.digest == second.digest
    # A read-only data directory must do: nothing was written.
    assert [entry.name for entry in tmp_path.iterdir()] == [kind.base_folder]


@pytest.mark.usefixtures("offline")
def test_a_tampered_cifar_file_is_refused_before_it_is_unpickled(tmp_path, monkeypatch):
    kind, _ = write_cifar(tmp_path, monkeypatch, "cifar10")
    for file in ("data_batch_3", "batches.meta"):
        path = tmp_path / kind.base_folder / file
        honest = path.read_bytes()
        path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
        with says("cifar10", file, str(path.parent), "https://"):
            cifar10(tmp_path)
        path.write_bytes(honest)
    assert not (tmp_path / "sprung").exists()
    assert len(cifar10(tmp_path).train_labels) == 20


@pytest.mark.usefixtures("offline")
def test_torchvisions_own_checksums_refuse_a_trap_in_every_file(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    files = [file for file, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list] + ["batches.meta"]
    for file in files:
        (folder / file).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with says("cifar10", *files, "delete that folder"):
        cifar10(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.usefixtures("offline")
def test_missing_cifar_without_a_network_is_one_line(tmp_path):
    pytest.importorskip("torchvision.datasets")
    root = tmp_path / "data"
    with says(
        "cifar10",
        "cifar-10-batches-py lacks data_batch_1",
        "batches.meta and downloading failed",
        "Name or service not known",
        "fetch https://",
        "cifar-10-python.tar.gz",
        f"in {root}",
    ):
        cifar10(root)


@pytest.mark.filterwarnings("error:old pickle")
@pytest.mark.usefixtures("offline")
def test_missing_cifar_is_unpacked_from_its_archive(tmp_path, monkeypatch):
    kind, written = write_cifar(tmp_path / "made", monkeypatch, "cifar10")
    data = tmp_path / "data"
    data.mkdir()
    with tarfile.open(data / kind.filename, "w:gz") as archive:
        archive.add(tmp_path / "made" / kind.base_folder, kind.base_folder)
    md5 = hashlib.md5((data / kind.filename).read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(kind, "tgz_md5", md5)
    np.testing.assert_array_equal(cifar10(data).test_images, written["test_batch"][0])


def test_cifar_needs_a_data_directory():
    with says("cifar10", "--prunecal-data=DIR"):
        load({"name": "cifar10"}, None)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'torchvision'"),
        RuntimeError("operator torchvision::nms does not exist\nmore"),
        AttributeError("partially initialized module 'torchvision' has no attribute 'extension'"),
    ],
)
def test_a_missing_or_mismatched_torchvision_is_one_line(tmp_path, monkeypatch, error):
    def fail(_name):
        raise error

    monkeypatch.setattr("pytest_prunecal.lab.datasets.cifar.import_module", fail)
    with says("torchvision", str(error).splitlines()[0], 'pip install "pytest-prunecal[torchvision]"'):
        load({"name": "cifar100"}, tmp_path)


# ------------------------------------------------------------------- published corrupted test sets


NAMES = ("fog", "snow")


@pytest.fixture
def clean():
    return small(train=3, test=7, size=4, name="cifar10")


def write_published(root, dataset, folder="CIFAR-10-C", names=(*NAMES, "frost")):
    place = root / folder
    place.mkdir()
    draw = np.random.default_rng(0)
    rows, size = 5 * len(dataset.test_labels), dataset.test_images.shape[2]
    arrays = {name: draw.integers(256, size=(rows, size, size, 3), dtype=np.uint8) for name in names}
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array)
    np.save(place / "labels.npy", np.tile(dataset.test_labels.numpy(), 5).astype(np.uint8))
    return place, arrays


def test_published_images_are_read_by_severity(tmp_path, clean):
    _, arrays = write_published(tmp_path, clean)
    found = published(tmp_path, clean, NAMES)
    assert isinstance(found, PublishedCorruptions)
    assert (found.names, found.total, found.count) == (NAMES, 7, 7)
    assert repr(found).endswith("2 corruptions, 7 images)")
    for name in NAMES:
        for severity in range(1, 6):
            images = found.images(name, severity)
            assert images.dtype == torch.uint8
            assert images.is_contiguous()
            expected = arrays[name][(severity - 1) * 7 : severity * 7]
            np.testing.assert_array_equal(images.permute(0, 2, 3, 1), expected)


def test_published_arrays_stay_on_disk(tmp_path, clean):
    write_published(tmp_path, clean)
    found = published(tmp_path, clean, NAMES)
    assert all(isinstance(array, np.memmap) for array in found.arrays.values())
    found.images("fog", 1).zero_()
    assert found.images("fog", 1).any()


def test_published_images_of_a_prefix_are_the_prefix_of_each_severity(tmp_path, clean):
    _, arrays = write_published(tmp_path, clean)
    found = published(tmp_path, clean.subset(None, 5).subset(2, 3), NAMES)
    assert (found.total, found.count) == (7, 3)
    np.testing.assert_array_equal(found.images("snow", 4).permute(0, 2, 3, 1), arrays["snow"][21:24])


def test_nothing_published_is_none(tmp_path, clean):
    assert published(None, clean, NAMES) is None
    assert published(tmp_path, clean, NAMES) is None
    assert published(tmp_path / "nowhere", clean, NAMES) is None
    write_published(tmp_path, clean)
    assert published(tmp_path, small(train=3, test=7, size=4, name="arrays"), NAMES) is None
    hundred = small(train=3, test=7, size=4, name="cifar100")
    assert published(tmp_path, hundred, NAMES) is None
    write_published(tmp_path, hundred, "CIFAR-100-C")
    assert published(tmp_path, hundred, NAMES).folder.name == "CIFAR-100-C"


@pytest.mark.parametrize(("name", "severity"), [("frost", 1), ("fog", 0), ("fog", 6), ("fog", 1.5)])
def test_only_what_was_asked_for_can_be_read(tmp_path, clean, name, severity):
    write_published(tmp_path, clean)
    with says("CIFAR-10-C", name):
        published(tmp_path, clean, NAMES).images(name, severity)


@pytest.mark.parametrize(
    ("file", "array", "words"),
    [
        ("fog", np.zeros((35, 4, 4, 3)), ("fog.npy is float64", "wanted uint8 of shape (35, 4, 4, 3)")),
        (
            "fog",
            np.zeros((34, 4, 4, 3), np.uint8),
            ("fog.npy is uint8 of shape (34, 4, 4, 3)", "(35, 4, 4, 3)"),
        ),
        ("fog", np.zeros((35, 3, 4, 4), np.uint8), ("shape (35, 3, 4, 4)", "wanted")),
        ("snow", np.array([{}] * 35), ("snow.npy", "cannot be read", "wanted uint8")),
        (
            "labels",
            np.zeros(7, np.uint8),
            ("labels.npy is uint8 of shape (7,)", "wanted integers of shape (35,)"),
        ),
        ("labels", np.zeros(35), ("labels.npy is float64",)),
        (
            "labels",
            np.zeros(35, int),
            ("labels.npy says 0 in row 1, wanted 1", "test image 1 of cifar10", "20 of 35"),
        ),
    ],
)
def test_a_wrong_published_file_is_named(tmp_path, clean, file, array, words):
    place, _ = write_published(tmp_path, clean)
    np.save(place / f"{file}.npy", array)
    with says(str(place), *words):
        published(tmp_path, clean, NAMES)


def test_published_labels_beyond_a_prefix_must_repeat(tmp_path, clean):
    place, _ = write_published(tmp_path, clean)
    labels = np.load(place / "labels.npy")
    labels[2 * 7 + 6] = 1
    np.save(place / "labels.npy", labels)
    with says("labels.npy says 1 in row 20, wanted 0", "1 of 35"):
        published(tmp_path, clean.subset(None, 2), NAMES)


@pytest.mark.parametrize("file", ["fog", "labels"])
def test_a_missing_published_file_is_named(tmp_path, clean, file):
    place, _ = write_published(tmp_path, clean)
    (place / f"{file}.npy").unlink()
    with says(f"{file}.npy is missing", "wanted"):
        published(tmp_path, clean, NAMES)


@pytest.mark.parametrize("left", [0, 50, 500])
def test_a_truncated_published_file_is_named(tmp_path, clean, left):
    place, _ = write_published(tmp_path, clean)
    os.truncate(place / "fog.npy", left)
    with says("fog.npy", f"({left} bytes, truncated", "wanted uint8 of shape (35, 4, 4, 3)"):
        published(tmp_path, clean, NAMES)


def test_the_published_digest_follows_the_files(tmp_path, clean):
    place, arrays = write_published(tmp_path, clean)
    fixed = 1_500_000_000
    for file in place.iterdir():
        os.utime(file, (fixed, fixed))

    def digest(dataset=clean, names=NAMES):
        return published(tmp_path, dataset, names).digest

    base = digest()
    assert digest(names=NAMES[::-1]) == base
    os.utime(place / "frost.npy", (0, 0))
    assert digest() == base
    assert (
        len({base, digest(names=["fog"]), digest(names=["fog", "frost"]), digest(clean.subset(None, 3))}) == 4
    )

    arrays["fog"][17, 0, 0, 0] ^= 1
    np.save(place / "fog.npy", arrays["fog"])
    os.utime(place / "fog.npy", (fixed, fixed))
    edited = digest()
    os.utime(place / "fog.npy", (fixed + 1, fixed + 1))
    assert len({base, edited, digest()}) == 3


def test_the_published_digest_of_large_files_reads_a_little_of_them(tmp_path):
    dataset = small(train=3, test=100, size=40, name="cifar10")
    place, _ = write_published(tmp_path, dataset, names=["fog"])
    file = place / "fog.npy"
    size, fixed = file.stat().st_size, 1_500_000_000
    assert size > 2 * 1024 * 1024
    digests = set()
    # The first header byte cannot change, so the last pixel and one in the middle block stand for the rest.
    for offset in (size - 1, (size - 65_536) * 8 // 15 + 5):
        content = bytearray(file.read_bytes())
        content[offset] ^= 255
        file.write_bytes(content)
        os.utime(file, (fixed, fixed))
        digests.add(published(tmp_path, dataset, ["fog"]).digest)
    assert len(digests) == 2


# -------------------------------------------------------------------------------------- real data


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
