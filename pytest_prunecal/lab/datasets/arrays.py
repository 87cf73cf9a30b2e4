"""The user's own images as plain numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.arrayio import open_npy, read_npz, to_images, to_labels
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.lab.datasets.paths import locate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_IMAGES = "uint8 of shape (N, H, W, 3)"
_LABELS = "integers of shape (N,)"
_WANTED = {"x_train": _IMAGES, "y_train": _LABELS, "x_test": _IMAGES, "y_test": _LABELS}


def arrays(root: Path | None, *, path: str | None = None, classes: int | None = None) -> Dataset:
    """Four arrays, `x_train`, `y_train`, `x_test` and `y_test`, in one `.npz` or as `.npy` files in a folder.

    Images are uint8 (N, H, W, 3), RGB, 0 to 255; labels are integers (N,), from 0. They keep their order.
    `.npy` files are memory-mapped, so that only the tensors take memory; nothing is ever unpickled.

    Args:
        root: The user's data directory, or None.
        path: A `.npz` file, or a folder of the four `.npy` files; relative to `root`, without one to the
            current directory. None for `root` itself.
        classes: Number of classes; None for the largest label + 1, where every label up to it occurs.

    Returns:
        The data set `arrays`.

    Raises:
        PrunecalError: If the file, or an array of it, is missing, broken, or not of that type and shape, or
            if no image is of some class that is not asked for by `classes`.
    """
    place = locate("arrays", root, path)
    if place.is_dir():
        missing = [f"{key}.npy" for key in _WANTED if not (place / f"{key}.npy").is_file()]
        if missing:
            wanted = ", ".join(f"{key}.npy" for key in _WANTED)
            raise PrunecalError(f"data set 'arrays': {place} lacks {', '.join(missing)}; wanted {wanted}")
        found = {key: open_npy(place / f"{key}.npy", wanted) for key, wanted in _WANTED.items()}
    else:
        found = read_npz(place, _WANTED)

    for part in ("train", "test"):
        _check_images(place, f"x_{part}", found[f"x_{part}"])
        _check_labels(place, f"y_{part}", found[f"y_{part}"], len(found[f"x_{part}"]))
    if classes is None:
        classes = _count_classes(place, found)
    return Dataset(
        name="arrays",
        train_images=to_images(found["x_train"]),
        train_labels=to_labels(found["y_train"]),
        test_images=to_images(found["x_test"]),
        test_labels=to_labels(found["y_test"]),
        classes=classes,
    )


def _check_images(place: Path, key: str, array: NDArray[Any]) -> None:
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not array.size:
        raise PrunecalError(
            f"{place}: {key} is {array.dtype} of shape {array.shape}, wanted {_IMAGES}, N >= 1"
        )


def _check_labels(place: Path, key: str, array: NDArray[Any], images: int) -> None:
    if not np.issubdtype(array.dtype, np.integer) or array.shape != (images,):
        raise PrunecalError(
            f"{place}: {key} is {array.dtype} of shape {array.shape}, wanted integers of shape ({images},)"
        )


def _count_classes(place: Path, found: dict[str, NDArray[Any]]) -> int:
    """Number of classes by the labels, all of which must occur: a hole is a mistake, of one label or all."""
    # As Python's numbers: of signed and unsigned ones together numpy makes fractions.
    labels = sorted({int(label) for part in ("train", "test") for label in np.unique(found[f"y_{part}"])})
    low, classes = labels[0], labels[-1] + 1
    if low >= 0 and len(labels) < classes:
        hole = next(index for index, label in enumerate(labels) if label != index)
        counted = "; are they counted from 1? subtract 1" if low == 1 and len(labels) == classes - 1 else ""
        raise PrunecalError(
            f"{place}: labels run from {low} to {classes - 1} and no image is of class {hole}, while classes "
            f"count from 0{counted}; where images of a class are meant to be missing, say so by "
            "`classes: N` in the protocol's `dataset:`"
        )
    return classes
