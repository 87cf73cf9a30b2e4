"""Baseline files: what they say, and the one sentence about what they should not say."""

import dataclasses
from datetime import date
from pathlib import Path

import pytest

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import Tolerance

QUICK = load("quick", BUILT_IN)
HEAD = "prunecal: 1\nmodel: vgg19\nprotocol: {name: quick, fingerprint: 5b1c9e02}\n"
TEXT = (
    HEAD
    + """\
environment: {torch: 2.11.0, device: cpu, threads: 1}
tolerance: {mpc: {abs: 0.02}, ece: {rel: 0.1}}
cells:
  dense:
    accuracy: 0.9688
    parameters: 315010
  weight-0.3:
  channel-0.7:
    note: loses most of conv12   # kept
    environment: {torch: 2.12.0}
    tolerance:
      ece: {abs: 0.5}
    ece: 1
"""
)


def test_what_a_file_says():
    file = baseline.parse(TEXT, "f.yaml")
    assert (file.model, file.protocol, file.fingerprint) == ("vgg19", "quick", "5b1c9e02")
    assert list(file.cells) == ["dense", "weight-0.3", "channel-0.7"]
    assert file.cells["dense"].metrics == {"accuracy": 0.9688, "parameters": 315010}
    assert type(file.cells["dense"].metrics["parameters"]) is int
    assert file.cells["weight-0.3"] == baseline.AcceptedCell({}, line=10)
    last = file.cells["channel-0.7"]
    assert (last.note, last.line, last.metrics) == ("loses most of conv12", 11, {"ece": 1})
    assert file.environment_of("dense") == {"torch": "2.11.0", "device": "cpu", "threads": "1"}
    assert file.environment_of("channel-0.7") == {"torch": "2.12.0"}
    assert file.environment_of("nowhere") == file.environment


def test_the_nearest_tolerance_wins():
    file = baseline.parse(TEXT, "f.yaml")
    rules = {name: Tolerance(abs=0.25, source="protocol quick") for name in ("mpc", "ece", "nll")}
    protocol = dataclasses.replace(QUICK, tolerance=rules)
    assert file.tolerances_of("channel-0.7", protocol) == {
        "mpc": Tolerance(0.02, 0.0, "f.yaml:5"),
        "ece": Tolerance(0.5, 0.0, "f.yaml:15"),
        "nll": rules["nll"],
    }
    assert file.tolerances_of("dense", protocol)["ece"] == Tolerance(0.0, 0.1, "f.yaml:5")
    assert file.tolerances_of("nowhere", protocol) == file.tolerances_of("dense", protocol)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("cells:\n", 1, "this is no baseline file: it has no 'prunecal'"),
        ("- 1\n", 1, "the document must be a mapping"),
        (HEAD, 1, "it has no 'cells'"),
        (HEAD.replace("prunecal: 1", "prunecal: 9") + "cells:\n", 1, "baseline format 9 is not known"),
        (HEAD.replace("prunecal: 1", "prunecal: one") + "cells:\n", 1, "'one', which is not a number"),
        (HEAD.replace("vgg19", "[a]") + "cells:\n", 2, "model must be a single value"),
        (HEAD.replace("name: quick, ", "") + "cells:\n", 3, "protocol has no 'name'"),
        (HEAD + "cell:\n", 4, "unknown key 'cell'"),
        (HEAD + "cells: 1\n", 4, "cells must be a mapping"),
        (HEAD + "cells:\n  weight-.3:\n    ece: 1\n", 6, "write 'weight-0.3'"),
        (HEAD + "cells:\n  dense: 0.5\n", 5, "cells.dense must be a mapping"),
        (HEAD + "cells:\n  dense:\n    ece: low\n", 6, "cells.dense.ece is 'low', which is not a number"),
        (HEAD + "cells:\n  dense:\n    ece: .nan\n", 6, "not a finite number"),
        (HEAD + "cells:\n  dense:\n    ece:\n", 6, "which is not a number"),
        (HEAD + "cells:\n  dense:\n    ece: 010\n", 6, "which is not a number"),
        (HEAD + "cells:\n  dense:\n    note: [a]\n", 6, "must be a single value"),
        (HEAD + "cells:\n  dense:\n    tolerance: {ece: {abs: big}}\n", 6, "'big', which is not a number"),
        (HEAD + "environment: {gpu: x}\ncells:\n", 4, "unknown key 'gpu' in environment"),
        (HEAD + "base: {other: {}}\ncells:\n", 4, "unknown key 'other' in base; known are plain, slimmed"),
        (
            HEAD + "base:\n  plain: {file: a.pt, sha256: b}\ncells:\n",
            5,
            "base.plain needs file, sha256 and recipe, as --prunecal-pin writes them",
        ),
        (
            HEAD + "base:\n  plain:\n    sha256: b\n    file: x/a.pt\n    recipe: c\ncells:\n",
            7,
            "base.plain.file must be the name of a file in this folder",
        ),
        (
            HEAD.replace("prunecal: 1", "prunecal: 2") + "new: 1\ncells:\n",
            1,
            "baseline format 2 is not known",
        ),
        (HEAD + "cells:\n  dense: {known: [a]}\n", 5, "known must be a single value, or a mapping"),
        (HEAD + "environment:\ncells:\n", 4, "environment must be a mapping"),
        (HEAD + "cells:\n  dense:\n    ece: 1\n    ece: 2\n", 7, "'ece' stands twice in cells.dense"),
    ],
)
def test_what_is_no_baseline(text, line, says):
    with pytest.raises(PrunecalError) as error:
        baseline.parse(text, "f.yaml")
    assert str(error.value).startswith(f"f.yaml:{line}: ")
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_a_file_may_leave_out():
    file = baseline.parse(f"{HEAD}cells:\n  dense: {{ece: 1}}\n", "f.yaml")
    assert file == baseline.Baseline(
        name="f.yaml",
        model="vgg19",
        protocol="quick",
        fingerprint="5b1c9e02",
        cells={"dense": baseline.AcceptedCell({"ece": 1}, line=5)},
    )
    assert (file.environment, file.base, file.images, file.tolerance) == ({}, {}, None, {})


