"""The floor: how near training and evaluation come to the barest loops on the same network.

Each of our rows also runs the bare loop before each of its rounds; `share` in its extra_info is the share of
the bare loop's images per second that ours reaches, the median over such pairs. That holds on a machine whose
speed changes from minute to minute, as the times of two rows do not. Two threads want two idle cores.

    pytest tests/benchmarks/test_floor.py -m slow -p no:xdist --benchmark-json=floor.json
"""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from pytest_benchmark.fixture import BenchmarkFixture
    from torch import nn

    from pytest_prunecal.lab.forward import Forward
    from pytest_prunecal.study.protocol import Protocol

pytestmark = pytest.mark.slow

SIZES = (("quick", "cpu"), ("quick", "cuda"), ("paper", "cuda"))  # full width takes a CPU minutes an epoch
NETWORKS = ("vgg19", "resnet20", "preresnet110")
TEST_SETS = 8


@dataclass
class Case:
    """A network on a device, and images to run through it.

    Attributes:
        name: size, device and network.
        model: built in, as wide as the protocol says.
        images: uint8 (N, 3, H, W) on the device, for an evaluation.
        labels: int64 (N,) on the device.
        trained: how many of them a round of training takes, whole batches.
        rounds: that are timed.
        protocol: says how it is trained and evaluated.
    """

    name: str
    model: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    trained: int
    rounds: int
    protocol: Protocol

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def forward(self) -> Forward:
        from pytest_prunecal.lab.forward import Forward, Normalisation

        return Forward(Normalisation(self.protocol.mean, self.protocol.std), self.protocol.precision)

    def laid_out(self, batch: int, layout: str | None = None) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """A network and what it sees, batch by batch, in a memory layout: by default the plugin's choice."""
        import torch

        from pytest_prunecal.lab.forward import memory_format

        chosen: torch.memory_format = getattr(torch, layout) if layout else memory_format(self.device)
        inputs = self.forward.normalisation.apply(self.images).to(memory_format=chosen)
        model = deepcopy(self.model)
        model.to(memory_format=chosen)  # type: ignore[call-overload]
        return model, inputs.split(batch)


@pytest.fixture(
    scope="module",
    params=[(*size, model) for size in SIZES for model in NETWORKS],
    ids="-".join,
)
def case(request: pytest.FixtureRequest) -> Case:
    from pathlib import Path

    import torch

    from pytest_prunecal.lab.resolve import resolve
    from pytest_prunecal.study import protocol_file
    from pytest_prunecal.study.builtin import MODELS

    size, device, model = request.param
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    loaded = protocol_file.load(size, Path())
    torch.manual_seed(0)
    network = resolve(MODELS[model], model)(num_classes=10, width=loaded.width_of(model))
    side = {"quick": 16, "paper": 32}[size]
    images, steps, rounds = 800, 4, 7  # as many as `quick` has
    if model == "preresnet110":
        steps, rounds = 2, 4
    if device == "cuda":
        images, steps, rounds = 4000, 60, 9
    torch.manual_seed(0)
    return Case(
        "-".join(request.param),
        network.to(device),
        torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8).to(device),
        torch.randint(0, 10, (images,)).to(device),
        steps * loaded.finetune.batch,
        rounds,
        loaded,
    )


