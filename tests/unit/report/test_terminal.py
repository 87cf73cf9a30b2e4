"""The summary of a run in a terminal."""

import re
from dataclasses import replace

from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.judging import Circumstances, judge
from pytest_prunecal.judge.screen import Difference
from pytest_prunecal.report import terminal
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results
from pytest_prunecal.study.cell import cell_from_id
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, Metric, known
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = load("quick", BUILT_IN)
ACCEPTED = {"accuracy": 0.9688, "ece": 0.0096, "mpc": 0.9, "corrupted_ece": 0.05, "macs": 1604224}
ROOM = {"accuracy": Tolerance(abs=0.01), "ece": Tolerance(abs=0.01)}
# The very same network on both sides: without noise, auto is exact.
GIVEN = Circumstances(Sides(QUICK.noise, tuned=False, same_base=True), level=0.01)


def result(name, *, accepted=False, **measured):
    verdict = judge(ACCEPTED | measured, ACCEPTED, ROOM, METRICS, GIVEN)
    return CellResult(
        cell_from_id("vgg19", name), Measurement(ACCEPTED | measured), verdict, accepted=accepted
    )


RESULTS = [
    result("channel-0.7", ece=0.5),
    result("dense"),
    result("weight-0.5", ece=0.0097),
    result("weight-0.3", accuracy=0.99),
    CellResult(cell_from_id("vgg19", "filter-0.3"), error="\nthe worker died\nand more\n"),
    result("filter-0.5", ece=0.5, accepted=True),
]


def run_of(results, **more):
    model = ModelRun(
        "vgg19",
        "f.yaml",
        sort_results(list(results), QUICK),
        accept="pytest --accept",
        keep="pytest --keep",
        **more,
    )
    return Run(QUICK, METRICS, (model,))


def noisy(name, known="", **measured):
    """A cell under `auto` from the same base network, of which nothing lies beside the baseline file."""
    errors = {"accuracy": Uncertainty(0.006), "ece": Uncertainty(0.004, 0.003, 3)}
    pairing = Pairing(same_base=True, unpaired="no results by image at hand")
    sides = Sides(QUICK.noise, accepted=errors, same_base=True, pairing=pairing)
    circumstances = Circumstances(sides, level=0.001, most=1, min_effect=QUICK.min_effect, measured=errors)
    numbers = ACCEPTED | measured
    verdict = judge(numbers, ACCEPTED, {}, METRICS, circumstances)
    measurement = Measurement(numbers, uncertainty=errors)
    return CellResult(cell_from_id("vgg19", name), measurement, verdict, known=known, pairing=pairing)


def test_the_summary_has_one_line_a_cell():
    lines = list(terminal.lines(run_of(RESULTS)))
    assert lines[0] == f"vgg19 under quick ({QUICK.fingerprint}), f.yaml"
    body = lines[2:8]
    assert [line.split()[0] for line in body] == (
        ["dense", "weight-0.3", "weight-0.5", "filter-0.3", "filter-0.5", "channel-0.7"]
    )
    assert re.fullmatch(r"dense +0\.9688 += +0\.0096 += +0\.9000 += +0\.0500 += +identical", body[0])
    assert re.fullmatch(r"weight-0.3 +0\.9900 +\+0\.0212 .* improvement", body[1])
    assert re.fullmatch(r"weight-0.5 .* \+0\.0001 .* ok", body[2])
    assert re.fullmatch(r"filter-0.3( +-){4} +error: .*", body[3])
    assert body[4].endswith(" accepted")
    assert body[5].endswith(" regression in ece")
    assert (
        len(
            {
                line.index(text)
                for line, text in zip(body[:3], ("identical", "improvement", "ok"), strict=True)
            }
        )
        == 1
    )
    assert lines[1].index("verdict") == body[0].index("identical")
    kept = lines.index("better than the baseline beyond tolerance: weight-0.3; keep it with")
    assert lines[kept + 1] == "    pytest --keep"
    assert lines[-2:] == [
        "",
        "6 cells: 1 identical, 1 ok, 1 improvement, 1 accepted, 1 regression, 1 error",
    ]
    assert all(line == line.rstrip() and "\n" not in line for line in lines)


def test_the_summary_says_what_else_there_is_to_know():
    odd = replace(RESULTS[1], measurement=Measurement(ACCEPTED, warnings=("conv1 keeps one channel",)))
    run = run_of(
        [odd], orphans=("old-0.5",), environment="torch 2.11.0 -> 2.12.0", refreshed="f.yaml: refreshed"
    )
    lines = list(terminal.lines(replace(run, interrupted=True)))
    assert "measured elsewhere than the baseline: torch 2.11.0 -> 2.12.0" in lines
    assert "dense: conv1 keeps one channel" in lines
    assert "f.yaml: refreshed" in lines
    assert any("configured can make: old-0.5;" in line for line in lines)
    assert lines[-1] == "1 cell: 1 identical (interrupted)"
    assert list(terminal.lines(run_of([])))[-1] == "0 cells: none measured"


