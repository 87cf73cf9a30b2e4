"""`--prunecal-plan`: what the gate would see, said before anything is measured, and instead of it."""

from __future__ import annotations

import re

import pytest


def files_of(project):
    """What is in every file, but for what pytester and Python leave."""
    return {
        path: path.read_bytes()
        for path in sorted(project.path.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.name not in ("stdout", "stderr")
    }


def test_a_plan_measures_nothing_writes_nothing_and_loads_no_torch(sure):
    sure.write({"watch.py": "import sys\n\ndef pytest_unconfigure():\n    print('torch' in sys.modules)\n"})
    before = files_of(sure)
    outcome = sure.subprocess(
        "-p", "watch", "-p", "no:cacheprovider", "--prunecal-plan", "--prunecal-report=out/run.html",
        "--prunecal-store=elsewhere", "--prunecal-device=cuda",
    )  # fmt: skip
    assert outcome.ret == 0, outcome.text
    assert outcome.out.splitlines()[-1] == "False"
    assert files_of(sure) == before
    assert not (sure.path / "out").exists()
    assert not (sure.path / "elsewhere").exists()
    assert outcome.line("prunecal plan under tiny: what the gate would see; nothing is measured.")
    assert outcome.line("tinynet, baselines/tiny/tinynet.yaml")
    assert "3 (now)" in outcome.line("of  ")
    rows = re.findall(r"^(one cell|one pruner|all cells) +(\w+) +1x", outcome.out, re.MULTILINE)
    assert rows == [
        (over, metric)
        for over in ("one cell", "one pruner", "all cells")
        for metric in ("accuracy", "ece", "mpc", "corrupted_ece")
    ]
    assert outcome.line("this baseline of 3 seeds sees in one cell")
    assert "test session starts" not in outcome.out


def test_workers_do_not_say_it_again(sure):
    outcome = sure.subprocess("-n", "2", "--prunecal-plan")
    assert outcome.ret == 0
    assert outcome.out.count("prunecal plan under tiny") == outcome.out.count("tinynet, baselines") == 1


def test_a_model_without_a_baseline_is_planned_by_what_is_assumed(project):
    project.allow_noise()
    outcome = project.gate("--prunecal-plan")
    assert (outcome.ret, outcome.cells) == (0, {})
    assert outcome.line("tinynet, baselines/tiny/tinynet.yaml, which is not there yet")
    assert outcome.line("assumed: 1000 test images, accuracy 0.95 dense and 0.9 pruned")
    assert outcome.line("a baseline of 1 seed sees in one cell")
    assert not (project.path / "baselines").exists()
    assert not (project.path / ".prunecal").exists()


def test_fixed_tolerances_have_nothing_to_plan(gated):
    assert gated.gate("--prunecal-plan").line("no cell is compared under tolerance auto")


def test_the_plan_has_an_ini_twin_that_leaves_other_tests_alone(sure):
    sure.edit("pythonpath", "prunecal_plan = yes\npythonpath", "pytest.ini")
    assert sure.gate().line("this baseline of 3 seeds sees")
    sure.write({"test_own.py": "def test_own(): pass\n"})
    outcome = sure.run("test_own.py")
    assert (outcome.ret, "1 passed" in outcome.out, "prunecal plan" in outcome.out) == (0, True, False)
    sure.edit("prunecal_plan = yes", "prunecal_plan = no", "pytest.ini")
    assert sure.gate("--collect-only").line("collected 7 items")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--prunecal-models=nobody",), "nobody"),
        (("--prunecal-pruners=nobody",), "nobody"),
        (("--prunecal-baselines=gone",), "gone"),
    ],
)
def test_what_is_wrong_is_one_sentence(sure, args, says):
    outcome = sure.run("--prunecal-plan", *args)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [line for line in outcome.text.splitlines() if line]
    assert error.startswith("ERROR: prunecal: ")
    assert says in error


def test_a_word_that_is_neither_yes_nor_no_is_one_sentence(sure):
    sure.edit("pythonpath", "prunecal_plan = perhaps\npythonpath", "pytest.ini")
    outcome = sure.gate()
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    assert "prunecal_plan = perhaps: write yes or no" in outcome.text


def test_help_still_helps(sure):
    assert "--prunecal-plan" in sure.run("--prunecal-plan", "--help").out
