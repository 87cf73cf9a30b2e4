"""Published corrupted test sets, CIFAR-10-C and CIFAR-100-C, as they lie on disk.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019. Layout: `<corruption>.npy`, uint8 (5 n, H, W, 3), rows (s - 1) n to s n - 1 at
severity s; `labels.npy`, integers (5 n,), the test labels five times over; n is the size of the test set,
10,000 for CIFAR.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.arrayio import open_npy, to_images
from pytest_prunecal.lab.datasets.files import published_digest, published_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from pytest_prunecal.lab.datasets.base import Dataset

SEVERITIES = 5


@dataclass(frozen=True, eq=False, repr=False)
class PublishedCorruptions:
    """A checked folder of published corrupted images; made by `published`.

    Attributes:
        folder: Where it lies.
        arrays: Corruption name to mapped array, uint8 (5 `total`, H, W, 3).
        total: Number of images in the whole test set.
        count: How many of them the data set holds, from the first on.
    """

    folder: Path
    arrays: Mapping[str, NDArray[Any]]
    total: int
    count: int

    def __repr__(self) -> str:
        """The place and the sizes, not the pixels."""
        return (
            f"PublishedCorruptions({str(self.folder)!r}, {len(self.arrays)} corruptions, {self.count} images)"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions it holds, in the order they were asked for."""
        return tuple(self.arrays)

    def images(self, name: str, severity: int) -> Tensor:
        """Reads the images of one corruption at one severity, and nothing else of the file.

        Args:
            name: A corruption, one of `names`.
            severity: 1 to 5.

        Returns:
            uint8 (`count`, 3, H, W), in the order of the data set's test images.

        Raises:
            PrunecalError: If there is no such corruption or severity.
        """
        if name not in self.arrays:
            raise PrunecalError(
                f"{self.folder}: {name!r} was not asked for; there are: {', '.join(self.names)}"
            )
        if severity not in range(1, SEVERITIES + 1):
            raise PrunecalError(
                f"{self.folder}: severity {severity!r} of {name} is not one of 1 to {SEVERITIES}"
            )
        start = (severity - 1) * self.total
        return to_images(self.arrays[name][start : start + self.count])

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over the files, see `files.published_digest`, and which part of them is used."""
        files = published_digest(self.folder, self.arrays)
        return hashlib.sha256(f"{self.total} {self.count} {files}".encode()).hexdigest()


def published(root: Path | None, dataset: Dataset, names: Sequence[str]) -> PublishedCorruptions | None:
    """Finds the published corrupted test set of a data set and checks it.

    It is looked for as `CIFAR-10-C` or `CIFAR-100-C` in `root`, for the data sets `cifar10` and `cifar100`
    only. Of a data set cut to a prefix (`Dataset.subset`) the same prefix of every severity is given.

    Args:
        root: The user's data directory, or None.
        dataset: The data set whose test images were corrupted.
        names: The corruptions that are needed, by the names of their files.

    Returns:
        The corrupted images, or None if there are none: no such data set, no `root`, or no folder.

    Raises:
        PrunecalError: If the folder is there but a file is missing, broken, or of another type or shape, or
            the labels are not the test labels five times over.
    """
    folder = published_folder(root, dataset.name)
    if folder is None:
        return None
    count = len(dataset.test_labels)
    total = dataset.full_test or count
    _check_labels(folder, dataset, total)

    height, width = dataset.test_images.shape[2:]
    shape = (SEVERITIES * total, height, width, 3)
    wanted = f"uint8 of shape {shape}"
    arrays = {}
    for name in names:
        array = open_npy(folder / f"{name}.npy", wanted)
        if array.dtype != np.uint8 or array.shape != shape:
            raise PrunecalError(
                f"{folder / f'{name}.npy'} is {array.dtype} of shape {array.shape}, wanted {wanted}"
            )
        arrays[name] = array
    return PublishedCorruptions(folder=folder, arrays=arrays, total=total, count=count)


def _check_labels(folder: Path, dataset: Dataset, total: int) -> None:
    file = folder / "labels.npy"
    wanted = f"integers of shape ({SEVERITIES * total},)"
    labels = open_npy(file, wanted)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (SEVERITIES * total,):
        raise PrunecalError(f"{file} is {labels.dtype} of shape {labels.shape}, wanted {wanted}")
    copies = labels.reshape(SEVERITIES, total).astype(np.int64)
    # Of a prefix only the first labels are known; the rest must at least repeat five times.
    expected = copies[0].copy()
    expected[: len(dataset.test_labels)] = dataset.test_labels.numpy()
    differing = np.argwhere(copies != expected)
    if len(differing):
        severity, index = (int(number) for number in differing[0])
        raise PrunecalError(
            f"{file} says {copies[severity, index]} in row {severity * total + index}, wanted "
            f"{expected[index]}, the label of test image {index} of {dataset.name}: "
            f"{len(differing)} of {labels.size} labels differ"
        )
