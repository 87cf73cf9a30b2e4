"""The corruption generator: independent of the batch, of threads and of every other random state."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.study.builtin import BENCHMARK, CORRUPTIONS, EXTRA

ALL = BENCHMARK + EXTRA
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
pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_registry_names_the_benchmark_and_the_extras_in_order():
    assert tuple(CORRUPTIONS) == ALL
    assert len(BENCHMARK) == 15
    for place in CORRUPTIONS.values():
        module, function = place.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_importing_the_names_imports_neither_torch_nor_numpy():
    code = (
        "import sys, pytest_prunecal.lab.corruptions; sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (33, 20), (8, 40), (64, 64)])
def test_any_size_gives_bytes_of_the_same_shape(scenes, name, size):
    images = scenes(3, *size)
    before = images.clone()
    for severity in (1, 5):
        result = corrupt(images, name, severity)
        assert result.dtype == torch.uint8
        assert result.shape == images.shape
        assert result.data_ptr() != images.data_ptr()
    assert torch.equal(images, before)
    assert not torch.equal(result, images)


@pytest.mark.parametrize("name", ALL)
def test_the_largest_size(scenes, rmse, name):
    images = scenes(3, 224, 224)[:1]
    result = corrupt(images, name, 3)
    assert result.shape == images.shape
    assert 1 < rmse(result, images) < 100


@pytest.mark.parametrize("name", ALL)
def test_an_image_does_not_depend_on_the_others(scenes, name):
    images = scenes(40)
    indices = torch.arange(40) * 7 + 3
    for severity in (2, 5):
        whole = corrupt(images, name, severity, indices=indices)
        assert torch.equal(whole, corrupt(images, name, severity, indices=indices)), "run again"
        order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
        assert torch.equal(whole[order], corrupt(images[order], name, severity, indices=indices[order]))
        some = torch.tensor([5, 6, 31, 39])
        assert torch.equal(whole[some], corrupt(images[some], name, severity, indices=indices[some]))
        for one in (0, 33, 38):
            alone = corrupt(images[one : one + 1], name, severity, indices=indices[one : one + 1])
            assert torch.equal(whole[one : one + 1], alone)


@pytest.mark.parametrize("name", ALL)
def test_threads_and_memory_layout_change_nothing(scenes, name):
    images = scenes(40)
    one = corrupt(images, name, 3)
    torch.set_num_threads(2)
    two = corrupt(images.contiguous(memory_format=torch.channels_last), name, 3)
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", ALL)
def test_seed_and_index_matter_to_what_is_random_only(scenes, name):
    images = scenes(3)[:1].expand(2, -1, -1, -1)
    first = corrupt(images, name, 3)
    assert torch.equal(first[0], first[1]) == (name in STEADY)
    assert torch.equal(first, corrupt(images, name, 3, seed=1)) == (name in STEADY)
    assert torch.equal(first, corrupt(images, name, 3, indices=torch.tensor([2, 3]))) == (name in STEADY)
    assert torch.equal(first, corrupt(images, name, 3, indices=torch.tensor([0, 1])))


@pytest.mark.parametrize("name", ALL)
def test_the_global_random_states_are_left_alone(scenes, name):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    corrupt(scenes(2), name, 4)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


@settings(max_examples=40)
@given(
    name=st.sampled_from(ALL),
    severity=st.integers(1, 5),
    height=st.integers(8, 48),
    width=st.integers(8, 48),
    seed=st.integers(-(2**63), 2**64),
    index=st.integers(0, 2**62),
)
def test_everything_at_once(scenes, name, severity, height, width, seed, index):
    images = scenes(3, height, width)
    indices = torch.tensor([index, 0, 1])
    result = corrupt(images, name, severity, indices=indices, seed=seed)
    assert result.dtype == torch.uint8
    assert result.shape == images.shape
    alone = corrupt(images[:1], name, severity, indices=indices[:1], seed=seed)
    assert torch.equal(result[:1], alone)


def test_no_images_give_no_images():
    assert corrupt(torch.empty(0, 3, 32, 32, dtype=torch.uint8), "fog", 1).shape == (0, 3, 32, 32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ALL)
def test_a_gpu_gives_the_same(scenes, name):
    images = scenes(40)
    result = corrupt(images.cuda(), name, 3)
    assert result.is_cuda
    assert (result.cpu() != corrupt(images, name, 3)).double().mean() < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "rain"}, "Unknown corruption 'rain'"),
        ({"severity": 0}, "integer from 1 to 5, not 0"),
        ({"severity": 6}, "not 6"),
        ({"severity": 2.0}, "not 2.0"),
        ({"severity": True}, "not True"),
        ({"images": torch.zeros(2, 3, 32, 32)}, r"uint8 \(N, 3, H, W\), not torch.float32 \(2, 3, 32, 32\)"),
        ({"images": torch.zeros(2, 32, 32, 3, dtype=torch.uint8)}, r"\(2, 32, 32, 3\)"),
        ({"images": torch.zeros(3, 32, 32, dtype=torch.uint8)}, r"\(3, 32, 32\)"),
        (
            {"images": torch.zeros(2, 3, 7, 32, dtype=torch.uint8)},
            "8 to 224 pixels high and wide, not 7 x 32",
        ),
        ({"images": torch.zeros(2, 3, 32, 225, dtype=torch.uint8)}, "not 32 x 225"),
        ({"indices": torch.arange(3)}, r"of 2 images are int64 \(2,\), not torch.int64 \(3,\)"),
        ({"indices": torch.zeros(2)}, "not torch.float32"),
    ],
)
def test_what_is_wrong_is_said(change, message):
    asked = {"images": torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "name": "fog", "severity": 1} | change
    with pytest.raises(PrunecalError, match=message):
        corrupt(asked.pop("images"), asked.pop("name"), asked.pop("severity"), **asked)
