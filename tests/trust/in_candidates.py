"""Faults in finished networks: each makes a candidate of the network that was accepted."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from faults import stale
from safetensors.torch import save_file
from torch import nn

from pytest_prunecal.lab.onnx_network import OnnxNetwork
from pytest_prunecal.lab.pruners import int8
from pytest_prunecal.study.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab import Lab
    from torch import Tensor

    Made = Path | Callable[[], nn.Module]

NAME = "net"
SHARE = 0.02
"""Of the head's weights, or of the images, that are permuted."""
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Scaled(nn.Module):
    """A network whose logits are multiplied."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits * self.factor


class Renormalised(nn.Module):
    """A network whose images are normalised by other constants than it was trained with."""

    def __init__(
        self,
        network: nn.Module,
        right: tuple[tuple[float, ...], tuple[float, ...]],
        wrong: tuple[tuple[float, ...], tuple[float, ...]],
    ) -> None:
        super().__init__()
        self.network = network
        mean, std, other_mean, other_std = (torch.tensor(part).view(3, 1, 1) for part in (*right, *wrong))
        self.scale, self.shift = std / other_std, (mean - other_mean) / other_std

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images * self.scale + self.shift)
        return logits


class Permuted(nn.Module):
    """A network that permutes half of the classes by one, in 2 % of the images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        # As good as random, and yet the same whichever images are beside it.
        chosen = (images.double().abs().sum((1, 2, 3)) * 1e4).frac() < SHARE
        half = logits.shape[1] // 2
        permuted = torch.cat([logits[:, :half].roll(1, 1), logits[:, half:]], 1)
        return torch.where(chosen[:, None], permuted, logits)


