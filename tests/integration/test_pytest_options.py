"""pytest's own options on the gate."""

from __future__ import annotations

import os
from xml.etree import ElementTree as ET

import pytest


def test_without_a_terminal_reporter(gated):
    gated.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    outcome = gated.gate("-p", "no:terminal", "--prunecal-pruners=weight")
    assert outcome.ret == 1
    assert outcome.cells == {"dense": "passed", "weight-0.3": "passed", "weight-0.5": "failed"}


def test_an_update_without_a_terminal_reporter(gated):
    text = gated.baseline.read_text()
    gated.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    assert gated.gate("-p", "no:terminal", "--prunecal-pruners=weight", "--prunecal-update").ret == 0
    assert gated.baseline.read_text() == text


def test_without_a_cache(gated):
    assert gated.gate("-p", "no:cacheprovider", "--prunecal-ratios=0").ret == 0


def test_quiet_keeps_the_summary(gated):
    outcome = gated.gate("-q", "--prunecal-ratios=0")
    assert outcome.ret == 0
    assert outcome.line("dense ").endswith("identical")


def test_verbose_names_every_cell(gated):
    outcome = gated.gate("-v", "--prunecal-ratios=0")
    assert outcome.line("baselines/tiny/tinynet.yaml::prune[dense] ").startswith(
        "baselines/tiny/tinynet.yaml::prune[dense] PASSED"
    )


@pytest.mark.parametrize("style", ["short", "long", "native"])
def test_tracebacks_of_any_style_show_the_message_and_none_of_our_code(gated, style):
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    outcome = gated.gate(f"--tb={style}", "--prunecal-ratios=0")
    assert outcome.ret == 1
    assert "collection.py" not in outcome.text
    assert "def runtest" not in outcome.text
    assert "metric         baseline          measured" in outcome.out


def test_junit_xml_holds_the_metrics(gated):
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    outcome = gated.gate("--junitxml=out/junit.xml", "--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
    assert outcome.ret == 1
    cases = {case.get("name"): case for case in ET.parse(gated.path / "out/junit.xml").iter("testcase")}  # noqa: S314
    assert set(cases) == {"prune[dense]", "prune[weight-0.5]"}
    for name, case in cases.items():
        found = {node.get("name"): float(node.get("value")) for node in case.iter("property")}
        assert found == {f"prunecal_{key}": value for key, value in outcome.numbers[name].items()}
    failure = cases["prune[dense]"].find("failure")
    assert failure.get("message").startswith("Failed: regression: accuracy 9")
    assert cases["prune[weight-0.5]"].find("failure") is None


def test_stepwise_goes_on_where_it_stopped(gated):
    gated.edit("weight-0.3:\n    accuracy: {mean: ", "weight-0.3:\n    accuracy: {mean: 9")
    options = ["--sw", "--prunecal-pruners=weight"]
    assert gated.gate(*options).cells == {"dense": "passed", "weight-0.3": "failed"}
    gated.edit("weight-0.3:\n    accuracy: {mean: 9", "weight-0.3:\n    accuracy: {mean: ")
    assert gated.gate(*options).cells == {"weight-0.3": "passed", "weight-0.5": "passed"}


def test_warnings_as_errors(gated):
    assert gated.gate("-W", "error", "--prunecal-ratios=0,0.5").ret == 0


def test_strict_configuration_knows_our_ini_options(gated):
    gated.edit("pythonpath", "prunecal_device = cpu\nprunecal_models = tinynet\npythonpath", "pytest.ini")
    outcome = gated.run("--strict-config", "--strict-markers", "--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})


def test_options_are_in_the_help_once(plain):
    text = plain.runpytest_inprocess("--help").stdout.str()
    for name in ("models", "pruners", "ratios", "protocol", "baselines", "update", "report", "json"):
        assert text.count(f"  --prunecal-{name}=") + text.count(f"  --prunecal-{name}[") == 1
        assert f"prunecal_{name} (string)" in text


def test_addopts_of_the_environment(gated, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", os.environ["PYTEST_ADDOPTS"] + " -k weight --prunecal-ratios=0.5")
    assert gated.gate().cells == {"weight-0.5": "passed"}
