"""The reports of a run: where they are written, and when they are not."""

from __future__ import annotations

import json

import pytest


def test_reports_are_written_with_their_folders(gated):
    gated.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    outcome = gated.gate(
        "--prunecal-pruners=weight", "--prunecal-report=out/people/run.html", "--prunecal-json=out/run.json"
    )
    assert outcome.ret == 1
    written = {path.relative_to(gated.path).as_posix() for path in (gated.path / "out").rglob("*")}
    assert written == {"out/people", "out/people/run.html", "out/run.json"}
    page = (gated.path / "out/people/run.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "weight-0.5" in page
    document = json.loads((gated.path / "out/run.json").read_text(encoding="utf-8"))
    assert document["outcome"] == "failed"
    (model,) = document["models"]
    assert {cell["id"]: cell["label"] for cell in model["cells"]} == {
        "dense": "identical", "weight-0.3": "identical", "weight-0.5": "regression",
    }  # fmt: skip
    for cell in model["cells"]:
        measured = {name: row["measured"] for name, row in cell["metrics"].items()}
        assert measured == outcome.numbers[f"prune[{cell['id']}]"]


def test_reports_say_how_sure_and_how_sharp_a_real_run_is(gated, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gated.path / "summary.md"))
    known = "\n    known: {reason: no time yet, until: 2999-01-01}\n    accuracy: {mean: "
    gated.edit("cells:", "tolerance: {ece: auto}\ncells:")
    gated.edit("weight-0.5:\n    accuracy: {mean: ", f"weight-0.5:{known}9")
    outcome = gated.gate("--prunecal-report=run.html", "--prunecal-json=run.json")
    document = json.loads((gated.path / "run.json").read_text(encoding="utf-8"))
    (model,) = document["models"]
    cells = {cell["id"]: cell for cell in model["cells"]}
    assert cells["weight-0.5"]["label"] == "known"
    assert cells["weight-0.5"]["known"] == "no time yet"
    assert (document["outcome"], outcome.ret) == ("passed", 0)
    ece = cells["weight-0.3"]["metrics"]["ece"]
    measured, baseline = ece["uncertainty"]["measured"], ece["uncertainty"]["baseline"]
    assert (measured["sd"], measured["seeds"]) == (baseline["sd"], baseline["seeds"]) == (None, 1)
    assert 0 < baseline["se"] == pytest.approx(measured["se"], rel=0.05)
    assert ece["comparison"] == {
        "kind": "same seed",
        "seeds": 1,
        "accepted_seeds": 0,
        "words": "against the accepted number of the same seed",
    }
    assert cells["weight-0.3"]["screen"] == {"compared": True, "differences": []}
    assert "every number is what was accepted" not in outcome.out
    assert outcome.line("nothing else got worse by more than noise explains; 1 known regression stands")
    assert ece["auto"]["detectable"] > ece["allowed"] > 0
    page = (gated.path / "run.html").read_text(encoding="utf-8")
    summary = (gated.path / "summary.md").read_text(encoding="utf-8")
    assert "What the gate can see" in page
    assert all("tolerated: no time yet" in text for text in (page, summary))


def test_cells_that_were_accepted_have_not_got_worse_together(sure):
    sure.tune(worse=True)
    worse, accepted, after = (
        (sure.gate("--prunecal-json=run.json", *more).ret, json.loads((sure.path / "run.json").read_text()))
        for more in ((), ("--prunecal-update",), ())
    )
    assert (worse[0], worse[1]["outcome"], worse[1]["totals"]["worse_together"]) == (1, "failed", 1)
    assert {row["group"] for row in worse[1]["models"][0]["together"]} == {"", "weight", "filter", "channel"}
    assert (accepted[0], accepted[1]["outcome"], accepted[1]["totals"]["worse_together"]) == (0, "passed", 0)
    assert accepted[1]["models"][0]["together"] == []
    assert (after[0], after[1]["totals"]["identical"], after[1]["models"][0]["together"]) == (0, 7, [])


def test_only_a_session_that_writes_a_page_loads_the_templates_engine(gated):
    gated.write({"watch.py": "import sys\n\ndef pytest_unconfigure():\n    print('jinja2' in sys.modules)\n"})
    collect = ("-p", "watch", "--prunecal-models=tinynet", "--prunecal-ratios=0", "--collect-only", "-q")
    assert gated.subprocess(*collect, "--prunecal-report=run.html").out.splitlines()[-1] == "False"
    assert gated.subprocess(*collect[:-2], "--prunecal-report=run.html").out.splitlines()[-1] == "True"


def test_reports_replace_earlier_ones_whole(gated):
    gated.write({"run.json": "x" * 100_000})
    assert gated.gate("--prunecal-ratios=0", "--prunecal-json=run.json").ret == 0
    assert json.loads((gated.path / "run.json").read_text())["outcome"] == "passed"
    assert not list(gated.path.glob("*.tmp")) + list(gated.path.glob(".*.tmp"))


def test_reports_of_the_ini_file_are_relative_to_it(gated, monkeypatch):
    gated.edit("pythonpath", "prunecal_json = reports/run.json\npythonpath", "pytest.ini")
    gated.write({"deep/.keep": ""})
    monkeypatch.chdir(gated.path / "deep")
    assert gated.gate("--prunecal-ratios=0").ret == 0
    assert (gated.path / "reports/run.json").exists()


def test_collecting_only_writes_nothing(gated, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gated.path / "summary.md"))
    text = gated.baseline.read_bytes()
    outcome = gated.gate("--collect-only", "--prunecal-json=run.json", "--prunecal-update")
    assert outcome.ret == 0
    assert not (gated.path / "run.json").exists()
    assert not (gated.path / "summary.md").exists()
    assert gated.baseline.read_bytes() == text


def test_a_report_that_cannot_be_written_in_the_end_fails_the_run(gated):
    gated.write({"out/.keep": ""})
    gated.write(
        {
            "conftest.py": "from pathlib import Path\n\ndef pytest_prunecal_models(config):\n"
            "    return {'tinynet': 'tiny:tiny'}\n\ndef pytest_runtest_setup(item):\n"
            "    Path('out/run.json').mkdir(exist_ok=True)\n"
        }
    )
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-json=out/run.json")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "passed"})
    assert "out/run.json: not written: Is a directory" in outcome.out


def test_the_summary_of_a_github_job_is_appended_to(gated, monkeypatch):
    summary = gated.path / "summary.md"
    summary.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert gated.gate("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight").ret == 0
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# Before\n")
    assert "tinynet" in text
    assert "| weight-0.5 |" in text


def test_a_run_without_the_gate_leaves_the_github_summary_alone(gated, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gated.path / "summary.md"))
    gated.write({"test_own.py": "def test_own(): pass\n"})
    assert gated.run().ret == 0
    assert not (gated.path / "summary.md").exists()


@pytest.mark.parametrize("fault", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_an_interrupted_run_is_reported_as_such(gated, fault):
    gated.write(
        {
            "conftest.py": "import pytest\n\ndef pytest_prunecal_models(config):\n"
            "    return {'tinynet': 'tiny:tiny'}\n\ndef pytest_runtest_setup(item):\n"
            f"    if 'channel' in item.name:\n        {fault}\n"
        }
    )
    outcome = gated.gate("--prunecal-json=run.json")
    assert (outcome.ret, list(outcome.cells)) == (2, ["dense", "weight-0.3"])
    assert "2 cells: 2 identical (interrupted)" in outcome.out
    assert json.loads((gated.path / "run.json").read_text())["outcome"] == "interrupted"
