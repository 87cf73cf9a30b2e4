"""The summary for a CI job's page."""

import re

import pytest

from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report import markdown
from pytest_prunecal.report.run import CellResult
from pytest_prunecal.study.cell import Cell

HOSTILE = "<script>alert(1)</script>"


def test_markdown_by_example(build, columns_of):
    worse = build.result(Cell("vgg19", "weight", 0.5), {**build.NUMBERS, "accuracy": 0.9}, build.NUMBERS)
    lines = markdown.render(build.run(*build.curve(ratios=(0.1,)), worse)).split("\n")
    assert lines[0] == "## ✗ prunecal failed: 1 of 5 cells fails"
    (row,) = [line for line in lines if line.startswith("| weight-0.5 ")]
    assert columns_of(row) == [
        "weight-0.5",
        "0.9000 (-0.0500 ✗)",
        "0.0300",
        "0.8000",
        "0.1000",
        "✗ regression",
    ]
    (row,) = [line for line in lines if line.startswith("| weight-0.1 ")]
    assert columns_of(row)[-1] == "✓ identical"
    (row,) = [line for line in lines if line.startswith("| accuracy ↑ ")]
    assert columns_of(row)[1:] == [
        "0.9500",
        "0.9000",
        "-0.0500",
        "0.0100",
        "",
        "0.01 (protocol quick)",
        "✗ regression",
    ]
    assert "- compared exactly, as noise has no part in it: mpc, corrupted\\_ece, parameters" in lines
    at = lines.index("pytest --prunecal-update")
    assert (lines[at - 1], lines[at + 1]) == ("```", "```")


def test_markdown_asks_for_nothing_when_nothing_changed(build):
    text = markdown.render(build.run(*build.curve()))
    assert text.startswith("## ✓ prunecal passed: 10 cells\n")
    assert "--prunecal-update" not in text
    assert "<details>" not in text


@pytest.mark.parametrize("name", [HOSTILE, "a|b", "`a`|`b`", "a\nb", "\\|", "| --- |"])
def test_markdown_escapes(build, columns_of, tables_of, name):
    run = build.run(
        build.result(Cell(name, name, 0.5), {"ece": 0.5, name: 1.0}, {"ece": 0.1}),
        CellResult(Cell(name, "weight", 0.1), error=f"``` {name}"),
        model=name,
        accept=f"echo ```` {name}",
    )
    text = markdown.render(run)
    cells, compared = tables_of(text)
    assert [len(columns_of(line)) for line in cells] == [6] * 4
    assert [len(columns_of(line)) for line in compared] == [8] * 4
    shown = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in shown
    assert "echo" not in shown


def test_a_fence_is_longer_than_what_it_holds(build):
    text = markdown.render(build.run(CellResult(Cell("vgg19", None, 0.0), error="a\n````\n<b>")))
    assert "\n`````\na\n````\n<b>\n`````\n" in text


def test_markdown_of_many_cells_stays_small(build):
    error = "Traceback (most recent call last):\n" + "x" * 9000 + "\nValueError: " + "y" * 5000
    cells = [CellResult(Cell("vgg19", "weight", n / 200), error=error) for n in range(1, 101)]
    text = markdown.render(build.run(*cells))
    assert len(text.encode()) < 200_000
    assert "and 50 more" in text
    assert "ValueError" in text


def test_markdown_says_how_sure_and_how_sharp(build, columns_of, tables_of):
    text = markdown.render(build.run(build.noisy("weight-0.5", {"accuracy": 0.9})))
    cells, compared = tables_of(text)
    assert columns_of(cells[2])[1:3] == ["0.9000 ±0.006 (-0.0500 ✗)", "0.0300 ±0.004/0.003"]
    rows = {columns_of(line)[0]: columns_of(line)[1:] for line in compared}
    assert rows["accuracy ↑"][:4] == ["0.9500 ±0.0061", "0.9000 ±0.006", "-0.0500", "0.0199"]
    assert rows["ECE ↓"][1] == "0.0300 ±0.004 (sd 0.003 over 3 seeds)"
    assert "± sampling error on the test images, then deviation over 3 seeds" in text
    assert "- compared against the one accepted seed: accuracy, ece" in text
    (line,) = [line for line in text.splitlines() if "cannot see all that matters" in line]
    assert line.startswith("- 2 of 5 comparisons")


def test_markdown_leaves_out_cells_together_where_nothing_changed(build):
    same = Pooled("", "accuracy", Status.OK, 0.0, 0.005, 0.007, 21, 1.0)
    text = markdown.render(build.run(build.noisy("dense"), pooled=(same,)))
    assert "together" not in text
