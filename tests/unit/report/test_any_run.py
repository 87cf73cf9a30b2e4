"""Every run can be reported."""

import html as stdlib_html
import json as stdlib_json
import math
import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_prunecal.baseline.file import Known
from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.judging import Circumstances, judge
from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.screen import Difference
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown, terminal, wording
from pytest_prunecal.report.failure import failure
from pytest_prunecal.report.html import page as html
from pytest_prunecal.report.run import Against, CellResult, ModelRun, Run, sort_results
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, Metric, known
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.trace import STAGES
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = load("quick", BUILT_IN)
CHARACTERS = "ab<>&\"'|`*_\\\n\r\t #-~é\x00\x1b\u2028\ud800:@1[]()!$.+=\u202e\u200d\x7f\x85"
COMMANDS = """\
::error::x
##[error]x
@octocat
#123
www.evil.org
https://evil.org
![a](b)
[a](https://evil.org)
<img src=x>
a@evil.org
- x
1. x
> x
GH-1
`@a`
|@a|
"""
TEXT = st.text(st.sampled_from(CHARACTERS), max_size=12) | st.sampled_from(
    [*COMMANDS.splitlines(), "\n::error::x"]
)
NAMES = st.sampled_from([*METRICS, "own", "<script>alert(1)</script>", "a|b"])
VALUES = st.one_of(st.floats(-1e100, 1e100), st.floats(0, 1), st.integers(-9, 10**12))
ANY_FLOAT = st.one_of(st.floats(), st.floats(0, 1))
SCORES = st.dictionaries(st.sampled_from(["accuracy", "ece", "nll"]), ANY_FLOAT, max_size=3)
CORRUPTED = st.dictionaries(
    st.sampled_from(["fog", "snow", "mine"]),
    st.dictionaries(st.sampled_from(["1", "3", "x"]), SCORES, max_size=2),
    max_size=2,
)


DIFFERENCES = st.builds(
    Difference, st.sampled_from(STAGES), TEXT | st.just("loss 3"), st.none() | VALUES, VALUES | TEXT
)
SIZES = st.none() | st.floats(0, 1, allow_subnormal=False) | st.just(math.nan)
UNCERTAINTIES = st.builds(Uncertainty, SIZES, SIZES, st.integers(1, 5))
ERRORS = st.dictionaries(NAMES, st.floats(0, 1, allow_subnormal=False), max_size=2)
POOLED = st.builds(
    Pooled,
    TEXT,
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
    pairing = Pairing(draw(st.booleans()), draw(st.booleans()), draw(ERRORS), draw(ERRORS), draw(TEXT))
    sides = Sides(
        QUICK.noise,
        draw(st.booleans()),
        accepted=draw(st.dictionaries(NAMES, UNCERTAINTIES.map(lambda sure: sure.recorded), max_size=2)),
        same_base=draw(st.booleans()),
        each=draw(st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=2)),
        accepted_each=draw(st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=2)),
        pairing=pairing,
        traced=draw(st.booleans()),
    )
    warnings = tuple(draw(st.lists(TEXT, max_size=1)))
    measurement = Measurement(numbers, draw(CORRUPTED), provenance, warnings, sure, None)
    circumstances = Circumstances(
        sides,
        draw(st.sampled_from([1e-5, 0.01])),
        draw(st.sampled_from([1, 5, 16])),
        QUICK.min_effect,
        sure,
        differences=draw(st.none() | st.lists(DIFFERENCES, max_size=3).map(tuple)),
    )
    verdict = draw(st.sampled_from([judge(numbers, accepted, rules, METRICS, circumstances), None]))
    return CellResult(
        cell,
        measurement,
        verdict,
        accepted=bool(verdict and draw(st.booleans())),
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
    assert not unseen(text + summary + json.render(run))


UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def unseen(text):
    """Characters of a text that people cannot see, line ends and tabs aside."""
    return {character for character in text if unicodedata.category(character) in UNSEEN} - {"\n", "\t"}


def assert_nothing_is_obeyed(lines):
    for line in lines:
        assert not unseen(line), line
        assert "\t" not in line
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs(), TEXT, TEXT)
def test_a_terminal_shows_every_text_and_obeys_none(run, note, reason):
    lines = list(terminal.lines(replace(run, power=True)))
    assert_nothing_is_obeyed(lines)
    assert all("\n" not in line for line in lines)
    for model in run.models:
        for result in model.results:
            if result.verdict:
                against = Against("quick", model.file, model.accept, 7, note, Known(reason, model.file))
                assert_nothing_is_obeyed(
                    failure(result.cell, result.verdict, against, run.metrics).split("\n")
                )


GITHUB = MarkdownIt("gfm-like", {"html": True})
OWN = {
    *[
        "h2",
        "h3",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "details",
        "summary",
        "strong",
        "code",
        "pre",
    ]
}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_a_job_page_shows_every_text_and_obeys_none(run):
    page = GITHUB.render(markdown.render(run))
    assert set(re.findall(r"<([a-z0-9]+)", page)) <= OWN
    outside = re.sub(r"<(code|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"@\w|#\d|://|www\.|GH-\d", outside, re.IGNORECASE), outside
    assert page.count("<h3>") == len(run.models)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_markdown_of_a_text_reads_as_the_text(text):
    shown = wording.clean(" ".join(text.split()))
    for page in (
        GITHUB.render(f"x {markdown._inline(text)}"),
        GITHUB.render(f"- {markdown._paragraph(text)}"),
    ):
        body = re.sub(r"</?(code|p|ul|li)>", "", page).strip().replace("\n", "")
        assert stdlib_html.unescape(body).removeprefix("x").strip() == shown
    (table,) = GITHUB.parse(f"| a | b |\n| --- | --- |\n| {markdown._inline(text)} | c |")[0:1]
    assert table.type == "table_open"
    row = GITHUB.render(f"| a | b |\n| --- | --- |\n| {markdown._inline(text)} | c |").partition("<tbody>")[2]
    assert re.sub(r"<.*?>", "", row).split()[-1] == "c"
    assert row.count("<td>") == 2
