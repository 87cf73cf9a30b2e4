"""The report for programs."""

import json as stdlib_json
import math
import re

import pytest

from pytest_prunecal.judge.judging import judge
from pytest_prunecal.judge.screen import Difference
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import wording
from pytest_prunecal.report.run import CellResult
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import CORRUPTED, METRICS, Metric, known
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)


def test_json_says_everything(build):
    worse = {**build.NUMBERS, "accuracy": 0.900012345}
    result = build.result(
        Cell("vgg19", "weight", 0.5),
        worse,
        build.NUMBERS,
        corrupted=build.SETS,
        provenance={"torch": "2"},
        warnings=("w",),
    )
    run = build.run(result, CellResult(Cell("vgg19", "filter", 0.5), error="boom"), orphans=("weight-0.9",))
    document = stdlib_json.loads(json.render(run))
    assert document["prunecal"] == 2
    assert document["outcome"] == "failed"
    assert document["totals"]["cells"] == document["totals"]["failed"] == 2
    assert (document["totals"]["regression"], document["totals"]["error"], document["totals"]["ok"]) == (
        1,
        1,
        0,
    )
    assert document["protocol"]["fingerprint"] == QUICK.fingerprint
    (model,) = document["models"]
    assert (model["model"], model["orphans"]) == ("vgg19", ["weight-0.9"])
    cell, error = model["cells"]
    assert (cell["id"], cell["pruner"], cell["ratio"], cell["label"]) == (
        "weight-0.5",
        "weight",
        0.5,
        "regression",
    )
    assert cell["metrics"]["accuracy"] == {
        "measured": 0.900012345,
        "baseline": 0.95,
        "uncertainty": {
            "measured": {"se": None, "sd": None, "seeds": 1, "first": None},
            "baseline": {"se": None, "sd": None, "seeds": 1, "first": None},
        },
        "change": -0.05,
        "allowed": 0.01,
        "detectable": None,
        "status": "regression",
        "tolerance": {"abs": 0.01, "rel": 0.0, "source": "protocol quick", "auto": False},
        "p_value": None,
        "comparison": None,
        "auto": None,
    }
    assert list(cell["metrics"]) == list(build.NUMBERS)
    assert cell["corrupted"] == build.SETS
    assert cell["aggregates"]["worst_corruption"] == {
        "corruption": "gaussian_noise",
        "accuracy": pytest.approx(0.65),
        "ece": pytest.approx(0.35),
    }
    assert cell["aggregates"]["mpc"] == 0.8
    assert (cell["provenance"], cell["warnings"]) == ({"torch": "2"}, ["w"])
    assert (error["label"], error["status"], error["error"], error["metrics"]) == ("error", None, "boom", {})


def test_every_field_of_the_json_is_documented(build):
    result = build.result(Cell("vgg19", "weight", 0.5), build.NUMBERS, corrupted=build.SETS)
    document = stdlib_json.loads(json.render(build.run(result)))
    (model,) = document["models"]
    (cell,) = model["cells"]
    named = [document, document["protocol"], document["metrics"]["ece"], model, cell, cell["metrics"]["ece"]]
    named += [cell["metrics"]["ece"]["tolerance"], cell["aggregates"], cell["aggregates"]["worst_corruption"]]
    for name in {key for fields in named for key in fields} | set(wording.SYMBOLS):
        assert re.search(rf'(^ *{name} )|"{name}"', json.__doc__, re.MULTILINE), name


def test_json_does_not_depend_on_the_order_of_arrival(build):
    forwards = Measurement(build.NUMBERS, build.SETS, {"torch": "2", "device": "cpu"})
    backwards = Measurement(
        *(dict(reversed(d.items())) for d in (build.NUMBERS, build.SETS, forwards.provenance))
    )
    cell = Cell("vgg19", None, 0.0)
    texts = {
        json.render(
            build.run(CellResult(cell, m, judge(m.metrics, build.NUMBERS, build.RULES, METRICS, build.GIVEN)))
        )
        for m in (forwards, backwards)
    }
    assert len(texts) == 1


def test_json_has_null_for_what_is_not_a_finite_number(build):
    sets = {"fog": {"1": {"accuracy": 0.5, "nll": math.inf, "ece": math.nan}}}
    text = json.render(build.run(build.result(Cell("vgg19", None, 0.0), build.NUMBERS, corrupted=sets)))
    (model,) = stdlib_json.loads(text, parse_constant=pytest.fail)["models"]
    assert model["cells"][0]["corrupted"]["fog"]["1"] == {"accuracy": 0.5, "nll": None, "ece": None}


