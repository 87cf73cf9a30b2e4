"""From uint8 images to what a network sees, against plain loops over images and pixels."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.lab.forward import Normalisation
from pytest_prunecal.lab.training.augmentation import Augmentation

quickly = hypothesis.settings(max_examples=60)


def images_of(count, height, width, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, 3, height, width), dtype=torch.uint8, generator=draw)


def cropped(image, pad, row, column, mirrored):
    """One image padded with zeros, cropped back to size, then mirrored."""
    channels, height, width = image.shape
    result = torch.zeros_like(image)
    for channel in range(channels):
        for y in range(height):
            for x in range(width):
                across = width - 1 - x if mirrored else x
                from_y, from_x = y + row - pad, across + column - pad
                if 0 <= from_y < height and 0 <= from_x < width:
                    result[channel, y, x] = image[channel, from_y, from_x]
    return result


@quickly
@hypothesis.given(
    st.integers(0, 4),
    st.booleans(),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 999),
)
def test_crops_and_flips_are_those_of_a_plain_loop(pad, flip, count, height, width, seed):
    images, augmentation = images_of(count, height, width, seed), Augmentation(pad, flip)
    draw = torch.Generator().manual_seed(seed)
    draws = augmentation.draw(count, draw)
    chosen = torch.randint(0, count, (count,), generator=draw)
    found = augmentation.apply(augmentation.padded(images), chosen, draws)
    expected = [
        cropped(images[index], pad, *draws[position].tolist())
        for position, index in enumerate(chosen.tolist())
    ]
    assert found.dtype == torch.uint8
    assert torch.equal(found, torch.stack(expected))


def test_the_edges_of_the_padding():
    image, augmentation = images_of(1, 4, 4), Augmentation(4, flip=True)
    padded = augmentation.padded(image)
    corners = torch.tensor([[0, 0, 0], [8, 8, 0], [4, 4, 0], [4, 4, 1], [0, 4, 0]])
    found = augmentation.apply(padded, torch.zeros(5, dtype=torch.long), corners)
    assert found[0].sum() == found[1].sum() == found[4].sum() == 0
    assert torch.equal(found[2], image[0])
    assert torch.equal(found[3], image[0].flip(-1))
    assert padded.shape == (1, 3, 12, 12)
    assert padded.sum() == image.sum()
    assert padded[:, :, :4].sum() == padded[:, :, :, :4].sum() == 0


def test_draws_cover_what_they_should_and_nothing_else():
    draws = Augmentation(4, flip=True).draw(5000, torch.Generator().manual_seed(0))
    assert (draws.shape, draws.dtype) == ((5000, 3), torch.int64)
    for column in (0, 1):
        counts = draws[:, column].bincount()
        assert len(counts) == 9
        assert counts.min() > 450
    assert 0.47 < draws[:, 2].double().mean() < 0.53
    still = Augmentation(0, flip=False).draw(50, torch.Generator().manual_seed(0))
    assert still.sum() == 0


def test_draws_repeat_with_their_generator():
    augmentation = Augmentation(2, flip=True)
    first, again, other = (augmentation.draw(64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_whether_images_are_flipped_does_not_move_the_crops():
    draws = [Augmentation(2, flip).draw(64, torch.Generator().manual_seed(1)) for flip in (True, False)]
    assert torch.equal(draws[0][:, :2], draws[1][:, :2])
    assert draws[1][:, 2].sum() == 0


@quickly
@hypothesis.given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_normalisation(red, green, blue):
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    image = torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 2, 2)
    found = Normalisation(mean, std).apply(image)
    assert (found.dtype, found.shape) == (torch.float32, (2, 3, 2, 2))
    for channel, value in enumerate((red, green, blue)):
        expected = (value / 255 - mean[channel]) / std[channel]
        assert found[0, channel, 1, 1].item() == pytest.approx(expected, abs=1e-5)
        assert (found[:, channel] == found[0, channel, 0, 0]).all()


def test_normalisation_of_every_pixel_to_the_last_bit():
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    images = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 3, 2, 2).contiguous()
    normalisation, before = Normalisation(mean, std), images.clone()
    constants = [torch.tensor(values).view(-1, 1, 1) for values in (mean, std)]
    expected = (images.to(torch.float32) / 255 - constants[0]) / constants[1]
    for _ in range(2):  # its constants are kept between batches
        assert torch.equal(normalisation.apply(images), expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("flip", [False, True])
def test_batches_lie_in_memory_as_images_do(flip):
    # How a batch lies decides which kernels run, and with them the last bits.
    augmentation = Augmentation(2, flip)
    draws = augmentation.draw(5, torch.Generator().manual_seed(0))
    batch = augmentation.apply(augmentation.padded(images_of(8, 4, 6)), torch.arange(5), draws)
    assert batch.is_contiguous()
    assert Normalisation((0.5,) * 3, (0.25,) * 3).apply(batch).is_contiguous()
