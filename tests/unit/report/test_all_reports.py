"""What the page, the JSON and the Markdown all say of a run."""

import json as stdlib_json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from pytest_prunecal.judge.verdict import CellVerdict, Status
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown, wording
from pytest_prunecal.report.run import CellResult
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.uncertainty import Uncertainty


def test_known_regressions_are_named_with_their_reason_and_fail_nothing(build, page_of, cell_of):
    known_one = build.noisy("weight-0.5", {"accuracy": 0.9}, known="diverges,\nissue <12>")
    run = build.run(build.noisy("dense"), known_one)
    why = "regression: accuracy 0.9500 -> 0.9000; tolerated: diverges, issue <12>"
    assert (wording.outcome(run), wording.reason(known_one)) == ("passed", why)
    assert not wording.wants_accepting(run.models[0])
    page = page_of(run)
    assert page.one("table", class_="cells").row("weight-0.5")[0] == "◌ known"
    assert page.all("span", class_="badge is-known")
    assert why in page.all("details", class_="cell")[1].one("summary").text
    assert ".is-known" in page.one("style").text
    cell = cell_of(run)
    assert (cell["label"], cell["status"], cell["failed"]) == ("known", "regression", False)
    assert (cell["known"], cell["reason"]) == ("diverges,\nissue <12>", why)
    assert "◌ known: regression: accuracy 0.9500 -> 0.9000; tolerated: diverges, issue &lt;12>" in (
        markdown.render(run)
    )


def test_cells_that_got_worse_together_fail_the_run(build, page_of):
    run = build.run(build.noisy("dense"), build.noisy("weight-0.5"), pooled=(build.WORSE, build.LIGHTER))
    words = "failed: vgg19's cells got worse together"
    assert (wording.outcome(run), wording.headline(run)) == ("failed", words)
    page = page_of(run)
    assert page.one("h1").text.strip() == f"✗ {words.capitalize()}"
    item = page.one("ul", class_="failing")
    assert item.text.strip() == "vgg19 all cells together ✗ regression accuracy -0.0123"
    assert page.one("h3", id=item.one("a")["href"][1:]).text == "All cells together"
    table = page.all("table", class_="comparison")[0]
    assert table.row("accuracy") == ["21", "-0.0123", "0.0050", "0.0071", "✗ regression"]
    assert table.row("parameters") == ["21", "-12", "100175", "100175", "✓ ok"]
    assert "pytest --prunecal-update" in page.text
    document = stdlib_json.loads(json.render(run))
    assert (document["outcome"], document["totals"]["failed"]) == ("failed", 0)
    assert document["totals"]["worse_together"] == 1
    assert document["models"][0]["worse_together"]
    assert document["models"][0]["together"][0] == {
        "metric": "accuracy", "status": "regression", "cells": 21, "change": -0.0123, "allowed": 0.005,
        "detectable": 0.0071, "p_value": 1e-6,
    }  # fmt: skip
    text = markdown.render(run)
    assert text.startswith(f"## ✗ prunecal {words}\n")
    assert "| accuracy ↑ | 21 | -0.0123 | 0.0050 | 0.0071 | ✗ regression |" in text


def test_what_holms_procedure_rejects_besides_is_told(build, page_of, cell_of):
    near = build.noisy("weight-0.1", {"accuracy": 0.9362})  # within its bound of 0.0147, not within a fifth's
    worse = [build.noisy(f"filter-{n / 10}", {"accuracy": 0.85}) for n in range(1, 6)]
    line = "weight-0.1: given these regressions, accuracy -0.0138 is one too"
    for others, told in ((worse, True), (worse[:1], False)):
        run = replace(build.run(near, *others), comparisons=10)
        assert (line in page_of(run).text) is told
        assert (f"- {line}" in markdown.render(run)) is told
        metrics = cell_of(run, "weight-0.1")["metrics"]
        assert (metrics["accuracy"]["further"], metrics["ece"]["further"]) == (told, False)


def test_errors_that_are_no_numbers_are_left_out(build, page_of, cell_of):
    sure = {"accuracy": Uncertainty(math.nan, math.inf, 3), "ece": Uncertainty(math.inf)}
    odd = build.noisy("weight-0.5", sure=sure)
    run = build.run(odd)
    assert page_of(run).one("table", class_="cells").row("weight-0.5")[1:3] == ["0.9500", "0.0300"]
    assert cell_of(run)["metrics"]["accuracy"]["uncertainty"]["measured"] == {
        "se": None, "sd": None, "seeds": 3,
    }  # fmt: skip
    assert "nan" not in markdown.render(run)


@pytest.mark.parametrize(
    ("cells", "errors", "interrupted", "outcome", "words"),
    [
        (0, 0, False, "empty", "nothing was gated: no cell was reached"),
        (0, 0, True, "interrupted", "interrupted after 0 cells, none failing"),
        (1, 0, False, "passed", "passed: 1 cell"),
        (2, 0, True, "interrupted", "interrupted after 2 cells, none failing"),
        (0, 1, True, "failed", "failed: 1 of 1 cell fails, interrupted"),
    ],
)
def test_headline(build, page_of, cells, errors, interrupted, outcome, words):
    results = [*build.curve()[:cells], *[CellResult(Cell("m", None, 0.0))] * errors]
    run = build.run(*results, interrupted=interrupted)
    assert (wording.outcome(run), wording.headline(run)) == (outcome, words)
    assert stdlib_json.loads(json.render(run))["outcome"] == outcome
    assert words in markdown.render(run)
    assert words[1:] in page_of(run).one("h1").text


def test_accepted_cells_pass_and_say_so(build, page_of):
    accepted = build.result(
        Cell("vgg19", None, 0.0), build.NUMBERS, {**build.NUMBERS, "ece": 0.5}, label=True
    )
    run = build.run(accepted, refreshed="accepted 1 cell")
    page = page_of(run)
    assert page.one("table", class_="cells").row("dense")[0] == "✓ accepted"
    assert "accepted 1 cell" in page.text
    assert "✓ accepted |" in markdown.render(run)
    assert not wording.wants_accepting(run.models[0])


def test_an_incomparable_cell_shows_its_numbers_and_the_reason(build, page_of):
    verdict = CellVerdict(Status.INCOMPARABLE, (), "measured under another protocol")
    run = build.run(CellResult(Cell("vgg19", "weight", 0.5), Measurement(build.NUMBERS), verdict))
    assert "measured under another protocol" in page_of(run).one("ul", class_="failing").text
    assert page_of(run).one("table", class_="cells").row("weight-0.5")[:2] == ["✗ incomparable", "0.9500"]
    assert "measured under another protocol" in markdown.render(run)


def test_reports_import_neither_pytest_nor_torch_nor_templates_before_they_are_needed():
    code = (
        "import sys; from pytest_prunecal.report import json_report, markdown; "
        "from pytest_prunecal.report.html import page; "
        "sys.exit(', '.join({'pytest', '_pytest', 'torch', 'numpy', 'jinja2'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
