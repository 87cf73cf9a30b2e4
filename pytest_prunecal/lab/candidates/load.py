"""From a candidate as it is given to a finished network, whatever its form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.lab.candidates import built, exported, onnx, scripted, weights
from pytest_prunecal.study import candidate_file

if TYPE_CHECKING:
    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.candidates.finished import Finished
    from pytest_prunecal.study.candidate import Candidate


def load(candidate: Candidate, bench: Bench) -> Finished:
    """Load a candidate, anew with every call.

    Raises:
        PrunecalError: it cannot be loaded; in one sentence.
    """
    what, model = candidate.shown, candidate.model
    shape = tuple(bench.dataset.test_images.shape[1:])
    seed = bench.protocol.seed
    if not isinstance(candidate.source, Path):
        offered, parts = bench.trainer.offered(model), (seed, "init", model, candidate.name)
        return built.load(candidate.source, offered, shape, bench.device, parts, what)
    path = candidate.source
    candidate_file.check(candidate, registered=True)  # it may have changed since the session began
    kind = candidate_file.kind_of(path, what)
    if kind == candidate_file.ONNX:
        return onnx.load(path, shape, what)
    if kind == candidate_file.EXPORTED:
        return exported.load(path, shape, what)
    if kind == candidate_file.SCRIPT:
        return scripted.load(path, shape, what)
    network = bench.trainer.build(model, bench.builder_of(model), bench.setup.protocol.seed)
    image = bench.forward.normalisation.apply(bench.dataset.test_images[:1].to(bench.device))
    return weights.load(path, network, image, model, what)
