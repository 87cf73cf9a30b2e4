"""What a failing cell says: the verdict, the comparison, and a way on that works."""

from __future__ import annotations

import re
import shlex


def fail_dense(gated):
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")


def row(message, metric):
    """A table row's columns."""
    (found,) = (line for line in message.splitlines() if re.match(rf"{metric} +[-\d]", line))
    return re.split(r"\s{2,}", found)


def error_of(gated, metric):
    """A metric's sampling error in the dense cell as the table shows it."""
    (entry, *_) = re.findall(rf"{metric}: {{.*, se: ([\d.]+)}}", gated.baseline.read_text())
    return f"±{entry}"


def test_line_one_is_the_verdict_and_stands_in_the_short_summary(gated):
    fail_dense(gated)
    outcome = gated.gate("--prunecal-ratios=0", "-rf")
    accuracy = outcome.numbers["prune[dense]"]["accuracy"]
    verdict = f"regression: accuracy {90 + accuracy:.4f} -> {accuracy:.4f}"
    assert outcome.ret == 1
    assert outcome.message("dense").splitlines()[0] == verdict
    assert outcome.line("FAILED baselines/tiny/tinynet.yaml::prune[dense] - Failed: regression: ")


def test_the_short_summary_is_whole_in_ci(gated, monkeypatch):
    monkeypatch.setenv("CI", "true")
    fail_dense(gated)
    outcome = gated.gate("--prunecal-ratios=0")
    start = "FAILED baselines/tiny/tinynet.yaml::prune[dense] - Failed: regression: accuracy 90"
    accuracy = outcome.numbers["prune[dense]"]["accuracy"]
    assert f" -> {accuracy:.4f}" in outcome.line(start)


def test_the_table_compares_every_metric(gated):
    fail_dense(gated)
    outcome = gated.gate("--prunecal-ratios=0")
    message = outcome.message("dense")
    measured = outcome.numbers["prune[dense]"]
    assert message.splitlines()[2] == (
        "tinynet dense under protocol tiny, against baselines/tiny/tinynet.yaml:8"
    )
    assert re.split(r"\s{2,}", message.splitlines()[4]) == [
        "metric", "baseline", "measured", "change", "allowed", "caught from", "tolerance",
    ]  # fmt: skip
    accuracy = measured["accuracy"]
    assert row(message, "accuracy") == [
        "accuracy",
        f"{accuracy + 90:.4f}",
        error_of(gated, "accuracy"),
        f"{accuracy:.4f}",
        error_of(gated, "accuracy"),
        "-90.0000",
        "0.0500",
        "0.05 (protocol tiny)",
        "regression",
    ]
    ece = f"{measured['ece']:.4f}"
    error = error_of(gated, "ece")
    assert row(message, "ece") == ["ece", ece, error, ece, error, "=", "0.0500", "0.05 (protocol tiny)"]
    count = str(measured["parameters"])
    assert row(message, "parameters") == ["parameters", count, count, "=", "0", "exact (protocol tiny)"]
    assert [line.split()[0] for line in message.splitlines()[5:15]] == list(measured)


def test_the_command_that_accepts_works(gated):
    text = gated.baseline.read_text()
    gated.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    failed = gated.gate()
    lines = failed.message("weight-0.5").splitlines()
    command = lines[lines.index("If this change is meant, accept it:") + 1].strip()
    assert command == (
        "pytest --prunecal-models=tinynet --prunecal-pruners=weight --prunecal-ratios=0.5 --prunecal-update"
    )
    accepting = gated.run(*shlex.split(command)[1:])
    assert (accepting.ret, accepting.cells) == (0, {"weight-0.5": "passed"})
    assert gated.baseline.read_text() == text
    assert gated.gate().ret == 0