def test_json_says_how_sure_and_how_sharp(build, cell_of):
    run = build.run(build.noisy("weight-0.5", {"accuracy": 0.949}, most=16))
    cell = cell_of(run)
    accuracy, ece = cell["metrics"]["accuracy"], cell["metrics"]["ece"]
    assert ece["uncertainty"] == {
        "measured": {"se": 0.004, "sd": 0.003, "seeds": 3, "first": None},
        "baseline": {"se": 0.0041, "sd": None, "seeds": 1, "first": None},
    }
    assert accuracy["tolerance"]["auto"]
    auto = accuracy["auto"]
    assert accuracy["comparison"] == {
        "kind": "same base",
        "seeds": 1,
        "accepted_seeds": 1,
        "words": "against the one accepted seed",
    }
    assert auto["change"] == pytest.approx(-0.001)
    assert auto["min_effect"] == 0.005 < auto["noise"] == accuracy["allowed"] < auto["detectable"]
    assert auto["blind"]
    assert auto["cure"]["seeds"] > 1
    assert auto["cure"]["words"].startswith(
        f"about {auto['cure']['seeds']} accepted seeds (--prunecal-seeds="
    )
    assert cell["metrics"]["mpc"]["auto"]["cure"] == {"seeds": 0, "images": 0.0, "words": ""}
    assert cell["evidence"]["changes"] == {"accuracy": 0.002}
    document = stdlib_json.loads(json.render(run))
    assert document["protocol"]["false_alarms"] == QUICK.false_alarms
    assert document["protocol"]["min_effect"]["accuracy"]["abs"] == 0.005
    assert document["models"][0]["blindness"].startswith("2 of 5 comparisons cannot see")


def test_every_field_of_a_noisy_cell_is_documented(build, cell_of):
    step = Difference("finetune", "loss 1", 2.0, 3.0)
    document = stdlib_json.loads(json.render(build.run(build.noisy("weight-0.5"), pooled=(build.WORSE,))))
    named = [
        document["totals"],
        document["models"][0]["together"][0],
        cell_of(build.run(build.noisy("weight-0.5", differences=(step,)))),
    ]
    metric = named[2]["metrics"]["ece"]
    named += [named[2]["evidence"], metric, metric["auto"], metric["auto"]["cure"], metric["tolerance"]]
    named += [metric["uncertainty"], metric["uncertainty"]["measured"], metric["comparison"]]
    named += [named[2]["screen"], *named[2]["screen"]["differences"]]
    for name in {key for fields in named for key in fields}:
        assert re.search(rf'(^ *{name} )|"{name}"', json.__doc__, re.MULTILINE), name


def test_a_metric_of_the_users_own_on_corrupted_images_is_an_aggregate(build, cell_of):
    metrics = known([Metric("robust", higher_is_better=True, where=CORRUPTED)])
    cell = build.result(Cell("vgg19", "weight", 0.5), {**build.NUMBERS, "robust": 0.4}, metrics=metrics)
    assert cell_of(build.run(cell, metrics=metrics))["aggregates"] == {
        "mpc": 0.8, "rpc": None, "corrupted_ece": 0.1, "robust": 0.4, "worst_corruption": None,
    }  # fmt: skip
    assert list(cell_of(build.run(cell))["aggregates"]) == ["mpc", "rpc", "corrupted_ece", "worst_corruption"]


def test_metrics_of_finished_networks_are_listed_where_a_cell_has_them(build):
    dense, int8 = Cell("vgg19", None, 0.0), Cell("vgg19", "int8", 0.0)
    others = {name for name, metric in METRICS.items() if not metric.finished}
    plain = build.run(build.result(dense, build.NUMBERS))
    assert stdlib_json.loads(json.render(plain))["metrics"].keys() == others
    numbers = {**build.NUMBERS, "bytes": 900}
    run = build.run(build.result(dense, build.NUMBERS), build.result(int8, numbers))
    assert stdlib_json.loads(json.render(run))["metrics"].keys() == others | {"bytes"}
    gone = build.run(build.result(int8, build.NUMBERS, {**build.NUMBERS, "int8": 1.0}))
    assert stdlib_json.loads(json.render(gone))["metrics"].keys() == others | {"int8"}
