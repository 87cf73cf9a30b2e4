"""The figures of the page: curves, markers, error bars and what they mean."""

import re

import pytest

from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.metric import Metric, known
from pytest_prunecal.study.uncertainty import Uncertainty


def figure_of(page, title):
    (figure,) = [f for f in page.all("figure") if re.match(f"{title} [↑↓]", f.one("figcaption").text)]
    return figure


def points_of(polyline):
    return [tuple(map(float, pair.split(","))) for pair in polyline["points"].split()]


@pytest.mark.parametrize("title", ["accuracy", "ECE", "mPC", "ECE under corruption"])
def test_one_line_per_pruner_and_a_dashed_one_for_dense(build, page_of, title):
    svg = figure_of(page_of(build.run(*build.curve())), title).one("svg")
    lines = svg.all("polyline")
    assert [len(points_of(line)) for line in lines] == [3, 3, 3]
    for line in lines:
        across = [x for x, _ in points_of(line)]
        assert across == sorted(set(across))
    (dense,) = svg.one("g", class_="dense").all("polygon", class_="measured")
    reference = svg.one("line", class_="reference")
    heights = [float(pair.split(",")[1]) for pair in dense["points"].split()]
    assert float(reference["y1"]) == float(reference["y2"]) == pytest.approx(sum(heights) / 4, abs=0.01)


def test_heights_and_distances_follow_the_numbers(build, page_of):
    svg = figure_of(page_of(build.run(*build.curve(ratios=(0.1, 0.3, 0.7)))), "accuracy").one("svg")
    first, second, third = (points_of(line) for line in svg.all("polyline"))
    dense = float(svg.one("line", class_="reference")["y1"])
    assert dense < first[0][1] < first[1][1] < first[2][1]  # y grows downwards, accuracy falls
    assert second[0][1] - first[0][1] == pytest.approx(third[0][1] - second[0][1], abs=0.02)
    (x1, y1), (x3, y3), (x7, y7) = first
    assert (x7 - x3) / (x3 - x1) == pytest.approx(2, abs=0.01)
    assert (y7 - y3) / (y3 - y1) == pytest.approx(2, abs=0.01)


def test_lines_agree_with_the_axis_labels(build, page_of):
    svg = figure_of(page_of(build.run(*build.curve())), "accuracy").one("svg")
    ticks = {t.text: float(t["y"]) - 4 for t in svg.all("text", class_="tick end")}
    (low, low_y), *_, (high, high_y) = ((float(text), y) for text, y in ticks.items())
    for (_, y), expected in zip(points_of(svg.all("polyline")[1]), (0.91, 0.89, 0.85), strict=True):
        assert low + (y - low_y) / (high_y - low_y) * (high - low) == pytest.approx(expected, abs=1e-3)


def test_pruners_differ_in_shape_and_not_only_in_colour(build, page_of):
    legend = page_of(build.run(*build.curve())).one("ul", class_="legend")
    entries = {item.text.strip(): item for item in legend.all("li")}
    assert list(entries) == ["weight", "filter", "channel", "dense", "hollow: baseline"]
    shapes = {
        (mark.tag, len(mark.attributes.get("points", "").split()))
        for item in entries.values()
        for mark in item.all("*", class_="measured")
    }
    assert shapes == {("circle", 0), ("polygon", 4), ("polygon", 3)}
    marks = [entries[name].one("*", class_="measured") for name in ("weight", "filter", "channel", "dense")]
    outlines = {mark.attributes.get("points") for mark in marks}
    assert len(outlines) == 4
    svg = figure_of(page_of(build.run(*build.curve())), "accuracy").one("svg")
    corners = [
        {
            len(mark.attributes.get("points", "").split())
            for mark in svg.one("g", class_=series).all("*", class_=kind)
        }
        for series in ("s0", "s1", "s2")
        for kind in ("measured", "baseline")
    ]
    assert corners == [{0}, {0}, {4}, {4}, {3}, {3}]


def test_hollow_markers_stand_where_baselines_do(build, page_of):
    without = build.result(Cell("vgg19", "weight", 0.5), {**build.NUMBERS, "accuracy": 0.8}, None)
    moved = build.result(
        Cell("vgg19", "weight", 0.6), {**build.NUMBERS, "accuracy": 0.8}, {**build.NUMBERS, "accuracy": 0.9}
    )
    svg = figure_of(page_of(build.run(*build.curve(), without, moved)), "accuracy").one("svg")
    assert len(svg.all("*", class_="baseline")) == 11
    assert len(svg.all("*", class_="measured")) == 12
    stem = svg.one("line", class_="stem")
    assert "weight-0.6: 0.8000, baseline 0.9000, change -0.1000" in stem.parent.one("title").text
    hollow, solid = (float(stem.parent.one("circle", class_=kind)["cy"]) for kind in ("baseline", "measured"))
    assert hollow < solid
    assert {float(stem["y1"]), float(stem["y2"])} == {hollow, solid}


