"""Refreshing a baseline file: what was meant is written, and every other line stays to the byte."""

import re

import pytest
import yaml

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import Metric, known
from pytest_prunecal.study.protocol import Protocol
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)
OTHER_FINGERPRINT = "0badcafe"
HERE = {"torch": "2.11.0", "device": "cpu", "threads": "1", "corruptions": "generated"}
ELSEWHERE = HERE | {"torch": "2.12.0", "device": "NVIDIA H100 80GB HBM3"}


def test_a_new_file(refreshed):
    text = refreshed(
        None,
        {
            "channel-0.7": {"ece": 0.02031, "accuracy": 0.95124, "parameters": 12},
            "dense": {"ece": 0.1, "accuracy": 1.0, "zeta": -0.00001},
            "weight-0.3": {"accuracy": 0.9},
        },
    )
    assert text == (
        "# Accepted numbers of vgg19 under quick. Refresh with --prunecal-update; review like code.\n"
        "prunecal: 1\n"
        "model: vgg19\n"
        f"protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}\n"
        "environment: {torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}\n"
        "cells:\n"
        "  dense:\n    accuracy: 1.0000\n    ece: 0.1000\n    zeta: 0.0000\n"
        "  weight-0.3:\n    accuracy: 0.9000\n"
        "  channel-0.7:\n    accuracy: 0.9512\n    ece: 0.0203\n    parameters: 12\n"
    )


def test_only_changed_numbers_change(plain, refreshed, replaced):
    new = refreshed(plain, {"dense": {"accuracy": 0.96881, "ece": 0.0123}})
    assert new == replaced(plain, ("ece: 0.0096 ", "ece: 0.0123 "))


def test_equal_numbers_return_the_very_text(plain, refreshed, replaced):
    text = replaced(plain, ("accuracy: 0.9688", "accuracy: .96880"))
    assert refreshed(text, {"dense": {"accuracy": 0.96884, "ece": 0.00961}}) is text


def test_new_metrics_and_cells_come_in_canonical_order(plain, refreshed, replaced):
    new = refreshed(
        plain,
        {
            "dense": {"nll": 0.5, "accuracy": 0.9688, "ece": 0.0096, "mine": 0.25, "macs": 7},
            "filter-0.5": {"ece": 0.2, "accuracy": 0.5},
            "channel-0.9": {"ece": 0.3},
            "weight-0.1": {"ece": 0.4},
        },
        metrics=known([Metric("mine", higher_is_better=True)]),
    )
    assert new == replaced(
        plain,
        (
            "    ece: 0.0096   # good\n",
            (
                "    ece: 0.0096   # good\n    nll: 0.5000\n    macs: 7\n    mine: 0.2500\n"
                "  weight-0.1:\n    ece: 0.4000\n"
                "  filter-0.5:\n    accuracy: 0.5000\n    ece: 0.2000\n"
            ),
        ),
        ("    ece: 0.0203\n", "    ece: 0.0203\n  channel-0.9:\n    ece: 0.3000\n"),
    )


def test_a_metric_that_vanished_takes_its_line_along(plain, refreshed, replaced):
    new = refreshed(plain, {"channel-0.7": {"ece": 0.0203}, "dense": {"accuracy": 0.9688}})
    assert new == replaced(plain, ("    accuracy: 0.9512\n", ""), ("    ece: 0.0096   # good\n", ""))


