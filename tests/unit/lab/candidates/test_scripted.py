"""TorchScript that the user trusts: the logits of its network, the same bits in every pass."""

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates import scripted

SHAPE = (3, 8, 8)
IMAGES = torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(1))


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("frozen", [False, True])
def test_the_logits_of_torch(tmp_path, frozen):
    module = torch.jit.script(net())
    (torch.jit.freeze(module) if frozen else module).save(tmp_path / "net.pt")
    found = scripted.load(tmp_path / "net.pt", SHAPE, "it")
    passes = [found.model(IMAGES) for _ in range(5)]
    torch.testing.assert_close(passes[0], net()(IMAGES))
    assert all(torch.equal(one, passes[0]) for one in passes)
    # Freezing folds the batch norm into the conv.
    assert found.costs["parameters"] == sum(one.numel() for one in net().parameters()) - 8 * frozen
    assert found.costs["macs"] == 4 * 36 * 27 + 1440
    assert found.costs["bytes"] == (tmp_path / "net.pt").stat().st_size


@torch.no_grad()
def test_half_precision(tmp_path):
    torch.jit.trace(net().bfloat16(), IMAGES[:2].bfloat16()).save(tmp_path / "net.pt")
    logits = scripted.load(tmp_path / "net.pt", SHAPE, "it").model(IMAGES)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, net().bfloat16()(IMAGES.bfloat16()).float())


def test_images_that_it_does_not_take(tmp_path):
    torch.jit.script(net()).save(tmp_path / "net.pt")
    with pytest.raises(PrunecalError, match=r"^it: it fails on an image of 3x32x32: "):
        scripted.load(tmp_path / "net.pt", (3, 32, 32), "it")


def test_what_is_none(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(PrunecalError, match=r"^it: it cannot be loaded: "):
        scripted.load(tmp_path / "net.pt", SHAPE, "it")
