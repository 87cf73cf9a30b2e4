"""What the page, the JSON and the Markdown all say of a run."""

import json as stdlib_json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from pytest_prunecal.judge.screen import Difference
from pytest_prunecal.judge.verdict import CellVerdict, Status
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown, terminal, wording
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
    assert item.text.strip() == "vgg19 cells together ✗ regression accuracy -0.0123"
    assert page.one("h3", id=item.one("a")["href"][1:]).text == "Cells together"
    table = page.all("table", class_="comparison")[0]
    assert table.row("accuracy") == ["all pruners", "21", "-0.0123", "0.0050", "0.0071", "✗ regression"]
    assert table.row("parameters") == ["filter", "21", "-12", "100175", "100175", "✓ ok"]
    assert "pytest --prunecal-update" in page.text
    document = stdlib_json.loads(json.render(run))
    assert (document["outcome"], document["totals"]["failed"]) == ("failed", 0)
    assert document["totals"]["worse_together"] == 1
    assert document["models"][0]["worse_together"]
    assert document["models"][0]["together"][0] == {
        "metric": "accuracy", "group": "", "status": "regression", "cells": 21, "change": -0.0123,
        "allowed": 0.005, "detectable": 0.0071, "p_value": 1e-6,
    }  # fmt: skip
    text = markdown.render(run)
    assert text.startswith(f"## ✗ prunecal {words}\n")
    assert "| accuracy ↑ | all pruners | 21 | -0.0123 | 0.0050 | 0.0071 | ✗ regression |" in text


def test_a_cell_measured_over_more_seeds_says_why_and_what_came_of_it(build, page_of, cell_of):
    over = {"accuracy": (0.90, 0.951, 0.949, 0.95, 0.95), "ece": (0.03,) * 5}
    noise = build.noisy("weight-0.1", {"accuracy": 0.94}, each=over, most=16)
    over = {"accuracy": (0.85,) * 5, "ece": (0.03,) * 5}
    worse = build.noisy("weight-0.3", {"accuracy": 0.85}, each=over, most=16)
    lines = {
        "weight-0.1": "because accuracy looked worse by more than training noise often does; it was noise",
        "weight-0.3": "because accuracy looked worse by more than training noise often does; it stayed worse",
    }
    run = build.run(noise, worse, build.noisy("weight-0.5"))
    for cell, why in lines.items():
        line = f"{cell}: measured over 5 seeds, {why}"
        assert line in page_of(run).text
        assert f"- {line}" in markdown.render(run)
        assert line in list(terminal.lines(run))
        assert cell_of(run, cell)["seeds"] == 5
    assert cell_of(run)["seeds"] == 1
    assert len([line for line in terminal.lines(run) if "measured over" in line]) == 2
    # It is not in doubt where each cell was begun over as many, or its numbers were accepted.
    assert "measured over" not in markdown.render(replace(run, seeds=5))
    accepted = replace(noise, accepted=True)
    assert "measured over" not in markdown.render(build.run(accepted))


def test_many_cells_measured_over_more_seeds_share_a_line(build):
    over = {"accuracy": (0.90, 0.951, 0.949, 0.95, 0.95), "ece": (0.03,) * 5}
    cells = [build.noisy(f"weight-0.{n}", {"accuracy": 0.94}, each=over, most=16) for n in range(1, 6)]
    line = (
        "5 cells: measured over up to 5 seeds, because something looked worse by more than training noise "
        "often does; it was noise"
    )
    run = build.run(*cells)
    assert [said for said in terminal.lines(run) if "measured over" in said] == [line]
    singly = [said for said in terminal.lines(replace(run, power=True)) if "measured over" in said]
    assert len(singly) == 5


def test_what_a_cell_computes_otherwise_is_told_and_a_ruler_fails(build, page_of, cell_of):
    step = Difference("finetune", "loss 3", 2.1, 2.25, 1e-5)
    fog = Difference("corruptions", "fog 1", 0.5, 0.6, 1e-5)
    told = "fine-tuning differs from step 3 on (loss 2.1 -> 2.25)"
    run = build.run(build.noisy("weight-0.5", differences=(step,)))
    assert (wording.outcome(run), wording.reason(run.results[0])) == ("passed", told)
    assert told in page_of(run).text
    assert f": {told} |" in markdown.render(run)
    assert any(line.endswith("; fine-tuning differs from step 3 on") for line in terminal.lines(run))
    assert cell_of(run)["screen"] == {
        "compared": True,
        "differences": [
            {"stage": "finetune", "name": "loss 3", "accepted": 2.1, "measured": 2.25, "allowed": 1e-5}
        ],
    }
    run = build.run(build.noisy("weight-0.5", differences=(fog, step)))  # the second follows from the first
    assert "fine-tuning differs" not in page_of(run).text + markdown.render(run)
    says = "the corrupted images differ: fog 1 0.5 -> 0.6"
    assert (wording.outcome(run), wording.reason(run.results[0])) == ("failed", says)
    assert run.results[0].label == "changed"
    assert f"changed: {says}" in "\n".join(terminal.lines(run))
    assert says in markdown.render(run)
    run = build.run(build.noisy("weight-0.5"))
    assert cell_of(run)["screen"] == {"compared": False, "differences": []}


def test_errors_that_are_no_numbers_are_left_out(build, page_of, cell_of):
    sure = {"accuracy": Uncertainty(math.nan, math.inf, 3), "ece": Uncertainty(math.inf)}
    odd = build.noisy("weight-0.5", sure=sure)
    run = build.run(odd)
    assert page_of(run).one("table", class_="cells").row("weight-0.5")[1:3] == ["0.9500", "0.0300"]
    assert cell_of(run)["metrics"]["accuracy"]["uncertainty"]["measured"] == {
        "se": None, "sd": None, "seeds": 3, "first": None,
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