def test_a_removed_cell_leaves_the_comments_around_it(plain, refreshed, replaced):
    new = refreshed(plain, {"channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}, removed=["dense"])
    assert new == replaced(plain, ("  dense:\n    accuracy: 0.9688\n    ece: 0.0096   # good\n", ""))
    assert refreshed(plain, {}, removed=["dense", "channel-0.7"]).endswith(
        "cells:\n  # the reference\n# the end\n"
    )


def test_the_environment_stands_per_cell_only_where_it_differs(plain, refreshed, replaced):
    elsewhere = "torch: 2.12.0, device: NVIDIA H100 80GB HBM3, threads: 1, corruptions: generated"
    dense = {"accuracy": 0.9688, "ece": 0.0096}
    moved = refreshed(plain, {"dense": dense}, environment=ELSEWHERE)
    assert moved == replaced(plain, ("  dense:\n", f"  dense:\n    environment: {{{elsewhere}}}\n"))
    assert refreshed(moved, {"dense": dense}, environment=ELSEWHERE) is moved
    # Measured again where the others were, the cell says nothing of its own.
    assert refreshed(moved, {"dense": dense}) == plain
    # Measured as a whole, the file says it once, and the comment beside it stays.
    whole = {"dense": dense, "channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}
    assert refreshed(moved, whole, environment=ELSEWHERE) == replaced(
        plain,
        ("torch: 2.11.0, device: cpu, threads", "torch: 2.12.0, device: NVIDIA H100 80GB HBM3, threads"),
    )


REST = "  threads: 1\n  corruptions: generated\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            f"environment:\n  torch: 2.10.0   # pinned\n  # where\n  device: cpu\n{REST}",
            f"environment:\n  torch: 2.11.0   # pinned\n  # where\n  device: cpu\n{REST}",
        ),
        (
            "environment:\n  device: cpu   # old\n# c\n",
            f"environment:\n  device: cpu   # old\n  torch: 2.11.0\n{REST}# c\n",
        ),
        (
            "environment: {}  # c\n",
            f"environment: {{{', '.join(f'{k}: {v}' for k, v in HERE.items())}}}  # c\n",
        ),
        ("", f"environment: {{{', '.join(f'{k}: {v}' for k, v in HERE.items())}}}\n"),
    ],
)
def test_the_environment_of_a_whole_refresh(plain, refreshed, old, new):
    line = re.search(r"environment: .*\n", plain).group()
    whole = {"dense": {"accuracy": 0.9688, "ece": 0.0096}, "channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}
    assert refreshed(plain.replace(line, old), whole) == plain.replace(line, new)


@pytest.mark.parametrize(
    "device",
    ["GeForce, the one #1", "a: b", "null", "'q'", "{x}", " padded ", "Grafikkarte Ü", "1, threads: 2"],
)
def test_devices_of_any_name(plain, refreshed, device):
    environment = HERE | {"device": device}
    text = refreshed(None, {"dense": {"ece": 0.5}}, environment=environment)
    assert yaml.safe_load(text)["environment"]["device"] == device
    for kept in (text, plain):
        new = refreshed(kept, {"weight-0.3": {"ece": 0.5}}, environment=environment)
        assert baseline.parse(new, "f.yaml").environment_of("weight-0.3") == environment


def test_a_stale_file_is_refreshed_as_a_whole_or_not_at_all(plain, refreshed, refuses):
    text = plain.replace(QUICK.fingerprint, OTHER_FINGERPRINT)
    refuses(r"1 of its cells \(channel-0.7\) would stay", text, {"dense": {"ece": 0.5}})
    refuses("2 of its cells .dense, channel-0.7. would stay", text, {"weight-0.3": {"ece": 0.5}})
    new = refreshed(text, {"dense": {"ece": 0.5}}, removed=["channel-0.7"])
    assert baseline.parse(new, "f.yaml").fingerprint == QUICK.fingerprint
    whole = {"dense": {"accuracy": 0.9688, "ece": 0.0096}, "channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}
    assert refreshed(text, whole) == plain


@pytest.mark.parametrize("fingerprint", ["12345678", "1e234567", "00000000", "0123456e", "abcdefab"])
def test_fingerprints_that_look_like_numbers(refreshed, fingerprint, monkeypatch):
    monkeypatch.setattr(Protocol, "fingerprint", fingerprint)
    text = refreshed(None, {"dense": {"ece": 0.5}})
    assert baseline.parse(text, "f.yaml").fingerprint == fingerprint
    assert yaml.safe_load(text)["protocol"]["fingerprint"] == fingerprint
    assert refreshed(text, {"dense": {"ece": 0.5}}) is text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ece: 0.0096", "ece: &a 0.0096"),
        ("ece: 0.0096", "ece: !!float 0.0096"),
        ("  dense:\n", "  dense:\n    ece: 1\n"),
        ("ece: 0.0096", "\tece: 0.0096"),
        ("ece: 0.0096", "ece: 0.0096: 1"),
    ],
)
def test_what_is_no_baseline_is_not_refreshed(plain, refreshed, replaced, old, new):
    with pytest.raises(PrunecalError, match=r"^f.yaml:\d+: "):
        refreshed(replaced(plain, (old, new)), {"dense": {"accuracy": 0.5, "ece": 0.5}})


def test_a_large_file(refreshed):
    cells = {f"weight-{number / 2000:g}": {"ece": number / 2000, "macs": number} for number in range(1, 400)}
    text = refreshed(None, cells)
    assert refreshed(text, dict(reversed(cells.items()))) is text
    changed = {key: {"ece": 1.0, "macs": 1, "nll": 2.0} for key in list(cells)[::7]}
    after = baseline.parse(refreshed(text, changed), "f.yaml").cells
    assert {key: cell.metrics for key, cell in after.items()} == cells | changed
    assert list(after) == list(cells)
