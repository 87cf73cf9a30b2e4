"""Faults planted in finished networks, measured through their own forms as a session measures them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "trust"))  # scripts, not a package

pytestmark = pytest.mark.slow

FAULTS = ["logits x1.5", "ImageNet's normalisation", "stale", "BN folded without mean", "int8, dark noise"]
RIGHT = ["int8", "BN folded"]


class Session:
    """Measures candidates from their files and builders, and judges them against the accepted file."""

    def __init__(self, folder):
        from candidates import CELL, subject
        from gate import Gate
        from in_candidates import Workshop
        from lab import Lab

        self.folder, self.cell, self.lab = folder, CELL, Lab(subject(), folder)
        self.shop = Workshop(self.lab, folder / "files")
        self.file = self.shop.accepted()
        self.gate = Gate(self.lab.subject, [{CELL.id: self.trial(self.file)}])

    def trial(self, made, change=lambda bench: bench):
        from in_candidates import candidate_of

        from pytest_prunecal.lab.bench import Bench
        from pytest_prunecal.lab.candidates.measure import measure_candidate

        bench = self.lab.bench()
        given = {(self.cell.model, self.cell.candidate): candidate_of(made, self.cell.model)}
        bench = Bench(replace(bench.setup, candidates=given), bench.store, bench.device)
        return measure_candidate(self.cell, change(bench))

    def verdict(self, made, change=lambda bench: bench):
        return self.gate.verdict(self.cell, [{self.cell.id: self.trial(made, change)}])


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    return Session(tmp_path_factory.mktemp("candidates"))


def images_tell(verdict):
    """What fails of that which images tell; a built network has no size on disk, and is missed for it."""
    from lab import METRICS

    return [row.metric for row in verdict.metrics if row.status.fails and row.metric in METRICS]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails(session, fault):
    from in_candidates import CATALOGUE

    verdict = session.verdict(CATALOGUE[fault].make(session.shop))
    assert verdict.status.fails
    assert images_tell(verdict)
    assert {row.allowance.kind for row in verdict.metrics if row.metric == "ece"} == {"another network"}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(session, name):
    from in_candidates import CATALOGUE

    assert images_tell(session.verdict(CATALOGUE[name].make(session.shop))) == []


def test_the_same_file_is_the_same(session):
    verdict = session.verdict(session.file)
    assert verdict.status.value == "ok"
    assert {row.allowance.kind for row in verdict.metrics} == {"same network"}


def test_the_same_file_with_other_test_images_has_changed(session):
    def brighter(bench):
        images = bench.dataset.test_images
        bench.dataset = replace(bench.dataset, test_images=images.clamp(max=200) + 55)
        return bench

    verdict = session.verdict(session.file, brighter)
    assert verdict.status.value == "changed"
    assert verdict.differences[0].stage == "data"


def test_resampled_logits_are_what_evaluation_gives(session):
    """The study scores logits that it kept; on the whole test set that is what a session measures."""
    import torch
    from candidates import Stand
    from lab import METRICS

    stand = Stand(session.folder)
    whole = stand.trial(stand.accepted, torch.arange(len(stand.labels)), 0)
    measured = session.trial(session.file)
    assert whole.measurement.metrics == {name: measured.measurement.metrics[name] for name in METRICS}
    assert stand.accepted.sha256 == measured.measurement.provenance["network"]
