"""Small data sets, in memory and in files, and what the tests of several loaders share."""

import os
import re

import numpy as np
import pytest
import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.base import Dataset


class Trap:
    """Unpickling this creates a folder: proof that something was unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def trap(tmp_path):
    """What creates the folder `sprung` when it is unpickled."""
    return Trap(tmp_path / "sprung")


@pytest.fixture(scope="session")
def small():
    """Make up a data set, or one with some parts replaced."""

    def make(train=6, test=4, size=5, classes=3, seed=0, **changes):
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

    return make


@pytest.fixture
def clean(small):
    """What `write_published` publishes corruptions of."""
    return small(train=3, test=7, size=4, name="cifar10")


@pytest.fixture(scope="session")
def write_published():
    """Write a data set's published corruptions, of random pixels; gives their folder and the arrays."""

    def write(root, dataset, folder="CIFAR-10-C", names=("fog", "snow", "frost")):
        place = root / folder
        place.mkdir()
        draw = np.random.default_rng(0)
        rows, size = 5 * len(dataset.test_labels), dataset.test_images.shape[2]
        arrays = {name: draw.integers(256, size=(rows, size, size, 3), dtype=np.uint8) for name in names}
        for name, array in arrays.items():
            np.save(place / f"{name}.npy", array)
        np.save(place / "labels.npy", np.tile(dataset.test_labels.numpy(), 5).astype(np.uint8))
        return place, arrays

    return write


@pytest.fixture(scope="session")
def four_arrays():
    """Make up a data set as arrays."""

    def make(train=6, test=4, size=5, classes=3):
        draw = np.random.default_rng(0)
        return {
            "x_train": draw.integers(256, size=(train, size, size, 3), dtype=np.uint8),
            "y_train": np.arange(train) % classes,
            "x_test": draw.integers(256, size=(test, size, size, 3), dtype=np.uint8),
            "y_test": np.arange(test) % classes,
        }

    return make


@pytest.fixture(scope="session")
def says():
    """Expect one PrunecalError of one line that holds every part, in this order."""

    def raises(*parts):
        # A dot matches no line break, so this is also what holds a message to one line.
        return pytest.raises(PrunecalError, match=r"\A.*" + ".*".join(map(re.escape, parts)) + r".*\Z")

    return raises


@pytest.fixture(scope="session")
def assert_balanced():
    """Every prefix holds the classes within one image of each other, until the smallest is used up."""

    def check(labels, classes):
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

    return check