def bare_training(case: Case, threads: int = 1, layout: str | None = None) -> Callable[[], None]:
    """What does forward, backward and optimiser steps on tensors in memory, and nothing else."""
    from torch.nn import functional

    from pytest_prunecal.lab.training.sgd import SGD

    recipe = case.protocol.finetune
    model, inputs = case.laid_out(recipe.batch, layout)
    batches = list(zip(inputs, case.labels.split(recipe.batch), strict=True))[: case.trained // recipe.batch]

    def run() -> None:
        with bare_conditions(case, threads):
            model.train()
            optimiser = SGD(model.parameters(), recipe)
            for images, labels in batches:
                loss = functional.cross_entropy(model(images), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step(recipe.learning_rate)

    return run


def bare_passes(
    case: Case, batch: int, times: int = 1, threads: int = 1, layout: str | None = None
) -> Callable[[], None]:
    """What does forward passes on tensors in memory, and nothing else."""
    import torch

    model, inputs = case.laid_out(batch, layout)

    def run() -> None:
        with bare_conditions(case, threads), torch.no_grad():
            model.eval()
            for _ in range(times):
                for images in inputs:
                    model(images)

    return run


@contextmanager
def bare_conditions(case: Case, threads: int) -> Iterator[None]:
    """As many threads and the same precision as ours, but any kernel will do; waits for the device."""
    import torch

    from pytest_prunecal.lab.reproducible import reproducible

    with reproducible(threads):
        torch.set_deterministic_debug_mode("default")
        yield
        if case.device.type == "cuda":
            torch.cuda.synchronize()


def timed(
    benchmark: BenchmarkFixture,
    case: Case,
    group: str,
    images: int,
    run: Callable[[], None],
    bare: Callable[[], None] | None = None,
    threads: int = 1,
) -> None:
    """Time a function that takes some images; with `bare`, time that too and note the share of its speed."""
    # Where one thread does all the work, what else the machine does need not count.
    clock = time.thread_time if (case.device.type, threads) == ("cpu", 1) else time.perf_counter
    ours: list[float] = []
    theirs: list[float] = []

    def measured(function: Callable[[], None], into: list[float]) -> None:
        start = clock()
        function()
        into.append(clock() - start)

    def before() -> None:
        if bare:
            measured(bare, theirs)

    benchmark.group = f"{group} {case.name}"
    benchmark.extra_info["images"] = images
    benchmark.pedantic(measured, (run, ours), setup=before, rounds=case.rounds, warmup_rounds=1)
    if bare:
        # The warm-up comes first in both.
        share = statistics.median(rest / own for rest, own in zip(theirs[1:], ours[1:], strict=True))
        benchmark.extra_info["share"] = round(share, 3)
        print(f"\n{benchmark.group}: {benchmark.name} at {share:.3f} of the bare loop")  # noqa: T201


def test_bare_training(benchmark: BenchmarkFixture, case: Case) -> None:
    timed(benchmark, case, "training", case.trained, bare_training(case))


@pytest.mark.parametrize("pressure", ["plain", "masks", "slimming"])
def test_our_training(benchmark: BenchmarkFixture, case: Case, pressure: str) -> None:
    import torch

    from pytest_prunecal.lab.pruners.weight import prune
    from pytest_prunecal.lab.reproducible import reproducible
    from pytest_prunecal.lab.training.augmentation import Augmentation
    from pytest_prunecal.lab.training.loop import Pressure, train

    masks = prune(case.model, 0.5).masks if pressure == "masks" else {}
    acting = Pressure(masks, 1e-5 if pressure == "slimming" else 0.0)
    recipe = replace(case.protocol.finetune, epochs=1)
    augmentation = Augmentation(case.protocol.pad, case.protocol.flip)
    model, images, labels = deepcopy(case.model), case.images[: case.trained], case.labels[: case.trained]

    def run() -> None:
        with reproducible(1):
            generator = torch.Generator().manual_seed(0)
            train(model, images, labels, recipe, case.forward, augmentation, generator, acting)
            if case.device.type == "cuda":
                torch.cuda.synchronize()

    timed(benchmark, case, "training", case.trained, run, bare_training(case))


@pytest.mark.parametrize("batch", [50, 100, 200, 400])
def test_batch_sizes_of_bare_forward_passes(benchmark: BenchmarkFixture, case: Case, batch: int) -> None:
    timed(benchmark, case, "batch sizes", len(case.images), bare_passes(case, batch))


def test_bare_evaluation(benchmark: BenchmarkFixture, case: Case) -> None:
    passes = bare_passes(case, case.protocol.evaluation.batch, times=TEST_SETS)
    timed(benchmark, case, "evaluation", TEST_SETS * len(case.images), passes)


def test_our_evaluation(benchmark: BenchmarkFixture, case: Case) -> None:
    from pytest_prunecal.lab.evaluation.evaluate import TestSet, evaluate
    from pytest_prunecal.lab.evaluation.tally import Tally
    from pytest_prunecal.lab.reproducible import reproducible
    from pytest_prunecal.study.metric import METRICS

    images, labels, asked = case.images.cpu(), case.labels.cpu(), case.protocol.evaluation
    model = deepcopy(case.model)

    def run() -> None:
        with reproducible(1):
            others = [TestSet("fog", severity, images) for severity in range(1, TEST_SETS)]
            tally = Tally(METRICS, labels, asked.bins)
            evaluate(model, images, others, tally, case.forward, asked.batch, case.device)

    passes = bare_passes(case, asked.batch, times=TEST_SETS)
    timed(benchmark, case, "evaluation", TEST_SETS * len(images), run, passes)


@pytest.mark.parametrize("layout", ["contiguous_format", "channels_last"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("work", ["training", "evaluation"])
def test_layouts_and_threads(
    benchmark: BenchmarkFixture, case: Case, work: str, threads: int, layout: str
) -> None:
    """On one network, against contiguous memory and one thread."""
    usual = 1, "contiguous_format"
    if work == "training":
        images = case.trained
        run, beside = bare_training(case, threads, layout), bare_training(case, *usual)
    else:
        images, batch = len(case.images), case.protocol.evaluation.batch
        run, beside = bare_passes(case, batch, 1, threads, layout), bare_passes(case, batch, 1, *usual)
    timed(benchmark, case, f"layouts and threads, {work}", images, run, beside, threads)
