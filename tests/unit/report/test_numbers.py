"""How numbers are written."""

import math

import pytest

from pytest_prunecal.report.numbers import amount, caught, finite, in_unit, number, signed, sure
from pytest_prunecal.study.metric import METRICS, Metric
from pytest_prunecal.study.uncertainty import Uncertainty


@pytest.mark.parametrize(
    ("change", "text"),
    [(0, "="), (0.0, "="), (-0.0, "="), (0.0123, "+0.0123"), (-0.5, "-0.5000"), (45, "+45"), (-45, "-45")],
)
def test_changes_have_a_sign(change, text):
    assert signed(change) == text


def test_there_need_not_be_a_number():
    assert (number(None), signed(None)) == ("-", "")


@pytest.mark.parametrize(
    ("uncertainty", "text"),
    [
        (Uncertainty(), ""),
        (Uncertainty(0.00432), "±0.0043"),
        (Uncertainty(0.00432, 0.0031, 3), "±0.0043/0.0031"),
        (Uncertainty(None, 1234.0, 3), "±-/1200"),
    ],
)
def test_uncertainties_stand_beside_their_numbers(uncertainty, text):
    assert sure(uncertainty) == text


def test_errors_that_are_no_numbers_are_not_known():
    assert finite(Uncertainty(math.nan, math.inf, 3)) == Uncertainty(None, None, 3)
    assert finite(Uncertainty(0.1, 0.2, 3)) == Uncertainty(0.1, 0.2, 3)


def test_metrics_that_count_have_whole_numbers_and_say_so_in_their_row():
    assert amount(138.84, METRICS["macs"]) == "139"
    assert in_unit(138.84, METRICS["macs"], math.floor) == 138
    assert amount(138.84, METRICS["nll"]) == "138.8400"
    assert amount(138.84, Metric("rules", higher_is_better=False, count=True)) == "139"
    assert amount(math.inf, METRICS["macs"]) == "inf"


@pytest.mark.parametrize(
    ("value", "metric", "baseline", "written"),
    [
        (0.0123, "accuracy", 0.95, "0.0123"),
        (0.96, "accuracy", 0.95, "none"),  # it cannot fall below 0
        (0.96, "accuracy", None, "0.9600"),
        (0.2, "ece", 0.85, "none"),  # nor an error rise above 1
        (1e21, "rpc", 0.95, "none"),
        (3.0, "nll", 0.1, "3.0000"),
        (math.inf, "nll", 0.1, "none"),
        (1575.2, "parameters", 315010, "1575"),
    ],
)
def test_what_is_caught_is_none_where_no_network_gets_that_much_worse(value, metric, baseline, written):
    assert caught(value, METRICS[metric], baseline) == written
