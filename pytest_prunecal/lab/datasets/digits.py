"""scikit-learn's handwritten digits: 1,797 real images that travel inside the package.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository (1998), https://doi.org/10.24432/C50P49, the test set of it, as in scikit-learn's `load_digits`.
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0),
https://creativecommons.org/licenses/by/4.0/. `digits.npz` holds the images and labels unchanged and in the
original order (uint8 instead of float64); this module enlarges, reorders and splits them.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.arrayio import to_images, to_labels
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.lab.datasets.order import round_robin

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TEST_PER_CLASS = 80


def digits(root: Path | None, *, size: int = 16) -> Dataset:  # noqa: ARG001 - every loader is given the root
    """The embedded digits as 3-channel images: 997 for training, 800 for testing, 80 of each class.

    The split is fixed (see `split`), no digit is in both parts, and any prefix of either part holds the
    classes as evenly as possible. The same writers are in both parts, so that test accuracy says nothing of
    new writers.

    Args:
        root: Not used; nothing is read outside the package.
        size: Height and width of the images in pixels, 8 to 224.

    Returns:
        The data set `digits`, 10 classes; all three channels are equal.

    Raises:
        PrunecalError: If `size` is not an integer from 8 to 224.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 8 <= size <= 224:
        raise PrunecalError(f"data set 'digits': size is {size!r}, wanted an integer from 8 to 224 (pixels)")
    pixels, labels = read_embedded()
    train, test = split(labels)
    images = np.repeat(enlarge(pixels, size)[:, :, :, None], 3, axis=3)
    return Dataset(
        name="digits",
        train_images=to_images(images[train]),
        train_labels=to_labels(labels[train]),
        test_images=to_images(images[test]),
        test_labels=to_labels(labels[test]),
        classes=10,
    )


def read_embedded() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images, uint8 (1797, 8, 8), 0 to 16, and their labels, uint8 (1797,), as scikit-learn has them."""
    packed = resources.files("pytest_prunecal.lab.datasets") / "digits.npz"
    with packed.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return archive["images"], archive["labels"]


def split(labels: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splits the digits by a rule that no random number generator's version can change.

    Images are ordered by the sha256 of their number (`b"digits 0"` to `b"digits 1796"`); the first 80 of
    each class are for testing. Both parts then go round the classes.

    Args:
        labels: All labels, (1797,), in the original order.

    Returns:
        The numbers of the training images and of the test images, in their final order.
    """
    hashed = [hashlib.sha256(f"digits {number}".encode()).digest() for number in range(len(labels))]
    shuffled = np.array(sorted(range(len(labels)), key=hashed.__getitem__))
    ordered = shuffled[round_robin(labels[shuffled])]
    # Every class has more than 80 images, so the first 80 rounds hold each class once.
    cut = TEST_PER_CLASS * len(np.unique(labels))
    return ordered[cut:], ordered[:cut]


def enlarge(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Enlarges by bilinear interpolation in integers only, and so to the same bytes on every machine.

    Pixel centres are at half-integers and edges are repeated (`align_corners=False` of torch's
    `interpolate`). The interpolated value, an exact fraction, is scaled from 0..16 to 0..255 and rounded
    once, halves up.

    Args:
        pixels: uint8 (N, 8, 8), 0 to 16.
        size: Height and width wanted, at least 8.

    Returns:
        uint8 (N, size, size), 0 to 255.
    """
    old = pixels.shape[1]
    # Where each new pixel's centre lies among the old ones, in units of 1 / (2 size) of an old pixel.
    unit = 2 * size
    centre = np.clip((2 * np.arange(size) + 1) * old - size, 0, unit * (old - 1))
    low = centre // unit
    high = np.minimum(low + 1, old - 1)
    rows = np.arange(size)
    weights = np.zeros((size, old), dtype=np.int64)
    np.add.at(weights, (rows, low), unit - centre % unit)
    np.add.at(weights, (rows, high), centre % unit)

    numerator: NDArray[np.int64] = weights @ pixels.astype(np.int64) @ weights.T * 255
    denominator = 16 * unit * unit
    return ((2 * numerator + denominator) // (2 * denominator)).astype(np.uint8)
