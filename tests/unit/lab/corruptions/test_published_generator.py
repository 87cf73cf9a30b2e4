"""The corruption generator, against the statistics of the published one."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.study.builtin import BENCHMARK, EXTRA

ALL = BENCHMARK + EXTRA
WEATHER = ("snow", "frost", "fog")
STEADY = (
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "gaussian_blur",
    "saturate",
)
REFERENCE = json.loads((Path(__file__).parents[3] / "data" / "corruptions_reference.json").read_text())
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiles():
    """198 natural tiles: the two sample images at 1/2, 1/3 and 1/4 of their size, cut into 32 x 32.

    Shrunk by the rounded integer mean of f x f blocks from the top left; rows of tiles, left to right;
    what fills no block or no tile is left out.
    """
    sample_images = pytest.importorskip("sklearn.datasets").load_sample_images().images
    cut = []
    for image in sample_images:
        for factor in (2, 3, 4):
            height, width = image.shape[0] // factor, image.shape[1] // factor
            blocks = image[: height * factor, : width * factor].astype(np.int64)
            blocks = blocks.reshape(height, factor, width, factor, 3).sum((1, 3))
            small = ((blocks + factor * factor // 2) // (factor * factor)).astype(np.uint8)
            cut += [
                small[top : top + 32, left : left + 32]
                for top in range(0, height - 31, 32)
                for left in range(0, width - 31, 32)
            ]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).contiguous()


def band(name: str) -> float:
    return 0.25 if name in WEATHER else 0.03 if name in STEADY else 0.10


@pytest.mark.parametrize("name", ALL)
def test_the_distance_to_the_clean_image_is_the_published_generators(rmse, tiles, name):
    measured = [rmse(corrupt(tiles, name, severity), tiles) for severity in range(1, 6)]
    reference = REFERENCE["tiles"][name]
    assert measured == pytest.approx(reference, rel=band(name))
    for milder in range(4):
        step = reference[milder + 1] / reference[milder]
        if abs(step - 1) > 0.05:
            assert (measured[milder + 1] > measured[milder]) == (step > 1), (
                f"order of {milder + 1} and the next"
            )


@pytest.mark.slow
def test_the_distance_on_cifar10_is_the_published_generators(rmse):
    folder = os.environ.get("PRUNECAL_DATA")
    if not folder or not (Path(folder) / "x_test.npy").exists():
        pytest.skip("no x_test.npy in the folder that PRUNECAL_DATA names")
    photographs = np.load(Path(folder) / "x_test.npy", mmap_mode="r")[:300]
    if hashlib.sha256(photographs.tobytes()).hexdigest() != REFERENCE["cifar10_sha256"]:
        pytest.skip("this copy of CIFAR-10 is not the one the reference was measured on")
    images = torch.from_numpy(photographs.copy()).permute(0, 3, 1, 2).contiguous()
    for name in ALL:
        measured = [rmse(corrupt(images, name, severity), images) for severity in range(1, 6)]
        assert measured == pytest.approx(REFERENCE["cifar10"][name], rel=band(name)), name
