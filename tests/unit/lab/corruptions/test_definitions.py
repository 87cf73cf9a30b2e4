"""The corruptions, exact where a definition is."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from pytest_prunecal.lab.corruptions.draws import Draws, _mix, _mix_int
from pytest_prunecal.lab.corruptions.elastic import _affine
from pytest_prunecal.lab.corruptions.generate import corrupt

pytestmark = pytest.mark.usefixtures("one_thread")


def test_draws_are_splitmix64():
    gamma = 0x9E3779B97F4A7C15
    # The first outputs of the published generator seeded with 0.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [_mix_int(step * gamma) for step in (1, 2, 3)] == expected
    wrapped = torch.tensor([(step * gamma + 2**63) % 2**64 - 2**63 for step in (1, 2, 3)])
    assert [value % 2**64 for value in _mix(wrapped).tolist()] == expected


def test_draws_are_uniform_normal_and_unrelated():
    draws = Draws.of(3, "fog", 2, torch.arange(64))
    uniform, normal = draws.uniform(0, 4096).double(), draws.normal(1, 4096).double()
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    bound = 5 / 4096**0.5
    assert abs(torch.corrcoef(normal) - torch.eye(64)).max() < bound, "of images"
    for other in (draws.normal(2, 4096), Draws.of(4, "fog", 2, draws.indices).normal(1, 4096)):
        assert (
            abs(torch.corrcoef(torch.stack([normal.flatten(), other.flatten().double()]))[0, 1]) < bound / 8
        )
    assert abs((normal[:, 1:] * normal[:, :-1]).mean()) < bound / 8, "of neighbours"


@pytest.mark.parametrize(("severity", "photons"), list(enumerate((500, 250, 100, 75, 50), 1)), ids=str)
def test_shot_noise_is_poisson(severity, photons):
    for level in (0, 1, 3, 40, 128, 250, 255):
        images = torch.full((20, 3, 32, 32), level, dtype=torch.uint8)
        seen = np.bincount(corrupt(images, "shot_noise", severity).flatten().numpy(), minlength=256)
        rate = level / 255 * photons
        expected = np.zeros(256)
        counts = np.arange(photons)
        np.add.at(
            expected,
            np.floor(np.round(counts / photons * 255, 9)).astype(int),
            stats.poisson.pmf(counts, rate),
        )
        expected[255] += stats.poisson.sf(photons - 1, rate)
        expected *= images.numel()
        assert seen[expected < 1e-6].sum() == 0
        # Rare bytes are lumped together, as the test asks for five expected counts or more.
        rare = expected < 5
        pooled_seen = np.append(seen[~rare], seen[rare].sum())
        pooled = np.append(expected[~rare], expected[rare].sum())
        pooled_seen, pooled = pooled_seen[pooled > 0], pooled[pooled > 0]
        assert stats.chisquare(pooled_seen, pooled, sum_check=False).pvalue > 1e-4 or len(pooled) == 1, level


@pytest.mark.parametrize(("severity", "amount"), list(enumerate((0.01, 0.02, 0.03, 0.05, 0.07), 1)))
def test_impulse_noise_hits_the_right_share_of_elements(severity, amount):
    images = torch.full((100, 3, 32, 32), 100, dtype=torch.uint8)
    result = corrupt(images, "impulse_noise", severity)
    for value in (0, 255):
        hits = int((result == value).sum())
        assert stats.binomtest(hits, images.numel(), amount / 2).pvalue > 1e-4
    assert ((result == 0) | (result == 100) | (result == 255)).all()
    struck = (result != 100).double()
    all_three = float(struck.prod(1).mean())
    assert all_three < 4 * amount**3 + 1e-4, "channels are struck independently"


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate((0.04, 0.06, 0.08, 0.09, 0.10), 1)))
def test_gaussian_and_speckle_noise_have_their_deviation(severity, sigma):
    images = torch.full((50, 3, 32, 32), 128, dtype=torch.uint8)
    noise = corrupt(images, "gaussian_noise", severity).double() - 128
    # Truncation takes half a level off the mean and adds a uniform error.
    assert noise.mean() == pytest.approx(-0.5, abs=0.3)
    assert noise.var() == pytest.approx((sigma * 255) ** 2 + 1 / 12, rel=0.02)
    speckle = corrupt(images, "speckle_noise", severity).double() - 128
    deviation = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1] * 128
    assert speckle.var() == pytest.approx(deviation**2 + 1 / 12, rel=0.02)


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (32, 32), (33, 20), (64, 64), (224, 224)])
def test_pixelate_is_pillows_box_filter_there_and_back(size):
    height, width = size
    image = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    picture = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    for severity, factor in enumerate((0.95, 0.9, 0.85, 0.75, 0.65), 1):
        small = picture.resize((int(width * factor), int(height * factor)), Image.Resampling.BOX)
        expected = np.asarray(small.resize((width, height), Image.Resampling.BOX))
        assert (corrupt(image, "pixelate", severity)[0].permute(1, 2, 0).numpy() == expected).all()


def test_glass_takes_pixels_from_above_and_left():
    here = torch.arange(32 * 32).view(32, 32)
    position = torch.stack([here // 32, here % 32, torch.zeros_like(here)])
    images = (position * 8).to(torch.uint8).expand(50, -1, -1, -1)
    # At severity 1 nothing is smoothed, so that positions can be read off.
    source = corrupt(images, "glass_blur", 1).long() // 8
    step = source - position
    assert set(step[:, :2].unique().tolist()) == {-1, 0}
    inner = step[:, :2, 2:, 2:].double()
    assert inner.mean() == pytest.approx(-0.5, abs=0.01)
    assert (step[:, :, :2] == 0).all()
    assert (step[:, :, :, :2] == 0).all()


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "motion_blur", "zoom_blur", "glass_blur"])
def test_blurs_leave_a_plain_image_as_it_is(name):
    for level in (0, 1, 77, 254, 255):
        images = torch.full((4, 3, 32, 32), level, dtype=torch.uint8)
        for severity in range(1, 6):
            assert torch.equal(corrupt(images, name, severity), images)


def test_the_affine_map_sends_the_moved_corners_to_the_square():
    draws = Draws.of(0, "elastic_transform", 1, torch.arange(5))
    down, right = _affine(32, 32, 0.0, draws)
    here = torch.arange(32.0)
    assert torch.allclose(down, here.view(-1, 1).expand(5, 32, 32), atol=1e-4)
    assert torch.allclose(right, here.expand(5, 32, 32), atol=1e-4)
    down, right = _affine(32, 32, 2.56, draws)
    moves = (draws.uniform(0, 6) * 2 - 1) * 2.56
    for image in range(5):
        # An affine map is known from its first pixel and the steps to its neighbours.
        for corner, (x, y) in enumerate(((26, 26), (26, 6), (6, 6))):
            at_x, at_y = x + float(moves[image, 2 * corner]), y + float(moves[image, 2 * corner + 1])
            for at, wanted in ((down[image], y), (right[image], x)):
                value = at[0, 0] + (at[0, 31] - at[0, 0]) / 31 * at_x + (at[31, 0] - at[0, 0]) / 31 * at_y
                assert float(value) == pytest.approx(wanted, abs=1e-3)


def test_motion_blur_smears_a_dot_along_a_line_near_the_horizontal():
    images = torch.zeros(30, 3, 33, 33, dtype=torch.uint8)
    images[:, :, 16, 16] = 255
    for image in corrupt(images, "motion_blur", 5)[:, 0].double():
        down, right = torch.nonzero(image, as_tuple=True)
        # Pixels look to their right, so the smear lies to the dot's left.
        assert (right <= 16).all()
        assert (abs(down - 16) <= 16 - right).all()
        assert (abs(down - 16)).max() <= abs(right - 16).max()
        assert image.sum() == pytest.approx(255, abs=6)


def test_brightness_and_saturation_agree_with_hsv():
    colorsys = pytest.importorskip("colorsys")
    images = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[0, :, 0, 0], images[0, :, 0, 1], images[0, :, 0, 2] = 0, 255, 90
    pixels = images[0].flatten(1).T.double() / 255
    saturate = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))
    for severity in range(1, 6):
        addend = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
        factor, offset = saturate[severity - 1]
        brighter, stronger = [], []
        for red, green, blue in pixels.tolist():
            hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
            brighter.append(colorsys.hsv_to_rgb(hue, saturation, min(1, value + addend)))
            stronger.append(colorsys.hsv_to_rgb(hue, min(1, saturation * factor + offset), value))
        for name, expected in (("brightness", brighter), ("saturate", stronger)):
            result = corrupt(images, name, severity)[0].flatten(1).T.double()
            # Truncated: between the exact value less one and the exact value, up to rounding.
            rest = torch.tensor(expected, dtype=torch.float64) * 255 - result
            assert rest.min() > -0.01, name
            assert rest.max() < 1.001, name


def test_contrast_keeps_each_channels_mean(scenes):
    images = scenes(6)[:4]
    result = corrupt(images, "contrast", 5).double()
    assert (result.mean((2, 3)) - images.double().mean((2, 3))).abs().max() < 1
    assert (result.std((2, 3)) / images.double().std((2, 3)) - 0.15).abs().max() < 0.01


def test_fog_keeps_the_peak_and_black_stays_black(scenes):
    images = scenes(6)
    result = corrupt(images, "fog", 5)
    assert (result.amax((1, 2, 3)) <= images.amax((1, 2, 3))).all()
    assert (result[-1] == 0).all()


def test_snow_and_frost_only_brighten_what_keeps_its_weight(scenes):
    images = scenes(6)
    assert (corrupt(images, "snow", 1).int() >= images.int() - 1).all()
    assert (corrupt(images, "frost", 2) >= images).all()
    panes = corrupt(torch.zeros(400, 3, 32, 32, dtype=torch.uint8), "frost", 5).double() / 0.45
    assert panes.mean((0, 2, 3)).tolist() == pytest.approx([146, 167, 179], abs=8)
    assert panes.mean((1, 2, 3)).std() > 20, "panes differ"


@pytest.mark.parametrize("size", [(32, 32), (33, 20), (8, 40)])
def test_jpeg_is_what_pillow_saves_and_opens(scenes, size):
    images = scenes(6, *size)
    for severity, quality in enumerate((80, 65, 58, 50, 40), 1):
        found = corrupt(images, "jpeg_compression", severity).permute(0, 2, 3, 1).numpy()
        for image, result in zip(images.permute(0, 2, 3, 1).contiguous().numpy(), found, strict=True):
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG", quality=quality)
            with Image.open(stream) as opened:
                assert (np.asarray(opened) == result).all()
