"""Whatever lies beside a baseline, what the gate makes of it is not milder than the baseline alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.gate.outcome import images_of, outcome_of, without_images
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.lab.evaluation.encoded import encode
from pytest_prunecal.lab.paired import compare
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.uncertainty import Uncertainty

torch.set_num_threads(1)
QUICK = load("quick", BUILT_IN)
SETTINGS = SimpleNamespace(protocol=QUICK, metrics=METRICS, options=SimpleNamespace(update=None))
CELLS = (Cell("net", None, 0), Cell("net", "weight", 0.5))
IMAGES = 20
NAMES = ("accuracy", "nll")
TEXT = """\
prunecal: 1
model: net
protocol: {name: quick, fingerprint: 5b1c9e02}
environment: {torch: 2.11.0, BASE}
cells:
  dense:
    accuracy: {mean: 0.9000, se: 0.02}
    nll: {mean: 0.3000, se: 0.02}
  weight-0.5:
    accuracy: {mean: 0.8500, se: 0.02, sd: 0.01, seeds: 3}
    nll: {mean: 0.4000, se: 0.02, sd: 0.01, seeds: 3}
"""

anything = st.dictionaries(st.sampled_from([*NAMES, "mpc"]), st.floats())
whole = st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats()))
columns = st.binary(min_size=4 * IMAGES, max_size=4 * IMAGES).map(lambda content: Columns(NAMES, content))
flat = st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(
    lambda values: encode(
        {name: torch.full((IMAGES,), value) for name, value in zip(NAMES, values, strict=True)}
    )
)


def measured(accuracy, nll, base):
    draw = torch.Generator().manual_seed(1)
    content = {name: torch.rand(IMAGES, generator=draw) for name in NAMES}
    other = {name: torch.rand(IMAGES, generator=draw) for name in NAMES}
    numbers = {"accuracy": accuracy, "nll": nll}
    return Measurement(
        numbers,
        provenance=base,
        uncertainty=dict.fromkeys(NAMES, Uncertainty(0.02)),
        by_image=ImageResults(
            numbers, numbers, "cafe", {"accuracy": 0.9, "nll": 0.3}, encode(content), encode(other)
        ),
    )


@pytest.mark.parametrize("base", [{"base": "pinned"}, {}])
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(data=st.data(), accuracy=st.floats(0, 1), nll=st.floats(0, 3))
def test_no_results_by_image_make_an_outcome_milder(base, data, accuracy, nll):
    there = "base: pinned" if base else "device: cpu"
    found = baseline.parse(TEXT.replace("BASE", there), "f.yaml")
    for cell in CELLS:
        measurement = measured(accuracy, nll, base)
        accepted = found.cells[cell.id].metrics
        forged = ImageResults(
            metrics=data.draw(st.just(accepted) | whole),
            first=data.draw(st.just(measurement.metrics) | st.just(accepted) | anything),
            base=data.draw(st.sampled_from(["cafe", "beef"])),
            base_metrics=data.draw(whole | anything),
            cell=data.draw(columns | flat),
            base_cell=data.draw(columns | flat),
            change_sd=data.draw(anything),
            seeds=data.draw(st.integers(1, 10**12) | st.just(3)),
        )

        def of(images, cell=cell, measurement=measurement):
            file = GateFile("net", Path("f.yaml"), "f.yaml", found, CELLS, frozenset(), images)
            known, why = images_of(file, cell, METRICS)
            pairing = (
                without_images(file, cell, measurement, why)
                if known is None
                else compare(measurement.by_image, known, METRICS, tuned=cell.pruner is not None)
            )
            return outcome_of(file, cell, measurement, pairing, SETTINGS, 4, runxfail=False)

        alone, beside = of({}), of({cell.id: forged})
        regressed = {row.metric for row in alone.verdict.having(Status.REGRESSION)}
        assert regressed <= {row.metric for row in beside.verdict.having(Status.REGRESSION)}
        assert alone.result == "passed" or beside.result == "failed"