def test_networks_and_results_beside_the_file():
    text = (
        "base:\n  plain: {file: a.pt, sha256: 12, recipe: 5b1c9e02}\nimages: {file: a.zip, sha256: 0034}\n"
        "cells:\n  dense:\n    known: worn out\n  weight-0.3:\n    known: {reason: x, until: 2027-01-31}\n"
    )
    file = baseline.parse(HEAD + text, "f.yaml")
    assert file.base == {"plain": baseline.PinnedBase("a.pt", "12", "5b1c9e02")}
    assert file.images == baseline.ImagesFile("a.zip", "0034")
    assert file.cells["dense"].known == baseline.Known(reason="worn out", where="f.yaml:9")
    assert file.cells["weight-0.3"].known == baseline.Known("x", "f.yaml:11", date(2027, 1, 31))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (
            "cells:\n  dense:\n    known:\n      until: 2027-01-31\n",
            7,
            "cells.dense.known has no reason; write",
        ),
        (
            "cells:\n  dense:\n    known: {reason: a, until: soon}\n",
            6,
            "cells.dense.known.until is no date; write",
        ),
        ("cells:\n  dense:\n    known: {reason: a, until: 2027-02-30}\n", 6, "until"),
        ("cells:\n  dense:\n    known: {reason: a, since: 2027-01-01}\n", 6, "unknown key 'since'"),
        ("cells:\n  dense:\n    known:\n", 6, "cells.dense.known must be a text and is empty"),
        (
            "cells:\n  dense:\n    known: {reason: }\n",
            6,
            "cells.dense.known.reason must be a text and is empty",
        ),
        ("cells:\n  dense:\n    known: [a]\n", 6, "cells.dense.known"),
        ("images: a.zip\ncells:\n", 4, "images must be a mapping"),
        (
            "images: {file: a.zip}\ncells:\n",
            4,
            "images needs file and sha256, as --prunecal-update writes them",
        ),
        (
            "images: {file: ../a.zip, sha256: b}\ncells:\n",
            4,
            "images.file must be the name of a file in this folder",
        ),
        ("images: {file: /a.zip, sha256: b}\ncells:\n", 4, "must be the name of a file in this folder"),
        ("images: {file: a.zip, sha256: b, size: 3}\ncells:\n", 4, "unknown key 'size' in images"),
        ("tolerance: fixed\ncells:\n", 4, "tolerance must be auto, or a rule by metric"),
        ("cells:\n  dense:\n    ece: {se: 0.1}\n", 6, "cells.dense.ece has no mean"),
        ("cells:\n  dense:\n    ece:\n      mean: 1\n      se: low\n", 8, "cells.dense.ece.se is 'low'"),
    ],
)
def test_mistakes_are_named_where_they_stand(text, line, says):
    with pytest.raises(PrunecalError) as error:
        baseline.parse(HEAD + text, "f.yaml")
    assert str(error.value).startswith(f"f.yaml:{line}: "), str(error.value)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("cells", ["cells:", "cells: ~", "cells: {}", "cells:  # none yet"])
def test_a_file_may_have_no_cells(cells):
    assert baseline.parse(f"{HEAD}{cells}\n", "f.yaml").cells == {}


def test_a_file_that_is_about_something_else():
    file = baseline.parse(TEXT, "f.yaml")
    baseline.check(file, "vgg19", QUICK)
    with pytest.raises(
        PrunecalError, match=r"^f.yaml: is a baseline of model 'vgg19' but lies where 'resnet20'"
    ):
        baseline.check(file, "resnet20", QUICK)
    with pytest.raises(PrunecalError, match=r"^f.yaml: is a baseline of protocol 'quick', not of 'mine'"):
        baseline.check(file, "vgg19", dataclasses.replace(QUICK, name="mine"))


def test_another_version_of_the_protocol():
    file = baseline.parse(TEXT, "f.yaml")
    assert f"fingerprint 5b1c9e02, now {QUICK.fingerprint}" in baseline.stale(file, QUICK)
    assert baseline.stale(dataclasses.replace(file, fingerprint=QUICK.fingerprint), QUICK) == ""


def test_how_environments_differ():
    here = {"torch": "2.11.0", "device": "cpu", "threads": "1"}
    assert baseline.environments(here, dict(here)) == ""
    assert baseline.environments(here, here | {"corruptions": "generated"}) == ""
    assert baseline.environments(here, here | {"torch": "2.12.0", "threads": "2"}) == (
        "torch 2.11.0 -> 2.12.0, threads 1 -> 2"
    )
    assert baseline.environments(here, {"torch": "2.11.0", "threads": "1"}) == "device cpu -> unknown"


def test_where_files_lie():
    assert baseline.path_of(Path("baselines"), "quick", "my.nets:tiny") == Path(
        "baselines/quick/my.nets.tiny.yaml"
    )


def test_reading_a_file(tmp_path):
    (tmp_path / "f.yaml").write_bytes(("\ufeff" + TEXT.replace("\n", "\r\n")).encode())
    file = baseline.read(tmp_path / "f.yaml", "f.yaml")
    assert file == baseline.parse(TEXT, "f.yaml")
