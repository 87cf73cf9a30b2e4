"""What the sampling error costs beside the evaluation that it belongs to: compare the two rows."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
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
def network(request, bench):
    return bench.build(request.param).eval()


@pytest.fixture(autouse=True)
def one_thread():
    from pytest_prunecal.lab.reproducible import reproducible

    with reproducible(1):
        yield


@pytest.mark.benchmark(group="sampling error", warmup=True)
def test_forward_passes_of_an_evaluation(benchmark, network, bench):
    benchmark(_logits, network, bench)


@pytest.mark.benchmark(group="sampling error", warmup=True)
def test_sampling_errors_of_the_same_evaluation(benchmark, network, bench):
    from pytest_prunecal.lab.evaluation.bootstrap import Sampler, errors_of

    clean, *others = _logits(network, bench)

    def sample():
        sampler = Sampler(bench.dataset.test_labels, bench.protocol.evaluation.bins)
        sampler.clean(clean)
        for logits in others:
            sampler.corrupted(logits)
        return errors_of([sampler.result()])

    assert benchmark(sample)["accuracy"] > 0


def _logits(network, bench):
    from pytest_prunecal.lab.evaluation.evaluate import predict

    sets = [bench.dataset.test_images, *(test_set.images for test_set in bench.corrupted)]
    batch = bench.protocol.evaluation.batch
    return [predict(network, images, bench.forward, batch, bench.device) for images in sets]