class Workshop:
    """Makes candidates in a folder.

    Args:
        lab: trains networks.
        folder: where files are put.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self._folder = lab, folder
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _network(self) -> nn.Module:
        return self.lab.network().eval()

    @property
    def network(self) -> nn.Module:
        """A copy of the network that is accepted, as it was trained."""
        return copy.deepcopy(self._network)

    @property
    def constants(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of the protocol's normalisation."""
        protocol = self.lab.subject.protocol
        return protocol.mean, protocol.std

    def accepted(self) -> Path:
        """The file that is accepted."""
        return self.exported("accepted", self.network)

    def exported(self, name: str, network: nn.Module) -> Path:
        """A network in an ONNX file."""
        path = self._folder / f"{name}.onnx"
        images = self.lab.bench().dataset.test_images[:2].float()
        program = torch.onnx.export(
            network.eval(),
            (images,),
            input_names=["images"],
            output_names=["logits"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
        assert program is not None
        program.save(path)
        return path

    def kept(self, name: str, network: nn.Module) -> Path:
        """The weights of a network in a safetensors file."""
        path = self._folder / f"{name}.safetensors"
        save_file({key: one.contiguous() for key, one in network.state_dict().items()}, path)
        return path

    def quantised(self, name: str, pixels: Tensor) -> Path:
        """The network in int8, calibrated on images: uint8 (N, 3, H, W)."""
        inputs = self.lab.bench().forward.normalisation.apply(pixels)
        batches = [(inputs, torch.zeros(len(inputs), dtype=torch.int64))]
        pruned = int8.prune(self.network, batches, inputs[:2], torch.Generator().manual_seed(1))
        assert isinstance(pruned.model, OnnxNetwork)
        path = self._folder / f"{name}.onnx"
        path.write_bytes(pruned.model.graph)
        return path

    def noise(self, brightest: int) -> Tensor:
        """As many images as calibrate, of pixels from 0 to the brightest."""
        shape = (int8.CALIBRATION, *self.lab.bench().dataset.train_images.shape[1:])
        generator = torch.Generator().manual_seed(1)
        return torch.randint(brightest + 1, shape, generator=generator, dtype=torch.uint8)


def folded(network: nn.Module, *, eps: bool = True, mean: bool = True) -> nn.Module:
    """A network with its batch norms folded into the convs before them, in place.

    Args:
        network: the lab's.
        eps: whether what a norm adds to the variance is not forgotten.
        mean: whether the running mean is subtracted.
    """
    for number in (1, 2, 3):
        conv, norm = network.get_submodule(f"conv{number}"), network.get_submodule(f"bn{number}")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight.data / (norm.running_var + (norm.eps if eps else 0.0)).sqrt()
        conv.weight.data.mul_(scale.view(-1, 1, 1, 1))
        conv.bias = nn.Parameter(norm.bias.data - (norm.running_mean * scale if mean else 0.0))
        setattr(network, f"bn{number}", nn.Identity())
    return network


def _head_rolled(shop: Workshop) -> Path:
    network = shop.network
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    half = head.out_features // 2
    inputs = max(1, round(SHARE * head.weight.numel() / half))
    head.weight.data[:half, :inputs] = head.weight.data[:half, :inputs].roll(1, 0)
    return shop.kept("head", network)


def _normalised(shop: Workshop, wrong: tuple[tuple[float, ...], tuple[float, ...]]) -> Made:
    return lambda: Renormalised(shop.network, shop.constants, wrong)


def _stale(shop: Workshop) -> Path:
    return shop.kept("stale", shop.lab.network(stale(shop.lab.subject.protocol)))


def another(shop: Workshop) -> Path:
    """A network as good as the accepted one: of the same recipe under another seed."""
    protocol = shop.lab.subject.protocol
    return shop.kept("another", shop.lab.network(replace(protocol, seed=protocol.seed + 1)))


def calibrated(shop: Workshop) -> Path:
    """The network in int8 as it should be."""
    return shop.quantised("int8", shop.lab.bench().dataset.train_images)


@dataclass(frozen=True)
class Planted:
    """A candidate.

    Attributes:
        does: what is done to the network.
        make: does it, and gives a file or what builds the network.
        fault: whether it is one.
    """

    does: str
    make: Callable[[Workshop], Made]
    fault: bool = True


CATALOGUE = {
    "logits x1.2": Planted(
        "ONNX; logits multiplied by 1.2", lambda shop: shop.exported("x1.2", Scaled(shop.network, 1.2))
    ),
    "logits x1.5": Planted(
        "ONNX; logits multiplied by 1.5", lambda shop: shop.exported("x1.5", Scaled(shop.network, 1.5))
    ),
    "normalisation swapped": Planted(
        "built; mean and deviation of the normalisation swapped (0.3048 and 0.3182)",
        lambda shop: _normalised(shop, shop.constants[::-1]),
    ),
    "ImageNet's normalisation": Planted(
        "built; images normalised by ImageNet's constants", lambda shop: _normalised(shop, IMAGENET)
    ),
    "stale": Planted("safetensors; trained for a third of the epochs", _stale),
    "BN folded without mean": Planted(
        "built; the running mean is not subtracted where batch norm is folded into the convs",
        lambda shop: lambda: folded(shop.network, mean=False),
    ),
    "BN folded without eps": Planted(
        "built; what batch norm adds to the variance is forgotten where it is folded",
        lambda shop: lambda: folded(shop.network, eps=False),
    ),
    "int8, noise": Planted(
        "ONNX; int8 calibrated on uniform noise, pixels from 0 to 255",
        lambda shop: shop.quantised("noise", shop.noise(255)),
    ),
    "int8, dark noise": Planted(
        "ONNX; int8 calibrated on uniform noise, pixels from 0 to 15",
        lambda shop: shop.quantised("dark", shop.noise(15)),
    ),
    "head rolled": Planted(
        "safetensors; 2 % of the head's weights, those of one input and of half of the classes, rolled by "
        "one class",
        _head_rolled,
    ),
    "logits rolled": Planted(
        "built; half of the logits rolled by one class in 2 % of the images",
        lambda shop: lambda: Permuted(shop.network),
    ),
    "int8": Planted("ONNX; int8 calibrated on training images", calibrated, fault=False),
    "the same file": Planted("the very ONNX file", Workshop.accepted, fault=False),
    "another file": Planted(
        "safetensors; the same weights", lambda shop: shop.kept("again", shop.network), fault=False
    ),
    "BN folded": Planted(
        "built; batch norm folded into the convs as it should be",
        lambda shop: lambda: folded(shop.network),
        fault=False,
    ),
}


def candidate_of(made: Made, model: str) -> Candidate:
    """What a session would be given."""
    return Candidate(model, NAME, made)
