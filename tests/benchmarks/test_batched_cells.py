"""Ways to train many cells on one GPU: several networks in one batch, and a step without Python's overhead.

Weight-pruned cells keep their network's shape, so K of them can be stacked and trained as one. The rows of a
CPU are tiny and only show that the code runs.

    pytest tests/benchmarks/test_batched_cells.py -m slow -p no:xdist
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from pytest_benchmark.fixture import BenchmarkFixture
    from torch import nn

    from pytest_prunecal.study.protocol import Recipe

pytestmark = pytest.mark.slow

NETWORKS = ("vgg19", "resnet20")
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass
class Cells:
    """Pruned networks of one shape, and a batch of images for each.

    Attributes:
        name: protocol, device and network.
        networks: K of them, in training mode.
        masks: of each, by parameter name.
        images: float32 (K, B, 3, H, W), what the networks see.
        labels: int64 (K, B).
        recipe: of fine-tuning.
    """

    name: str
    networks: list[nn.Module]
    masks: list[dict[str, torch.Tensor]]
    images: torch.Tensor
    labels: torch.Tensor
    recipe: Recipe


def made(size: str, device: str, model: str, batch: int, side: int) -> Cells:
    """Prune an untrained network at every ratio."""
    from pathlib import Path

    import torch

    from pytest_prunecal.lab.pruners.weight import prune
    from pytest_prunecal.lab.resolve import resolve
    from pytest_prunecal.study import protocol_file
    from pytest_prunecal.study.builtin import MODELS

    loaded = protocol_file.load(size, Path())
    torch.manual_seed(0)
    network = resolve(MODELS[model], model)(num_classes=10, width=loaded.width_of(model))
    pruned = [prune(network.to(device).train(), ratio) for ratio in RATIOS]
    return Cells(
        f"{size}-{device}-{model}",
        [one.model for one in pruned],
        [one.masks for one in pruned],
        torch.randn(len(pruned), batch, 3, side, side).to(device),
        torch.randint(0, 10, (len(pruned), batch)).to(device),
        loaded.finetune,
    )


@pytest.fixture(params=[("quick", "cpu"), ("quick", "cuda"), ("paper", "cuda")], ids="-".join)
def size(request: pytest.FixtureRequest) -> tuple[str, str]:
    import torch

    if request.param[1] == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    protocol, device = request.param
    return protocol, device


@pytest.fixture(params=NETWORKS)
def cells(request: pytest.FixtureRequest, size: tuple[str, str]) -> Cells:
    protocol, device = size
    batch = 8 if device == "cpu" else 64
    return made(protocol, device, request.param, batch, side=32 if protocol == "paper" else 16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    from pytest_prunecal.lab.reproducible import reproducible

    with reproducible(1):
        yield


def stepping(
    network: nn.Module,
    masks: dict[str, torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    run: Callable[..., torch.Tensor] | None = None,
) -> Callable[[], None]:
    """What takes one training step of one network; `run` is what runs it, such as its compiled form."""
    from torch.nn import functional

    from pytest_prunecal.lab.pruners.base import held_by, hold
    from pytest_prunecal.lab.training.sgd import SGD

    optimiser, held = SGD(network.parameters(), recipe), held_by(network, masks)

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy((network if run is None else run)(images), labels).backward()
        optimiser.step(recipe.learning_rate)
        hold(held)

    return step


def one_by_one(cells: Cells) -> Callable[[], None]:
    """What takes one step of every network, one after the other."""
    parts = zip(cells.networks, cells.masks, cells.images, cells.labels, strict=True)
    steps = [stepping(*part, cells.recipe) for part in parts]

    def step() -> None:
        for single in steps:
            single()

    return step


def together(
    cells: Cells,
) -> tuple[Callable[[], None], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What takes one step of all networks at once, and what it trains: stacked parameters and buffers."""
    import torch
    from torch.func import functional_call, stack_module_state, vmap
    from torch.nn import functional

    from pytest_prunecal.lab.pruners.base import hold
    from pytest_prunecal.lab.training.sgd import SGD

    parameters, buffers = stack_module_state(cells.networks)
    skeleton = deepcopy(cells.networks[0])
    masks = {name: torch.stack([one[name] for one in cells.masks]) for name in cells.masks[0]}
    held = [(parameters[name], mask.to(parameters[name].dtype)) for name, mask in masks.items()]
    optimiser = SGD(parameters.values(), cells.recipe)

    def loss(
        own: dict[str, torch.Tensor],
        running: dict[str, torch.Tensor],
        images: torch.Tensor,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        return functional.cross_entropy(functional_call(skeleton, (own, running), (images,)), labels)

    def step() -> None:
        optimiser.zero_grad()
        vmap(loss)(parameters, buffers, cells.images, cells.labels).sum().backward()
        optimiser.step(cells.recipe.learning_rate)
        hold(held)

    return step, parameters, buffers


def timed(
    benchmark: BenchmarkFixture,
    cells: Cells,
    group: str,
    step: Callable[[], None],
    networks: int = 1,
    steps: int = 10,
) -> None:
    """Time some steps."""
    import torch

    on_gpu = cells.images.device.type == "cuda"
    steps = steps if on_gpu else 1

    def run() -> None:
        for _ in range(steps):
            step()
        if on_gpu:
            torch.cuda.synchronize()

    benchmark.group = f"{group} {cells.name}"
    benchmark.extra_info["images"] = steps * networks * cells.images.shape[1]
    benchmark.pedantic(run, rounds=10 if on_gpu else 2, warmup_rounds=3 if on_gpu else 1)


def test_one_after_the_other(benchmark: BenchmarkFixture, cells: Cells) -> None:
    timed(benchmark, cells, "cells", one_by_one(cells), len(cells.networks))


def test_in_one_batch(benchmark: BenchmarkFixture, cells: Cells) -> None:
    step, *_ = together(cells)
    timed(benchmark, cells, "cells", step, len(cells.networks))


@pytest.mark.parametrize("way", ["eager", "CUDA graph", "compiled"])
def test_one_step(benchmark: BenchmarkFixture, cells: Cells, way: str) -> None:
    import torch

    if way != "eager" and cells.images.device.type != "cuda":
        pytest.skip("needs a CUDA device")
    network = cells.networks[0]
    run = torch.compile(network) if way == "compiled" else None
    step = stepping(network, cells.masks[0], cells.images[0], cells.labels[0], cells.recipe, run)
    timed(benchmark, cells, "step", captured(step) if way == "CUDA graph" else step)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph: its kernels are launched at once, on the same memory every time."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # momenta and workspaces must be there before
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@pytest.mark.parametrize("model", NETWORKS)
def test_networks_of_one_batch_learn_what_single_ones_do(
    model: str, record_property: Callable[[str, object], None]
) -> None:
    import torch

    cells = made("quick", "cpu", model, 8, 16)
    step, parameters, buffers = together(deepcopy(cells))
    single = one_by_one(cells)
    difference = []
    for _ in range(3):
        step()
        single()
        difference.append(
            max(
                float((stacked[number] - single_one).detach().abs().max())
                for number, network in enumerate(cells.networks)
                for state in (dict(network.named_parameters()), dict(network.named_buffers()))
                for name, single_one in state.items()
                for stacked in [(parameters | buffers)[name]]
            )
        )
    record_property("largest difference, step by step", difference)
    print(f"\n{model}: largest difference from single networks, step by step: {difference}")  # noqa: T201
    assert difference[0] < 1e-3
    for number, masks in enumerate(cells.masks):
        for name, mask in masks.items():
            assert torch.equal(parameters[name][number] == 0, ~mask)
