"""Whatever lies beside a baseline, what the gate makes of it is not milder than the baseline alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.gate.outcome import outcome_of, pairing_of
from pytest_prunecal.gate.selection import GateFile
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.lab.evaluation.encoded import encode
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.trace import CORRUPTIONS, DATA, DENSE, FINETUNE, Jitter, Trace
from pytest_prunecal.study.uncertainty import Uncertainty

torch.set_num_threads(1)
QUICK = load("quick", BUILT_IN)
SETTINGS = SimpleNamespace(
    protocol=QUICK,
    metrics=METRICS,
    extensions=Extensions(),
    options=SimpleNamespace(update=None, changed="tell"),
)
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
    accuracy: {mean: 0.8500, se: 0.02, sd: 0.01, seeds: 3, first: 0.8600}
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

anything_each = st.dictionaries(
    st.sampled_from([*NAMES, "mpc"]), st.lists(st.floats(), min_size=1, max_size=5)
)
HERE = Trace(
    "cafe",
    {
        DATA: {"images and labels": "0f"},
        CORRUPTIONS: {"fog 1": 0.5},
        DENSE: {"accuracy": 0.9},
        FINETUNE: {"loss 1": 2.1, "steps": 8},
    },
)
traces = st.just(HERE) | st.builds(
    Trace,
    st.sampled_from(["cafe", "beef"]),
    st.fixed_dictionaries(
        {
            DATA: st.just({"images and labels": "0f"}),
            CORRUPTIONS: st.dictionaries(st.just("fog 1"), st.floats()),
            DENSE: st.dictionaries(st.just("accuracy"), st.floats()),
            FINETUNE: st.dictionaries(st.sampled_from(["loss 1", "steps"]), st.floats() | st.integers()),
        }
    ),
)
moved = st.dictionaries(
    st.sampled_from([CORRUPTIONS, DENSE, FINETUNE]),
    st.dictionaries(st.sampled_from(["fog 1", "accuracy", "loss 1"]), st.floats(0)),
)
jitters = st.builds(
    Jitter, moved, st.dictionaries(st.sampled_from(NAMES), st.lists(st.floats(), min_size=1, max_size=3))
)


def measured(accuracy, nll, seeds, base):
    draw = torch.Generator().manual_seed(1)
    content = {name: torch.rand(IMAGES, generator=draw) for name in NAMES}
    other = {name: torch.rand(IMAGES, generator=draw) for name in NAMES}
    numbers = {"accuracy": accuracy, "nll": nll}
    each = {name: [value] * seeds for name, value in numbers.items()}
    return Measurement(
        numbers,
        provenance=base,
        uncertainty=dict.fromkeys(NAMES, Uncertainty(0.02)),
        by_image=ImageResults(
            numbers, {}, "cafe", {"accuracy": 0.9, "nll": 0.3}, encode(content), encode(other)
        ),
        each=each,
        trace=HERE,
    )


@pytest.mark.parametrize("base", [{"base": "pinned"}, {}])
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(
    data=st.data(), accuracy=st.floats(0, 1), nll=st.floats(0, 3), seeds=st.sampled_from([1, 2, 5, 16])
)
def test_nothing_beside_makes_an_outcome_milder(base, data, accuracy, nll, seeds):
    there = "base: pinned" if base else "device: cpu"
    found = baseline.parse(TEXT.replace("BASE", there), "f.yaml")
    for cell in CELLS:
        measurement = measured(accuracy, nll, seeds, base)
        accepted = found.cells[cell.id].metrics
        forged = ImageResults(
            metrics=data.draw(st.just(accepted) | whole),
            each=data.draw(st.just(measurement.each) | anything_each),
            base=data.draw(st.sampled_from(["cafe", "beef"])),
            base_metrics=data.draw(whole | anything),
            cell=data.draw(columns | flat),
            base_cell=data.draw(columns | flat),
            change_sd=data.draw(anything),
            trace=data.draw(st.none() | traces),
            jitter=data.draw(st.none() | jitters),
        )

        def of(images, cell=cell, measurement=measurement):
            file = GateFile("net", Path("f.yaml"), "f.yaml", found, CELLS, frozenset(), images)
            pairing = pairing_of(file, cell, measurement, METRICS)
            return outcome_of(file, cell, measurement, pairing, SETTINGS, runxfail=False)

        alone, beside = of({}), of({cell.id: forged})
        regressed = {row.metric for row in alone.verdict.having(Status.REGRESSION)}
        assert regressed <= {row.metric for row in beside.verdict.having(Status.REGRESSION)}
        assert alone.result == "passed" or beside.result == "failed"
        # Nor does it end a doubt that the file alone has.
        assert beside.verdict.more >= alone.verdict.more or beside.verdict.status.fails
