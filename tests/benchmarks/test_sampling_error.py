"""What scores and their sampling errors cost beside the forward passes: compare the two rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_benchmark.fixture import BenchmarkFixture
    from torch import nn

    from pytest_prunecal.lab.bench import Bench

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    from pathlib import Path

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.engines import Setup
    from pytest_prunecal.store.store import Store
    from pytest_prunecal.study import protocol_file
    from pytest_prunecal.study.extensions import Extensions

    quick, store = protocol_file.load("quick", Path()), str(tmp_path_factory.mktemp("store"))
    made = Bench(Setup(quick, store, "cpu", None, Extensions()), Store(store), torch.device("cpu"))
    list(made.corrupted)  # generated before anything is timed
    return made


@pytest.fixture(scope="module", params=["vgg19", "resnet20"])
def network(request: pytest.FixtureRequest, bench: Bench) -> nn.Module:
    return bench.build(request.param).eval()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    from pytest_prunecal.lab.reproducible import reproducible

    with reproducible(1):
        yield


@pytest.mark.benchmark(group="sampling error", warmup=True)
def test_forward_passes_of_an_evaluation(
    benchmark: BenchmarkFixture, network: nn.Module, bench: Bench
) -> None:
    benchmark(_logits, network, bench)


@pytest.mark.benchmark(group="sampling error", warmup=True)
def test_sampling_errors_of_the_same_evaluation(
    benchmark: BenchmarkFixture, network: nn.Module, bench: Bench
) -> None:
    from pytest_prunecal.lab.evaluation.bootstrap import errors_of
    from pytest_prunecal.lab.evaluation.tally import Tally

    clean, *others = _logits(network, bench)
    sets = [(test_set.corruption, test_set.severity) for test_set in bench.corrupted]

    def sample() -> dict[str, float]:
        tally = Tally(bench.metrics, bench.dataset.test_labels, bench.protocol.evaluation.bins)
        tally.clean(clean)
        for (corruption, severity), logits in zip(sets, others, strict=True):
            tally.corrupted(corruption, severity, logits)
        return errors_of([tally.result().sampled])

    assert benchmark(sample)["accuracy"] > 0


def _logits(network: nn.Module, bench: Bench) -> list[torch.Tensor]:
    from pytest_prunecal.lab.evaluation.evaluate import predict

    sets = [bench.dataset.test_images, *(test_set.images for test_set in bench.corrupted)]
    batch = bench.protocol.evaluation.batch
    return [predict(network, images, bench.forward, batch, bench.device) for images in sets]
