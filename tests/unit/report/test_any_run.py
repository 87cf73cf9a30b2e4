"""Every run can be reported."""

import json as stdlib_json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.verdict import Circumstances, Status, judge
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown
from pytest_prunecal.report.html import page as html
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, Metric, known
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = load("quick", BUILT_IN)
TEXT = st.text(st.sampled_from("ab<>&\"'|`*_\\\n\r\t #-~é\x00\x1b\u2028\ud800"), max_size=12)
NAMES = st.sampled_from([*METRICS, "own", "<script>alert(1)</script>", "a|b"])
VALUES = st.one_of(st.floats(-1e100, 1e100), st.floats(0, 1), st.integers(-9, 10**12))
ANY_FLOAT = st.one_of(st.floats(), st.floats(0, 1))
SCORES = st.dictionaries(st.sampled_from(["accuracy", "ece", "nll"]), ANY_FLOAT, max_size=3)
CORRUPTED = st.dictionaries(
    st.sampled_from(["fog", "snow", "mine"]),
    st.dictionaries(st.sampled_from(["1", "3", "x"]), SCORES, max_size=2),
    max_size=2,
)


SIZES = st.none() | st.floats(0, 1, allow_subnormal=False) | st.just(math.nan)
UNCERTAINTIES = st.builds(Uncertainty, SIZES, SIZES, st.integers(1, 5))
ERRORS = st.dictionaries(NAMES, st.floats(0, 1, allow_subnormal=False), max_size=2)
POOLED = st.builds(
    Pooled,
    NAMES,
    st.sampled_from([Status.OK, Status.IMPROVEMENT, Status.REGRESSION]),
    *[ANY_FLOAT] * 3,
    st.integers(2, 21),
    st.floats(0, 1),
)


@st.composite
def cell_results(draw, model):
    pruner = draw(st.sampled_from([None, "weight", "filter", "mine", "p<|`"]))
    ratio = draw(st.sampled_from([0.1, 0.5, 0.123457, 1e-9, 0.999])) if pruner else 0.0
    cell = Cell(model, pruner, ratio)
    if draw(st.integers(0, 4)) == 0:
        return CellResult(cell, error=draw(TEXT))
    numbers = draw(st.dictionaries(NAMES, VALUES, max_size=5))
    accepted = draw(st.one_of(st.none(), st.just(numbers), st.dictionaries(NAMES, VALUES, max_size=5)))
    rules = draw(
        st.dictionaries(NAMES, st.builds(Tolerance, st.floats(0, 1), st.floats(0, 1), TEXT), max_size=2)
    )
    provenance = draw(
        st.dictionaries(st.sampled_from(["torch", "corruptions", "b<"]), TEXT | VALUES, max_size=3)
    )
    sure = draw(st.dictionaries(NAMES, UNCERTAINTIES, max_size=3))
    pairing = Pairing(draw(st.booleans()), draw(st.booleans()), draw(ERRORS), draw(ERRORS), {}, draw(TEXT))
    warnings = tuple(draw(st.lists(TEXT, max_size=1)))
    measurement = Measurement(numbers, draw(CORRUPTED), provenance, warnings, sure, None)
    circumstances = Circumstances(
        QUICK.noise, QUICK.false_alarms, draw(st.integers(1, 300)), QUICK.min_effect, sure, pairing=pairing
    )
    verdict = draw(st.sampled_from([judge(numbers, accepted, rules, METRICS, circumstances), None]))
    return CellResult(
        cell,
        measurement,
        verdict,
        accepted=draw(st.booleans()),
        known=draw(TEXT) if verdict else "",
        pairing=pairing,
    )


@st.composite
def runs(draw):
    models = []
    for name in draw(st.lists(TEXT, max_size=2)):
        cells = draw(st.lists(cell_results(name), max_size=6, unique_by=lambda result: result.cell.id))
        texts = (draw(TEXT) for _ in range(3))
        orphans = tuple(draw(st.lists(TEXT, max_size=2)))
        models.append(ModelRun(name, draw(TEXT), sort_results(cells, QUICK), orphans, *texts))
        models[-1] = replace(models[-1], pooled=tuple(draw(st.lists(POOLED, max_size=2))))
    own = known([Metric("own", higher_is_better=True, title=draw(TEXT))] if draw(st.booleans()) else [])
    return Run(QUICK, own, tuple(models), draw(st.booleans()))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_every_run_can_be_reported(tree_of, run):
    text = html.render(run)
    assert text == html.render(run)
    text.encode()
    page = tree_of(text)
    assert len(page.all("h2")) == len(run.models)
    for element in page.all("*"):
        for attribute in ("points", "x1", "x2", "y1", "y2", "cx", "cy", "x", "y"):
            numbers = re.split("[ ,]", element.attributes.get(attribute, "0"))
            assert all(math.isfinite(float(number)) for number in numbers)
    document = stdlib_json.loads(json.render(run), parse_constant=pytest.fail)
    assert [len(model["cells"]) for model in document["models"]] == [
        len(model.results) for model in run.models
    ]
    summary = markdown.render(run)
    summary.encode()
    assert summary.count("<details>") == summary.count("</details>")
