"""What `--prunecal-plan` says of a model."""

from dataclasses import replace

import pytest

from pytest_prunecal.judge.noise import Accepted
from pytest_prunecal.judge.outlook import ahead_of
from pytest_prunecal.report.plan import ModelAhead, Place, Seen, halving, lines, seen
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = load("quick", BUILT_IN)


def model(sd=0.006, seeds=3, pruners=("weight", "filter"), **more):
    sure = Uncertainty(sd, sd if seeds > 1 else None, seeds)
    cells = {
        f"{pruner}-{ratio}": {
            "accuracy": Accepted(0.94, sure, 0.95),
            "ece": Accepted(0.03, sure, 0.02),
            "nll": Accepted(0.2, sure, 0.1),
        }
        for pruner in pruners
        for ratio in (0.3, 0.5)
    }
    ahead = ahead_of(cells, {cell: cell.partition("-")[0] for cell in cells}, QUICK, METRICS, given_base=True)
    return ModelAhead("vgg19", "f.yaml", ahead, seeds, **more)


def test_a_plan_by_example():
    found = model()
    said = list(lines(found, METRICS))
    assert said[:2] == [
        "vgg19, f.yaml",
        "smallest change for the worse that is caught with 95 %, by seeds of the baseline",
    ]
    assert said[2].split() == ["of", "metric", "images", "1", "3", "(now)", "5", "8", "12", "16"]
    body = [line.split() for line in said[3:-2]]
    assert [line[:3] for line in said[3:-2] if line[0] != " "] == ["one", "one", "one", "one", "all", "all"]
    assert [row[0] for row in body if len(row) == 7] == ["2x", "4x"] * 6
    assert len(body) == 3 * 2 * 3
    cell = found.ahead.median("accuracy", 3)
    assert body[0][:4] == ["one", "cell", "accuracy", "1x"]
    assert body[0][5] == f"{cell.detectable:.4f}"
    assert said[-2].startswith(
        f"this baseline of 3 seeds sees in one cell, the middle one: accuracy from {body[0][5]}"
    )
    assert said[-1].startswith("the cheapest step that halves it: ")
    assert "accepted seeds (--prunecal-seeds=" in said[-1]


def test_more_seeds_and_more_images_see_more():
    for one in seen(model().ahead, METRICS, (1, 3, 12)):
        values = one.by_place
        assert values[Place(1, 1)] > values[Place(3, 1)] > values[Place(12, 1)] > 0
        assert values[Place(3, 1)] > values[Place(3, 2)] > values[Place(3, 4)] > 0


def test_a_baseline_of_odd_seeds_has_a_column_and_an_assumed_one_is_not_now():
    assert "2 (now)" in next(line for line in lines(model(seeds=2), METRICS) if line.startswith("of "))
    said = list(lines(model(seeds=1, assumed="assumed: so and so"), METRICS))
    assert said[1] == "assumed: so and so"
    assert not any("(now)" in line for line in said)
    assert any(line.startswith("a baseline of 1 seed sees") for line in said)


def test_a_single_pruner_has_no_lines_of_its_own():
    assert not any(line.startswith("one pruner") for line in lines(model(pruners=("weight",)), METRICS))


def test_nothing_is_to_do_where_all_that_matters_is_seen():
    said = list(lines(model(sd=0.0005, seeds=12), METRICS))
    assert said[-1] == "that is all that matters: nothing to do"


def test_what_else_there_is_to_know():
    said = list(lines(model(given_base=False, traced=True), METRICS))
    assert said[1].startswith("for runs from the same base network, which --prunecal-pin makes sure of")
    assert said[-1].startswith("code that prunes and starts fine-tuning as accepted is compared seed by seed")
    empty = replace(model(), ahead=replace(model().ahead, cells={}))
    assert list(lines(empty, METRICS))[-1].startswith("no cell is compared under tolerance auto")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({(3, 1): 0.4, (5, 1): 0.3, (8, 1): 0.2, (3, 2): 0.1}, Place(3, 2)),  # 6 trainings rather than 8
        ({(3, 1): 0.4, (5, 1): 0.2, (3, 2): 0.1}, Place(5, 1)),
        ({(3, 1): 0.4, (5, 1): 0.21, (3, 2): 0.3}, None),
        ({(1, 1): 0.1, (3, 1): 0.4, (12, 1): 0.1}, Place(12, 1)),  # a smaller baseline is no step
        ({(3, 1): 0.4, (6, 1): 0.2, (3, 2): 0.2}, Place(6, 1)),  # seeds are easier to come by
    ],
)
def test_the_cheapest_step_halves_every_metric(values, expected):
    found = Seen("one cell", METRICS["ece"], {Place(*place): value for place, value in values.items()})
    easy = Seen("one cell", METRICS["accuracy"], {place: value**3 for place, value in found.by_place.items()})
    assert halving([found], 3) == halving([found, easy], 3) == expected