def test_the_summary_says_how_sure_the_numbers_are_and_what_noise_hides(build):
    lines = list(terminal.lines(run_of([noisy("weight-0.3"), noisy("weight-0.5")], pooled=(build.WORSE,))))
    assert re.fullmatch(r"weight-0\.3 +0\.9688 +±0\.006 += +0\.0096 +±0\.004/0\.003 +=.*", lines[2])
    assert "± sampling error on the test images, then deviation over 3 seeds" in lines
    assert "compared against the one accepted seed (weight-0.3, weight-0.5)" in lines
    assert "compared against the mean of 3 accepted seeds (weight-0.3, weight-0.5)" in lines
    hint = "less sharp than it could be: no results by image at hand (weight-0.3, weight-0.5)"
    assert hint in lines
    (blind,) = [line for line in lines if "cannot see all that matters" in line]
    assert blind.startswith("4 of 10 comparisons")
    at = lines.index("cells together, weighted by how sure each is")
    assert lines[at + 2].split() == [
        "accuracy",
        "all",
        "pruners",
        "21",
        "-0.0123",
        "0.0050",
        "0.0071",
        "regression",
    ]


def test_the_summary_lists_what_is_caught_when_asked():
    run = replace(run_of([noisy("weight-0.3")]), power=True)
    lines = list(terminal.lines(run))
    at = next(index for index, line in enumerate(lines) if line.startswith("smallest regression caught"))
    assert lines[at + 1].split() == ["cell", *ACCEPTED]
    cell_id, *caught = lines[at + 2].split()
    assert cell_id == "weight-0.3"
    assert [text.endswith("*") for text in caught] == [True, True, False, False, False]
    assert caught[-1].isdecimal()


def test_known_regressions_have_their_label():
    lines = list(terminal.lines(run_of([noisy("weight-0.3", known="issue 12", accuracy=0.5)])))
    assert lines[2].endswith(" known")
    assert lines[-3:] == [
        "1 cell: 1 known",
        "nothing else got worse by more than noise explains; 1 known regression stands",
        "more accepted seeds show smaller changes: --prunecal-seeds=12 --prunecal-update",
    ]


def test_a_run_that_passes_ends_in_words_that_say_so_or_the_one_thing_to_do(build):
    def end(*results, **more):
        lines = list(terminal.lines(run_of(results, **more)))
        return lines[[line.partition(" ")[2].startswith("cell") for line in lines].index(True) + 1 :]

    same, moved = result("dense"), result("weight-0.5", ece=0.0097)
    assert end(same) == ["every number is what was accepted"]
    assert end(same, moved) == ["nothing got worse by more than noise explains"]
    assert end(result("dense", ece=0.5, accepted=True)) == [
        "accepted: look at what changed in the baseline files, and commit them"
    ]
    assert end(same, result("weight-0.3", ece=0.5)) == []
    step = Difference("finetune", "loss 3", 2.1, 2.2)
    assert end(build.noisy("weight-0.5", differences=(step,), accepted_seeds=12))[-1] == (
        "1 cell no longer computed as accepted, and as good: accept again (--prunecal-update) if meant"
    )
    seeds = "more accepted seeds show smaller changes: --prunecal-seeds=12 --prunecal-update"
    assert seeds in end(build.noisy("weight-0.5"))
    assert seeds not in end(build.noisy("weight-0.5", accepted_seeds=12))
    other = end(build.noisy("weight-0.5", same_base=False, pairing=Pairing()))
    assert (
        other[-1] == "runs from the same base network show smaller changes: --prunecal-update --prunecal-pin"
    )


def test_a_metric_of_the_users_own_stands_among_those_shown():
    metrics = known([Metric("auroc", higher_is_better=True, shown=True, title="AUROC")])
    own = CellResult(cell_from_id("vgg19", "dense"), Measurement({**ACCEPTED, "auroc": 0.7}), error="odd")
    model = ModelRun("vgg19", "f.yaml", (own, result("weight-0.3")))
    header, first, second = list(terminal.lines(Run(QUICK, metrics, (model,))))[1:4]
    assert re.fullmatch(r"cell +accuracy +ECE +mPC +ECE under corruption +AUROC +verdict", header)
    assert first.split()[5] == "0.7000"
    assert re.search(r"0\.0500 += +- +identical$", second)
