"""The report for programs keeps to the schema that ships in the package, and holds nothing beyond it."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

SCHEMA = json.loads((resources.files("pytest_prunecal") / "report.schema.json").read_text(encoding="utf-8"))


def closed(schema):
    """The same schema without room for what it does not describe: a new field needs a new line there."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(part) for key, part in schema.items()}
    if "required" in found and "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


def report_of(project, *args):
    outcome = project.gate("--prunecal-json=run.json", *args)
    return outcome.ret, json.loads((project.path / "run.json").read_text(encoding="utf-8"))


def faults(report):
    return [
        f"{fault.json_path}: {fault.message}"
        for fault in Draft202012Validator(closed(SCHEMA)).iter_errors(report)
    ]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_a_passing_run_fits(auto):
    ret, report = report_of(auto)
    assert (ret, report["outcome"]) == (0, "passed")
    assert faults(report) == []


def test_a_failing_run_fits(sure):
    sure.tune(worse=True)
    sure.edit("  channel-0.5:", "  gone-0.5:")  # a cell without accepted numbers, and numbers without a cell
    ret, report = report_of(sure)
    assert (ret, report["outcome"]) == (1, "failed")
    cells = {cell["id"]: cell for cell in report["models"][0]["cells"]}
    assert (cells["weight-0.5"]["label"], cells["channel-0.5"]["label"]) == ("regression", "missing")
    assert cells["weight-0.5"]["screen"]["compared"]
    assert {one["stage"] for one in cells["weight-0.5"]["screen"]["differences"]} == {"finetune"}
    assert cells["weight-0.5"]["seeds"] > report["seeds"] == 1
    nll = cells["weight-0.5"]["metrics"]["nll"]
    assert (nll["comparison"]["kind"], nll["comparison"]["accepted_seeds"]) == ("same base", 3)
    assert nll["comparison"]["seeds"] == cells["weight-0.5"]["seeds"]
    assert report["models"][0]["comparisons"] > 0
    assert faults(report) == []


def test_errors_known_regressions_and_fixed_tolerances_fit(auto):
    auto.edit("tolerance: auto", "tolerance: {accuracy: 0.05, ece: 0.05, nll: {rel: 0.1}}", "tiny.yaml")
    known = "weight-0.5:\n    known: {reason: no time yet}\n    accuracy: {mean: 9"
    auto.edit("weight-0.5:\n    accuracy: {mean: ", known)
    broken = (
        "if self.bn2.num_features == 6:\n            raise ValueError('broken')\n        return self.head"
    )
    auto.edit("return self.head", broken, "tiny.py")
    ret, report = report_of(auto)
    assert ret == 1
    labels = {cell["id"]: cell["label"] for cell in report["models"][0]["cells"]}
    assert (labels["weight-0.5"], labels["filter-0.5"]) == ("known", "error")
    assert faults(report) == []


@pytest.mark.parametrize("field", ["outcome", "totals", "models"])
def test_a_missing_field_does_not_fit(auto, field):
    _, report = report_of(auto, "--prunecal-ratios=0")
    del report[field]
    assert faults(report)
