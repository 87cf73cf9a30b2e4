"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read and, where the network allows, fetched by torchvision.

Their files are pickles. torchvision compares each one's md5 with the published value, written in
torchvision's source, before it unpickles it (`_check_integrity` and `_load_meta` in
torchvision/datasets/cifar.py); the loader here relies on that, and its tests show that a tampered file is
refused unopened.
"""

from __future__ import annotations

import socket
import tarfile
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.arrayio import first_line, to_images, to_labels
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.store.undisturbed import import_undisturbed
from pytest_prunecal.study.file_kind import mistaken
from pytest_prunecal.study.known_cause import LFS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def cifar10(root: Path | None) -> Dataset:
    """CIFAR-10: 50,000 training and 10,000 test images, 3 x 32 x 32, 10 classes, in their published order.

    Args:
        root: The user's data directory: it holds, or will hold, `cifar-10-batches-py`.

    Returns:
        The data set `cifar10`.

    Raises:
        PrunecalError: If `root` is None, torchvision is missing or does not fit torch, a file is not the
            published one, or files are missing and cannot be downloaded.
    """
    return _load("cifar10", "CIFAR10", 10, root)


def cifar100(root: Path | None) -> Dataset:
    """CIFAR-100 with its 100 fine labels: 50,000 training and 10,000 test images, 3 x 32 x 32.

    Args:
        root: The user's data directory: it holds, or will hold, `cifar-100-python`.

    Returns:
        The data set `cifar100`.

    Raises:
        PrunecalError: As for `cifar10`.
    """
    return _load("cifar100", "CIFAR100", 100, root)


def _load(name: str, kind: str, classes: int, root: Path | None) -> Dataset:
    if root is None:
        raise PrunecalError(f"data set {name!r} needs a data directory: pass --prunecal-data=DIR")
    source = _source(kind)
    if _missing(source, root):
        _download(name, source, root)
    train, test = _part(name, source, root, train=True), _part(name, source, root, train=False)
    return Dataset(
        name=name,
        train_images=to_images(train.data),
        train_labels=to_labels(np.asarray(train.targets)),
        test_images=to_images(test.data),
        test_labels=to_labels(np.asarray(test.targets)),
        classes=classes,
    )


def _source(kind: str) -> Any:  # noqa: ANN401 - torchvision ships no types
    try:
        return getattr(import_undisturbed("torchvision.datasets"), kind)
    # A torchvision built for another torch fails in its own ways: "operator torchvision::nms does not exist"
    # (RuntimeError), a partly initialised module (AttributeError), a missing symbol (OSError).
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise PrunecalError(
            "CIFAR is read by torchvision, which is missing or does not fit the installed torch "
            f"({first_line(error)}): install the one that matches your torch version, "
            'pip install "pytest-prunecal[torchvision]"'
        ) from error


def _files(source: Any) -> list[tuple[str, str]]:  # noqa: ANN401
    batches = [(str(file), str(md5)) for file, md5 in source.train_list + source.test_list]
    return [*batches, (source.meta["filename"], source.meta["md5"])]


def _missing(source: Any, root: Path) -> list[str]:  # noqa: ANN401
    return [file for file, _ in _files(source) if not (root / source.base_folder / file).is_file()]


def _download(name: str, source: Any, root: Path) -> None:  # noqa: ANN401
    missing = _missing(source, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        # One xdist worker downloads, the others wait and find the files.
        with FileLock(root / f".prunecal-{name}.lock"), _impatient(), warnings.catch_warnings():
            if _missing(source, root):
                warnings.simplefilter("ignore")
                # The archive itself, if the user put it here, is unpacked without any network.
                source(root, train=False, download=True)
    except (OSError, RuntimeError, ValueError, EOFError, tarfile.TarError, zlib.error) as error:
        raise PrunecalError(
            f"data set {name!r}: {root / source.base_folder} lacks {', '.join(missing)} and downloading "
            f"failed ({first_line(error)}): fetch {source.url} and put it, packed or unpacked, in {root}"
        ) from error


@contextmanager
def _impatient(seconds: float = 30.0) -> Iterator[None]:
    # torchvision sets no timeout, and behind some firewalls a connection is never refused.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _part(name: str, source: Any, root: Path, *, train: bool) -> Any:  # noqa: ANN401
    place = root / source.base_folder
    try:
        with warnings.catch_warnings():
            # Newer numpy warns of what these pickles of 2009 hold; the user of `-W error` cannot mend it.
            warnings.simplefilter("ignore")
            return source(root, train=train, download=False)
    except OSError as error:
        raise PrunecalError(f"data set {name!r}: cannot read {place}: {first_line(error)}") from error
    except RuntimeError as error:
        same = import_undisturbed("torchvision.datasets.utils").check_integrity
        wrong = [file for file, md5 in _files(source) if not same(place / file, md5)]
        pointer = next((file for file in wrong if mistaken(place / file) == LFS), None)
        if pointer:
            raise PrunecalError(f"data set {name!r}: {place / pointer} is {LFS}") from error
        raise PrunecalError(
            f"data set {name!r}: not the published file, by its md5: {', '.join(wrong)} in {place} "
            f"({first_line(error)}): delete that folder, fetch {source.url} and unpack it in {root}"
        ) from error
