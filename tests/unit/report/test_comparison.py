"""The columns of comparisons: said once, printed by every report."""

import json as stdlib_json
from dataclasses import replace

import pytest

from pytest_prunecal.judge.verdict import MetricVerdict, Status
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown
from pytest_prunecal.report.comparison import CELL, POOLED, allowed
from pytest_prunecal.report.failure import failure, pooled_failure
from pytest_prunecal.report.run import Against
from pytest_prunecal.study.metric import METRICS, Metric
from pytest_prunecal.study.tolerance import Tolerance

AGAINST = Against("quick", "f.yaml", "pytest --accept")


@pytest.fixture
def run(build):
    """A cell got worse, and so did all at once."""
    return build.run(build.noisy("weight-0.5", {"accuracy": 0.9}), pooled=(build.WORSE,))


def test_every_report_prints_every_column_of_a_cell(run, page_of, columns_of, tables_of, cell_of):
    (result,) = run.results
    headings = [column.heading for column in CELL]
    table = page_of(run).all("table", class_="comparison")[0]
    assert [head.text for head in table.all("th", scope="col")] == headings
    assert [columns_of(lines[0]) for lines in tables_of(markdown.render(run))][1] == headings
    text = failure(result.cell, result.verdict, AGAINST, METRICS)
    (header,) = (line for line in text.splitlines() if line.startswith("metric"))
    assert "  ".join(header.split()) == "  ".join(" ".join(headings[:-1]).split())  # the last goes without
    assert {column.key for column in CELL if column.key} < set(cell_of(run)["metrics"]["accuracy"])


def test_every_report_prints_every_column_of_all_cells_at_once(run, page_of, columns_of, tables_of):
    headings = [column.heading for column in POOLED]
    table = page_of(run).all("table", class_="comparison")[1]
    assert [head.text for head in table.all("th", scope="col")] == headings
    pooled = columns_of(tables_of(markdown.render(run))[2][0])
    assert pooled == ["cells together", *headings[1:]]
    text = pooled_failure("vgg19", run.models[0].pooled, AGAINST, METRICS)
    (header,) = (line for line in text.splitlines() if line.startswith("metric"))
    assert header.split() == " ".join(headings[:-1]).split()
    (model,) = stdlib_json.loads(json.render(run))["models"]
    assert [column.key for column in POOLED] == [key for key in model["together"][0] if key != "p_value"]


def test_a_bound_of_a_metric_that_counts_is_what_it_may_reach():
    row = MetricVerdict("rules", Status.REGRESSION, 278, 280, Tolerance(rel=0.005))
    assert allowed(row, Metric("rules", higher_is_better=False, count=True)) == "1"
    assert allowed(row, Metric("rules", higher_is_better=False)) == "1.3900"
    assert allowed(replace(row, baseline=None), METRICS["macs"]) == ""


def test_a_bound_that_nothing_reaches_allows_any_change(build):
    (row,) = [row for row in build.noisy("weight-0.5").verdict.metrics if row.metric == "ece"]
    wide = replace(row, allowance=replace(row.allowance, bound=34.5))
    assert 0.005 < float(allowed(row, METRICS["ece"])) < 0.1
    assert allowed(wide, METRICS["ece"]) == "any"
