"""Images to corrupt, and how far a corruption takes them."""

import pytest
import torch


@pytest.fixture(scope="session")
def scenes():
    """Smooth random images with a little texture, and one black and one white."""

    def make(count: int, height: int = 32, width: int = 32) -> torch.Tensor:
        generator = torch.Generator().manual_seed(count * 1_000_000 + height * 1000 + width)
        coarse = torch.rand(count, 3, 4, 4, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        smooth += 0.1 * torch.rand(count, 3, height, width, generator=generator) - 0.05
        images = (smooth * 255).clamp(0, 255).to(torch.uint8)
        images[-1], images[-2] = 0, 255
        return images

    return make


@pytest.fixture(scope="session")
def rmse():
    """Root of the mean squared difference, of levels, averaged over the images."""

    def measure(images: torch.Tensor, clean: torch.Tensor) -> float:
        return float((images.double() - clean.double()).square().mean((1, 2, 3)).sqrt().mean())

    return measure