def test_without_any_baseline_nothing_is_hollow(build, page_of):
    page = page_of(build.run(*(build.result(r.cell, r.measurement.metrics, None) for r in build.curve())))
    assert len(page.all("figure")) == 4
    assert not page.all("*", class_="baseline")


def test_figures_that_have_no_point_are_left_out(build, page_of):
    only_ece = [build.result(result.cell, {"ece": 0.1}) for result in build.curve()]
    assert [f.one("figcaption").text[:3] for f in page_of(build.run(*only_ece)).all("figure")] == ["ECE"]
    assert not page_of(build.run(build.curve()[0])).all("figure")
    assert not page_of(build.run()).all("figure")


def test_a_single_ratio_still_makes_a_figure(build, page_of):
    svg = figure_of(page_of(build.run(*build.curve(ratios=(0.3,)))), "accuracy").one("svg")
    assert [len(points_of(line)) for line in svg.all("polyline")] == [1, 1, 1]


def test_own_metrics_get_a_figure_and_counts_do_not(build, page_of):
    own = known(
        [
            Metric("auroc", higher_is_better=True, title="AUROC"),
            Metric("rules", higher_is_better=False, count=True),
        ]
    )
    cells = [
        build.result(r.cell, {**r.measurement.metrics, "auroc": 0.9, "rules": 3}, metrics=own)
        for r in build.curve()
    ]
    page = page_of(build.run(*cells, metrics=own))
    assert len(page.all("figure")) == 5
    assert "higher is better" in figure_of(page, "AUROC").text


def test_error_bars_reach_as_far_as_the_errors_and_stay_in_the_metrics_range(build, page_of):
    sure = {"accuracy": Uncertainty(0.04), "ece": Uncertainty(0.05)}
    page = page_of(
        build.run(
            build.noisy("weight-0.3", {"accuracy": 0.8}, sure=sure), build.noisy("weight-0.7", sure=sure)
        )
    )
    svg = figure_of(page, "accuracy").one("svg")
    ticks = [(float(t.text), float(t["y"]) - 4) for t in svg.all("text", class_="tick end")]
    (low, low_y), *_, (high, high_y) = ticks
    heights = [
        low + (float(bar[end]) - low_y) / (high_y - low_y) * (high - low)
        for bar in svg.all("line", class_="error")
        for end in ("y1", "y2")
    ]
    assert heights == pytest.approx([0.76, 0.84, 0.91, 0.99], abs=1e-3)
    assert float(figure_of(page, "ECE").all("text", class_="tick end")[0].text) == 0
    assert "weight-0.3: 0.8000 ±0.04, baseline" in svg.one("desc").text
    assert not figure_of(page, "mPC").all("line", class_="error")
    assert "bar: sampling error" in page.one("ul", class_="legend").text
    assert "bar" not in page_of(build.run(*build.curve())).one("ul", class_="legend").text


def test_a_metric_of_the_users_own_that_is_shown_has_one_figure_within_its_bounds(build, page_of):
    metrics = known([Metric("auroc", higher_is_better=True, shown=True, bounds=(0.5, 1.0))])
    wide = {"auroc": Uncertainty(0.3)}
    cells = [
        build.result(r.cell, {**r.measurement.metrics, "auroc": 0.75}, metrics=metrics, uncertainty=wide)
        for r in build.curve()
    ]
    page = page_of(build.run(*cells, metrics=metrics))
    titles = [figure.one("figcaption").text.split(" ↑")[0].split(" ↓")[0] for figure in page.all("figure")]
    assert titles == ["accuracy", "ECE", "mPC", "ECE under corruption", "auroc"]
    (low, low_y), *_, (high, high_y) = [
        (float(t.text), float(t["y"]) - 4) for t in figure_of(page, "auroc").all("text", class_="tick end")
    ]
    bar = figure_of(page, "auroc").all("line", class_="error")[0]
    ends = [low + (float(bar[end]) - low_y) / (high_y - low_y) * (high - low) for end in ("y1", "y2")]
    assert ends == pytest.approx([0.5, 1.0], abs=1e-3)


def test_cells_without_a_ratio_are_named_below_and_drawn_nowhere(build, page_of):
    others = [
        Cell("vgg19", "2:4", 0.0),
        Cell("vgg19", "mine", 0.0, "hard"),
        Cell("vgg19", None, 0.0, candidate="v2"),
    ]
    cells = [*build.curve(), *(build.result(one, build.NUMBERS) for one in others)]
    page, without = page_of(build.run(*cells)), page_of(build.run(*build.curve()))
    assert "Without a ratio, and so in no figure: 2:4, mine-hard, candidate-v2." in page.text
    assert "in no figure" not in without.text
    assert [figure.text for figure in page.all("figure")] == [f.text for f in without.all("figure")]
    assert page.one("ul", class_="legend").text == without.one("ul", class_="legend").text