def test_the_command_repeats_what_it_needs(gated):
    (gated.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (gated.path / "tiny.yaml").rename(gated.path / "tiny.yml")
    (gated.path / "baselines").rename(gated.path / "my numbers")
    fail = gated.path / "my numbers/tiny/tinynet.yaml"
    fail.write_text(
        fail.read_text().replace("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    )
    failed = gated.gate(
        "--prunecal-protocol=tiny.yml",
        "--prunecal-baselines=my numbers",
        "--prunecal-device=cpu",
        "-k",
        "dense",
    )
    assert failed.ret == 1
    command = failed.message("dense").splitlines()[-1].strip()
    assert gated.run(*shlex.split(command)[1:]).ret == 0
    assert "accuracy: {mean: 9" not in fail.read_text()


def test_a_cell_without_a_baseline_fails_and_says_the_command(gated):
    outcome = gated.gate("--prunecal-ratios=0.25", "--prunecal-pruners=filter")
    assert (outcome.ret, outcome.cells) == (1, {"filter-0.25": "failed"})
    lines = outcome.message("filter-0.25").splitlines()
    assert lines[0] == "missing: no accepted numbers for this cell"
    assert lines[2] == "tinynet filter-0.25 under protocol tiny, against baselines/tiny/tinynet.yaml"
    assert row(outcome.message("filter-0.25"), "accuracy")[1] == "-"
    assert lines[-1].strip() == (
        "pytest --prunecal-models=tinynet --prunecal-pruners=filter --prunecal-ratios=0.25 --prunecal-update"
    )


def test_a_model_without_a_file_fails_and_says_the_command(project):
    project.write({"baselines/tiny/.keep": ""})
    outcome = project.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    command = outcome.message("dense").splitlines()[-1].strip()
    assert project.run(*shlex.split(command)[1:]).ret == 0
    assert project.gate("--prunecal-ratios=0").ret == 0


def test_an_improvement_passes_and_is_announced(gated):
    gated.edit("dense:\n    accuracy: {mean: 0", "dense:\n    accuracy: {mean: -1")
    outcome = gated.gate("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
    assert outcome.ret == 0
    assert outcome.line("dense ").endswith("improvement")
    assert "better than the baseline beyond tolerance: dense; keep it with" in outcome.out
    command = outcome.line("    pytest ").strip()
    assert gated.run(*shlex.split(command)[1:]).ret == 0
    assert "better than the baseline" not in gated.gate().out


def test_a_metric_that_has_a_baseline_and_is_not_measured(gated):
    gated.edit("dense:\n", "dense:\n    entropy: 0.5\n")
    outcome = gated.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    message = outcome.message("dense")
    assert message.splitlines()[0] == "entropy has a baseline and was not measured"
    assert row(message, "entropy")[:3] == ["entropy", "0.5000", "-"]
    assert row(message, "entropy")[-1] == "missing"


def test_a_metric_that_is_measured_and_has_no_baseline(gated):
    text = gated.baseline.read_text()
    gated.baseline.write_text(re.sub(r"    rpc: .*\n", "", text, count=1))
    outcome = gated.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert outcome.message("dense").splitlines()[0] == "rpc has no accepted number"


def test_a_cells_tolerance_wins_over_the_files_and_that_over_the_protocols(gated):
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    gated.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    select = ("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
    assert gated.gate(*select).cells == {"dense": "failed", "weight-0.5": "failed"}

    gated.edit("cells:\n", "tolerance:\n  accuracy: {abs: 95}\ncells:\n")
    assert gated.gate(*select).cells == {"dense": "passed", "weight-0.5": "passed"}

    gated.edit("dense:\n", "dense:\n    tolerance:\n      accuracy: {abs: 0.25}\n")
    outcome = gated.gate(*select)
    assert outcome.cells == {"dense": "failed", "weight-0.5": "passed"}
    rule = row(outcome.message("dense"), "accuracy")[-2]
    assert rule == "0.25 (baselines/tiny/tinynet.yaml:12)"
    gated.edit("abs: 0.25", "rel: 0.25")
    outcome = gated.gate(*select)
    assert row(outcome.message("dense"), "accuracy")[-2] == "25% (baselines/tiny/tinynet.yaml:12)"


def test_a_note_is_shown_where_its_cell_fails(gated):
    gated.edit(
        "dense:\n    accuracy: {mean: ",
        "dense:\n    note: the reference of every curve\n    accuracy: {mean: 9",
    )
    message = gated.gate("--prunecal-ratios=0").message("dense")
    assert "note: the reference of every curve" in message


def test_numbers_of_another_environment_are_noted(gated):
    gated.edit("torch: ", "torch: 1.9.")
    outcome = gated.gate("--prunecal-ratios=0")
    assert outcome.ret == 0
    assert "measured elsewhere than the baseline: torch 1.9." in outcome.out
    gated.edit("torch: 1.9.", "torch: ")
    assert "measured elsewhere" not in gated.gate("--prunecal-ratios=0").out


def test_the_summary_has_a_line_a_cell_and_totals(gated):
    fail_dense(gated)
    gated.edit("weight-0.5:\n    accuracy: {mean: 0", "weight-0.5:\n    accuracy: {mean: -1")
    outcome = gated.gate("--prunecal-pruners=weight")
    assert outcome.ret == 1
    summary = outcome.out.partition(" prunecal =")[2].splitlines()
    assert [line.split()[0] for line in summary if line.startswith(("dense", "weight"))] == [
        "dense", "weight-0.3", "weight-0.5",
    ]  # fmt: skip
    assert "3 cells: 1 identical, 1 improvement, 1 regression" in summary
