"""The published corrupted test sets: read by severity, checked against the clean one."""

import os

import numpy as np
import pytest
import torch

from pytest_prunecal.lab.datasets.published import PublishedCorruptions, published

NAMES = ("fog", "snow")


def test_published_images_are_read_by_severity(write_published, tmp_path, clean):
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


def test_published_arrays_stay_on_disk(write_published, tmp_path, clean):
    write_published(tmp_path, clean)
    found = published(tmp_path, clean, NAMES)
    assert all(isinstance(array, np.memmap) for array in found.arrays.values())
    found.images("fog", 1).zero_()
    assert found.images("fog", 1).any()


def test_published_images_of_a_prefix_are_the_prefix_of_each_severity(write_published, tmp_path, clean):
    _, arrays = write_published(tmp_path, clean)
    found = published(tmp_path, clean.subset(None, 5).subset(2, 3), NAMES)
    assert (found.total, found.count) == (7, 3)
    np.testing.assert_array_equal(found.images("snow", 4).permute(0, 2, 3, 1), arrays["snow"][21:24])


def test_nothing_published_is_none(small, write_published, tmp_path, clean):
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
def test_only_what_was_asked_for_can_be_read(says, write_published, tmp_path, clean, name, severity):
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
def test_a_wrong_published_file_is_named(says, write_published, tmp_path, clean, file, array, words):
    place, _ = write_published(tmp_path, clean)
    np.save(place / f"{file}.npy", array)
    with says(str(place), *words):
        published(tmp_path, clean, NAMES)


def test_published_labels_beyond_a_prefix_must_repeat(says, write_published, tmp_path, clean):
    place, _ = write_published(tmp_path, clean)
    labels = np.load(place / "labels.npy")
    labels[2 * 7 + 6] = 1
    np.save(place / "labels.npy", labels)
    with says("labels.npy says 1 in row 20, wanted 0", "1 of 35"):
        published(tmp_path, clean.subset(None, 2), NAMES)


@pytest.mark.parametrize("file", ["fog", "labels"])
def test_a_missing_published_file_is_named(says, write_published, tmp_path, clean, file):
    place, _ = write_published(tmp_path, clean)
    (place / f"{file}.npy").unlink()
    with says(f"{file}.npy is missing", "wanted"):
        published(tmp_path, clean, NAMES)


@pytest.mark.parametrize("left", [0, 50, 500])
def test_a_truncated_published_file_is_named(says, write_published, tmp_path, clean, left):
    place, _ = write_published(tmp_path, clean)
    os.truncate(place / "fog.npy", left)
    with says("fog.npy", f"({left} bytes, truncated", "wanted uint8 of shape (35, 4, 4, 3)"):
        published(tmp_path, clean, NAMES)
