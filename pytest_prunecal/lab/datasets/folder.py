"""Any image-folder tree: PATH/train/CLASS/*.png and PATH/test/CLASS/*.png."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.arrayio import first_line, to_images, to_labels
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.lab.datasets.order import round_robin
from pytest_prunecal.lab.datasets.paths import locate
from pytest_prunecal.study.file_kind import mistaken

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff"})

# What pillow is known to raise on broken bytes; SyntaxError is its word for a bad PNG chunk.
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def folder(root: Path | None, *, path: str | None = None, size: int | None = None) -> Dataset:
    """Images on disk, one folder a class, the same classes under `train` and `test`.

    Classes are numbered in the order of their names, files within a class sorted by name; the data set then
    goes round the classes, so that any prefix of it holds them as evenly as possible. Images are those files
    directly in a class's folder that end in one of `EXTENSIONS` (in any case); hidden files and folders are
    passed over. They are decoded by pillow and made 8-bit RGB (alpha is dropped, EXIF orientation is not
    applied), then resized to `size` x `size` by pillow's BILINEAR filter (antialiased; the aspect ratio is
    not kept).

    Args:
        root: The user's data directory, or None.
        path: The folder that holds `train` and `test`; relative to `root`, without one to the current
            directory. None for `root` itself.
        size: Height and width in pixels, at least 1; None if all images have one size already.

    Returns:
        The data set `folder`.

    Raises:
        PrunecalError: If a folder is missing or empty, train and test differ in classes, an image cannot be
            decoded, or sizes differ without a `size`.
    """
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise PrunecalError(f"data set 'folder': size is {size!r}, wanted a number of pixels, at least 1")
    place = locate("folder", root, path)
    names = {part: _classes(place / part) for part in ("train", "test")}
    for part, other in (("train", "test"), ("test", "train")):
        only = sorted(set(names[part]) - set(names[other]))
        if only:
            raise PrunecalError(
                f"data set 'folder': {place} has {', '.join(only)} under {part} but not under {other}; "
                "wanted the same classes in both"
            )
    train_files, train_labels = _files(place / "train", names["train"])
    test_files, test_labels = _files(place / "test", names["test"])
    images = _decode(train_files + test_files, size)
    return Dataset(
        name="folder",
        train_images=to_images(images[: len(train_files)]),
        train_labels=to_labels(train_labels),
        test_images=to_images(images[len(train_files) :]),
        test_labels=to_labels(test_labels),
        classes=len(names["train"]),
    )


def _classes(part: Path) -> list[str]:
    if not part.is_dir():
        raise PrunecalError(f"data set 'folder': there is no folder {part}; wanted one folder a class in it")
    names = sorted(
        entry.name for entry in part.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise PrunecalError(f"data set 'folder': {part} is empty, wanted one folder a class in it")
    return names


def _files(part: Path, names: list[str]) -> tuple[list[Path], NDArray[np.int64]]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        images = sorted(
            entry
            for entry in (part / name).iterdir()
            if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith(".")
        )
        if not images:
            kinds = " ".join(sorted(EXTENSIONS))
            raise PrunecalError(f"data set 'folder': no image in {part / name} (looked for {kinds})")
        files += images
        labels += [label] * len(images)
    order = round_robin(np.array(labels))
    return [files[index] for index in order], np.array(labels)[order]


def _decode(files: list[Path], size: int | None) -> NDArray[np.uint8]:
    first = _image(files[0], size)
    images = np.empty((len(files), *first.shape), dtype=np.uint8)
    for index, file in enumerate(files):
        image = _image(file, size)
        if image.shape != first.shape:
            raise PrunecalError(
                f"data set 'folder': {file} is {image.shape[1]}x{image.shape[0]} pixels, {files[0]} is "
                f"{first.shape[1]}x{first.shape[0]}; give `size: N` to resize all to N x N"
            )
        images[index] = image
    return images


def _image(file: Path, size: int | None) -> NDArray[Any]:
    if not file.is_file():  # to open a pipe may wait for ever
        raise PrunecalError(f"data set 'folder': {file} is no file")
    try:
        with Image.open(file) as image:
            mode = image.mode
            rgb = image.convert("RGB")
    except _BROKEN as error:
        kind = mistaken(file)
        told = f"it is {kind}" if kind and not kind.endswith("image") else first_line(error)
        raise PrunecalError(f"data set 'folder': {file} is not a readable image: {told}") from error
    if mode.startswith(("I", "F")):
        # Pillow clips these to 0..255 instead of scaling them: a white square, silently.
        raise PrunecalError(f"data set 'folder': {file} has pixels of mode {mode}, wanted 8 bits a channel")
    if size is not None:
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
