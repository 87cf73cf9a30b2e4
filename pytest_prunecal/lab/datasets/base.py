"""What every data set is to the rest of the plugin: four tensors and a number of classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_prunecal.errors import PrunecalError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test images with their labels, checked when made.

    Attributes:
        name: What messages and reports call it.
        train_images: uint8, (N, 3, H, W), 0 to 255, RGB, contiguous, on the CPU.
        train_labels: int64, (N,), 0 to `classes` - 1.
        test_images: As `train_images`, of the same H and W.
        test_labels: As `train_labels`.
        classes: Number of classes, 2 to `MOST_CLASSES`.
        full_test: Number of test images in the whole data set where this is a prefix of it (see `subset`);
            None where nothing was left out. Published corrupted sets are laid out by this number.

    Raises:
        PrunecalError: If a tensor is not as described.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    full_test: int | None = None

    def __post_init__(self) -> None:
        """Checks everything, once, so that nothing downstream has to."""
        _check(self)
        for part in _TENSORS:
            object.__setattr__(self, part, getattr(self, part).contiguous())

    def __repr__(self) -> str:
        """The sizes, not the pixels: this stands in pytest's tracebacks."""
        _, channels, height, width = self.train_images.shape
        return (
            f"Dataset({self.name!r}, {len(self.train_labels)} train, {len(self.test_labels)} test, "
            f"{channels}x{height}x{width}, {self.classes} classes)"
        )

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over the number of classes and the shapes and bytes of the four tensors.

        The same on every machine. The name is left out: equal data is equal data.
        """
        state = hashlib.sha256(f"prunecal dataset 1\n{self.classes}\n".encode())
        for part in _TENSORS:
            array = getattr(self, part).numpy()
            # Little-endian whatever the machine is; a no-op on nearly all.
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            state.update(f"{part} {array.dtype.name} {array.shape}\n".encode())
            state.update(array.reshape(-1).view("u1").data)
        return state.hexdigest()

    def subset(self, train: int | None = None, test: int | None = None) -> Dataset:
        """The first `train` training and `test` test images, in their order.

        How balanced a prefix is, the data set decides: `digits` and `folder` go round the classes, so theirs
        are balanced to one image; CIFAR is shuffled; `arrays` are in the order of the file.

        Args:
            train: How many training images, from 1 to all of them; None for all.
            test: How many test images, likewise.

        Returns:
            A new data set on the same memory, which remembers the full length of the test set.

        Raises:
            PrunecalError: If a number is not an integer, or below 1, or more than there are.
        """
        kept_train = _prefix(self.name, "train", train, len(self.train_labels))
        kept_test = _prefix(self.name, "test", test, len(self.test_labels))
        return replace(
            self,
            train_images=self.train_images[:kept_train],
            train_labels=self.train_labels[:kept_train],
            test_images=self.test_images[:kept_test],
            test_labels=self.test_labels[:kept_test],
            full_test=self.full_test or len(self.test_labels),
        )


MOST_CLASSES = 100_000
"""More are a mistake: the largest public sets of labelled images have some 22,000."""

_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


def _prefix(name: str, part: str, wanted: object, available: int) -> int:
    if wanted is None:
        return available
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= available:
        raise PrunecalError(
            f"data set {name!r}: {part}: {wanted!r} is not a number of {part} images from 1 to {available}"
        )
    return wanted


def _check(dataset: Dataset) -> None:
    classes: object = dataset.classes
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise PrunecalError(
            f"data set {dataset.name!r}: classes is {classes!r}, wanted an integer of at least 2"
        )
    if classes > MOST_CLASSES:
        raise PrunecalError(
            f"data set {dataset.name!r}: classes is {classes}, wanted at most {MOST_CLASSES}; is a label "
            "something else than the number of a class?"
        )
    for part in ("train", "test"):
        images, labels = f"{part}_images", f"{part}_labels"
        _check_tensor(dataset, images, torch.uint8, "(N, 3, H, W)")
        _check_tensor(dataset, labels, torch.int64, "(N,)")
        found, wanted = len(getattr(dataset, labels)), len(getattr(dataset, images))
        if found != wanted:
            raise PrunecalError(
                f"data set {dataset.name!r}: {found} {part} labels for {wanted} {part} images"
            )
        low, high = (int(bound) for bound in torch.aminmax(getattr(dataset, labels)))
        if low < 0 or high >= classes:
            counted = "; are they counted from 1? subtract 1" if low > 0 and high == classes else ""
            raise PrunecalError(
                f"data set {dataset.name!r}: {part} labels run from {low} to {high}, "
                f"wanted 0 to {classes - 1} ({classes} classes){counted}"
            )
    train, test = tuple(dataset.train_images.shape[2:]), tuple(dataset.test_images.shape[2:])
    if train != test:
        raise PrunecalError(
            f"data set {dataset.name!r}: training images are {train[0]}x{train[1]} pixels, "
            f"test images {test[0]}x{test[1]}; wanted one size"
        )
    full: object = dataset.full_test
    if full is not None and (not isinstance(full, int) or full < len(dataset.test_labels)):
        raise PrunecalError(
            f"data set {dataset.name!r}: full_test is {full!r}, "
            f"wanted None or at least the {len(dataset.test_labels)} test images there are"
        )


def _check_tensor(dataset: Dataset, part: str, dtype: torch.dtype, wanted: str) -> None:
    tensor: object = getattr(dataset, part)
    kind = str(dtype).removeprefix("torch.")
    where = f"data set {dataset.name!r}: {part}"
    if not isinstance(tensor, Tensor):
        raise PrunecalError(f"{where} is a {type(tensor).__name__}, wanted a {kind} tensor of shape {wanted}")
    shape = tuple(tensor.shape)
    # An integer dtype is also what keeps NaN and infinity out.
    if tensor.dtype != dtype or tensor.device.type != "cpu":
        found = f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
        raise PrunecalError(f"{where} is {found}, wanted {kind} on cpu")
    fits = len(shape) == 4 and shape[1] == 3 if dtype == torch.uint8 else len(shape) == 1
    if not fits or not tensor.numel():
        raise PrunecalError(f"{where} has shape {shape}, wanted {wanted} with at least one image")
