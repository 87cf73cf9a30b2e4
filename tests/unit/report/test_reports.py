"""The reports for people, programs and CI pages: what they say of a run, and that they always can."""

import json as stdlib_json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.verdict import CellVerdict, Circumstances, Status, judge
from pytest_prunecal.report import json_report as json
from pytest_prunecal.report import markdown, wording
from pytest_prunecal.report.html import page as html
from pytest_prunecal.report.html.axes import Axis, nice_ticks, value_ticks
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell, cell_from_id
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS, Metric, known
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = protocol_file.load("quick", Path())
RULES = {
    "accuracy": Tolerance(abs=0.01, source="protocol quick"),
    "ece": Tolerance(0.02, 0.05, "vgg19.yaml:7"),
}
# The very same network on both sides: without noise, auto is exact.
GIVEN = Circumstances(QUICK.noise, QUICK.false_alarms, pairing=Pairing(same_base=True, tuned=False))
NUMBERS = {"accuracy": 0.95, "ece": 0.03, "mpc": 0.8, "corrupted_ece": 0.1, "parameters": 20035018}
HOSTILE = "<script>alert(1)</script>"
SAME = object()


def result_of(cell, numbers, accepted=SAME, **more):
    """A measured cell; by default its baseline says the same."""
    accepted = numbers if accepted is SAME else accepted
    metrics = more.pop("metrics", METRICS)
    label = more.pop("label", False)
    verdict = judge(numbers, accepted, RULES, metrics, GIVEN)
    return CellResult(cell, Measurement(numbers, **more), verdict, accepted=label)


def noisy(name, numbers=None, **more):
    """A cell under `auto`, from the same base network; its numbers differ from NUMBERS as given."""
    measured = {**NUMBERS, **(numbers or {})}
    sure = more.pop("sure", {"accuracy": Uncertainty(0.006), "ece": Uncertainty(0.004, 0.003, 3)})
    pairing = more.pop("pairing", Pairing(same_base=True, paired={"accuracy": 0.002}))
    circumstances = Circumstances(
        QUICK.noise,
        QUICK.false_alarms,
        comparisons=10,
        min_effect=QUICK.min_effect,
        measured=sure,
        accepted={"accuracy": Uncertainty(0.0061), "ece": Uncertainty(0.0041)},
        dense=NUMBERS,
        pairing=pairing,
    )
    measurement = Measurement(measured, uncertainty=sure)
    verdict = judge(measured, NUMBERS, {}, METRICS, circumstances)
    return CellResult(cell_from_id("vgg19", name), measurement, verdict, pairing=pairing, **more)


def curve(model="vgg19", ratios=(0.1, 0.3, 0.7), pruners=("weight", "filter", "channel")):
    """A dense cell, and cells whose accuracy falls with the ratio and differs between pruners."""
    cells = [result_of(Cell(model, None, 0.0), NUMBERS)]
    for index, pruner in enumerate(pruners):
        for ratio in ratios:
            numbers = {**NUMBERS, "accuracy": 0.94 - 0.1 * ratio - 0.02 * index, "ece": 0.03 + 0.02 * ratio}
            cells.append(result_of(Cell(model, pruner, ratio), numbers))
    return cells


def run_of(*results, metrics=METRICS, interrupted=False, **more):
    """A run of one model."""
    model = more.pop("model", "vgg19")
    fields = {"file": "baselines/quick/vgg19.yaml", "accept": "pytest --prunecal-update", **more}
    sorted_results = sort_results(list(results), QUICK)
    return Run(QUICK, metrics, (ModelRun(model, results=sorted_results, **fields),), interrupted)


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.content = []

    def all(self, tag, **attributes):
        """Every element below with this tag and these attributes."""
        found = [self] if self.matches(tag, attributes) else []
        return found + [element for child in self.children for element in child.all(tag, **attributes)]

    def one(self, tag, **attributes):
        (element,) = self.all(tag, **attributes)
        return element

    def matches(self, tag, attributes):
        given_ones = {key.rstrip("_"): value for key, value in attributes.items()}
        return tag in (self.tag, "*") and all(self.attributes.get(k) == v for k, v in given_ones.items())

    @property
    def children(self):
        return [part for part in self.content if isinstance(part, Element)]

    @property
    def text(self):
        return "".join(part.text if isinstance(part, Element) else part for part in self.content)

    def __getitem__(self, attribute):
        return self.attributes[attribute]


class Strict(HTMLParser):
    """Builds a tree; refuses a document whose tags do not balance."""

    def __init__(self, text):
        super().__init__()
        self.root = self.at = Element("document", {}, None)
        self.feed(text)
        self.close()
        assert self.at is self.root, f"<{self.at.tag}> is not closed"

    def handle_starttag(self, tag, attrs):
        assert len({key for key, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        self.at = Element(tag, dict(attrs), self.at)
        self.at.parent.content.append(self.at)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert tag == self.at.tag, f"</{tag}> closes <{self.at.tag}>"
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.content.append(data)


def page_of(run):
    return Strict(html.render(run)).root


def figure_of(page, title):
    (figure,) = [f for f in page.all("figure") if re.match(f"{title} [↑↓]", f.one("figcaption").text)]
    return figure


def points_of(polyline):
    return [tuple(map(float, pair.split(","))) for pair in polyline["points"].split()]


def row_of(table, head):
    """The cells of the row that a header names, with or without the arrow."""
    rows = [
        row
        for row in table.all("tr")
        for name in row.all("th", scope="row")
        if name.text.split("\u00a0")[0] == head
    ]
    (row,) = rows
    return [cell.text for cell in row.all("td")]


def columns_of(line):
    """Cells of a Markdown table's line."""
    return [part.strip() for part in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def tables_of(text):
    """The lines of each table, outside code."""
    outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = ([line for line in block.split("\n") if line.startswith("|")] for block in outside.split("\n\n"))
    return [block for block in blocks if block]


# --- the page


def test_page_tells_a_failure_from_top_to_bottom():
    worse = {**NUMBERS, "accuracy": 0.90}
    run = run_of(
        *curve(), result_of(Cell("vgg19", "weight", 0.5), worse, NUMBERS), environment="torch 2.6 -> 2.7"
    )
    page = page_of(run)
    assert page.one("h1").text.strip() == "✗ Failed: 1 of 11 cells fails"
    assert page.one("header")["class"] == "outcome is-failed"
    link = page.one("ul", class_="failing").one("a")
    assert link.text == "vgg19 weight-0.5"
    details = page.one("details", id=link["href"][1:])
    assert "open" in details.attributes
    table = details.one("table", class_="comparison")
    assert row_of(table, "accuracy") == [
        "0.9500",
        "0.9000",
        "-0.0500",
        "0.0100",
        "",
        "0.01",
        "protocol quick",
        "✗ regression",
    ]
    assert row_of(table, "ECE")[2:] == ["=", "0.0200", "", "0.02 or 5%", "vgg19.yaml:7", "✓ ok"]
    assert "torch 2.6 -> 2.7" in page.one("dl").text
    assert QUICK.fingerprint in page.one("dl").text
    assert [pre.text for pre in page.all("pre")] == ["pytest --prunecal-update"]


def test_page_of_a_passing_run_keeps_quiet():
    page = page_of(run_of(*curve()))
    assert page.one("h1").text.strip() == "✓ Passed: 10 cells"
    assert not page.all("ul", class_="failing")
    assert not page.all("pre")
    assert len(page.all("details", class_="cell")) == 10
    assert not any("open" in details.attributes for details in page.all("details"))


def test_cells_table_shows_change_and_rule():
    better = result_of(
        Cell("vgg19", "weight", 0.5), {**NUMBERS, "ece": 0.004}, {**NUMBERS, "accuracy": 0.945}
    )
    table = page_of(run_of(better)).one("table", class_="cells")
    assert [head.text for head in table.all("th", scope="col")][:4] == [
        "cell",
        "verdict",
        "accuracy\u00a0↑",
        "ECE\u00a0↓",
    ]
    assert row_of(table, "weight-0.5")[:4] == ["▲ improvement", "0.9500+0.0050", "0.0040▲ -0.0260", "0.8000"]
    (hint,) = {td["title"] for td in table.all("td") if td.text.startswith("0.0040")}
    assert hint == "improvement; baseline 0.0300, allowed 0.0200, tolerance 0.02 or 5% (vgg19.yaml:7)"


def test_cells_table_names_what_is_missing_on_either_side():
    one_sided = result_of(Cell("vgg19", "weight", 0.5), {"ece": 0.1, "mpc": 0.5}, {"ece": 0.1, "nll": 0.2})
    table = page_of(run_of(one_sided)).one("table", class_="cells")
    assert row_of(table, "weight-0.5") == ["✗ missing", "0.1000", "-✗ not measured", "0.5000✗ no baseline"]


def test_error_is_shown_in_full_and_its_gist_in_the_list():
    longrepr = "model = <vgg>\n>   measure()\nE   RuntimeError: no memory\n\nmeasure.py:3: RuntimeError"
    page = page_of(run_of(*curve(), CellResult(Cell("vgg19", "weight", 0.5), error=longrepr)))
    assert page.one("ul", class_="failing").text.strip() == "vgg19 weight-0.5 ✗ error RuntimeError: no memory"
    assert [pre.text for pre in page.all("pre")] == [longrepr]
    assert row_of(page.one("table", class_="cells"), "weight-0.5") == ["✗ error", *"-----"]


def test_warnings_and_orphans_are_named():
    floored = result_of(Cell("vgg19", "channel", 0.7), NUMBERS, warnings=("conv12: one channel kept",))
    text = page_of(run_of(floored, orphans=("weight-0.85",))).text
    assert "conv12: one channel kept (channel-0.7)" in text
    assert "no longer has: weight-0.85" in text


@pytest.mark.parametrize("name", [HOSTILE, "a|b", '"><b>', "&lt;", "x:y`z`", "\x1b[31mred\x00", "\udcff"])
def test_hostile_names_are_shown_and_not_obeyed(name):
    run = run_of(
        result_of(Cell(name, "weight", 0.5), {**NUMBERS, name: 0.5}, NUMBERS, warnings=(name,)),
        CellResult(Cell(name, name, 0.5), error=name),
        model=name,
        file=name,
        orphans=(name,),
        environment=name,
        accept=name,
    )
    text = html.render(run)
    page = Strict(text).root
    text.encode()
    assert not page.all("script")
    assert page.one("h2").text == wording.clean(name)
    assert "\x1b" not in text
    assert "\x00" not in text


def test_page_needs_nothing_from_elsewhere():
    page = page_of(run_of(*curve(), CellResult(Cell("vgg19", "weight", 0.5), error="x")))
    every = page.all("*")
    assert not {element.tag for element in every} & {"script", "link", "img", "iframe", "object", "use"}
    ids = [element["id"] for element in every if "id" in element.attributes]
    assert len(ids) == len(set(ids)) > 10
    for attribute in ("href", "aria-labelledby"):
        for element in every:
            for reference in element.attributes.get(attribute, "").split():
                assert reference.removeprefix("#") in ids
    assert not any("src" in element.attributes or "style" in element.attributes for element in every)
    assert not re.search(r"url\(|@import|https?:", page.one("style").text)


def test_tables_and_figures_can_be_read_aloud():
    page = page_of(run_of(*curve(), result_of(Cell("vgg19", "weight", 0.5), NUMBERS, corrupted=SETS)))
    for table in page.all("table"):
        assert table.one("caption").text
        assert all(head["scope"] in ("col", "row", "colgroup") for head in table.all("th"))
        widths = {
            sum(int(cell.attributes.get("colspan", 1)) for cell in row.all("th") + row.all("td"))
            for row in table.one("tbody").all("tr")
        }
        assert len(widths) == 1
    for figure in page.all("figure"):
        svg = figure.one("svg")
        title, description = svg["aria-labelledby"].split()
        assert svg.one("title", id=title).text.endswith("of vgg19 against pruning ratio")
        assert "weight-0.3: " in svg.one("desc", id=description).text


# --- the figures


@pytest.mark.parametrize("title", ["accuracy", "ECE", "mPC", "ECE under corruption"])
def test_one_line_per_pruner_and_a_dashed_one_for_dense(title):
    svg = figure_of(page_of(run_of(*curve())), title).one("svg")
    lines = svg.all("polyline")
    assert [len(points_of(line)) for line in lines] == [3, 3, 3]
    for line in lines:
        across = [x for x, _ in points_of(line)]
        assert across == sorted(set(across))
    (dense,) = svg.one("g", class_="dense").all("polygon", class_="measured")
    reference = svg.one("line", class_="reference")
    heights = [float(pair.split(",")[1]) for pair in dense["points"].split()]
    assert float(reference["y1"]) == float(reference["y2"]) == pytest.approx(sum(heights) / 4, abs=0.01)


def test_heights_and_distances_follow_the_numbers():
    svg = figure_of(page_of(run_of(*curve(ratios=(0.1, 0.3, 0.7)))), "accuracy").one("svg")
    first, second, third = (points_of(line) for line in svg.all("polyline"))
    dense = float(svg.one("line", class_="reference")["y1"])
    assert dense < first[0][1] < first[1][1] < first[2][1]  # y grows downwards, accuracy falls
    assert second[0][1] - first[0][1] == pytest.approx(third[0][1] - second[0][1], abs=0.02)
    (x1, y1), (x3, y3), (x7, y7) = first
    assert (x7 - x3) / (x3 - x1) == pytest.approx(2, abs=0.01)
    assert (y7 - y3) / (y3 - y1) == pytest.approx(2, abs=0.01)


def test_lines_agree_with_the_axis_labels():
    svg = figure_of(page_of(run_of(*curve())), "accuracy").one("svg")
    ticks = {t.text: float(t["y"]) - 4 for t in svg.all("text", class_="tick end")}
    (low, low_y), *_, (high, high_y) = ((float(text), y) for text, y in ticks.items())
    for (_, y), expected in zip(points_of(svg.all("polyline")[1]), (0.91, 0.89, 0.85), strict=True):
        assert low + (y - low_y) / (high_y - low_y) * (high - low) == pytest.approx(expected, abs=1e-3)


def test_pruners_differ_in_shape_and_not_only_in_colour():
    legend = page_of(run_of(*curve())).one("ul", class_="legend")
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
    svg = figure_of(page_of(run_of(*curve())), "accuracy").one("svg")
    corners = [
        {
            len(mark.attributes.get("points", "").split())
            for mark in svg.one("g", class_=series).all("*", class_=kind)
        }
        for series in ("s0", "s1", "s2")
        for kind in ("measured", "baseline")
    ]
    assert corners == [{0}, {0}, {4}, {4}, {3}, {3}]


def test_hollow_markers_stand_where_baselines_do():
    without = result_of(Cell("vgg19", "weight", 0.5), {**NUMBERS, "accuracy": 0.8}, None)
    moved = result_of(
        Cell("vgg19", "weight", 0.6), {**NUMBERS, "accuracy": 0.8}, {**NUMBERS, "accuracy": 0.9}
    )
    svg = figure_of(page_of(run_of(*curve(), without, moved)), "accuracy").one("svg")
    assert len(svg.all("*", class_="baseline")) == 11
    assert len(svg.all("*", class_="measured")) == 12
    stem = svg.one("line", class_="stem")
    assert "weight-0.6: 0.8000, baseline 0.9000, change -0.1000" in stem.parent.one("title").text
    hollow, solid = (float(stem.parent.one("circle", class_=kind)["cy"]) for kind in ("baseline", "measured"))
    assert hollow < solid
    assert {float(stem["y1"]), float(stem["y2"])} == {hollow, solid}


def test_without_any_baseline_nothing_is_hollow():
    page = page_of(run_of(*(result_of(r.cell, r.measurement.metrics, None) for r in curve())))
    assert len(page.all("figure")) == 4
    assert not page.all("*", class_="baseline")


def test_figures_that_have_no_point_are_left_out():
    only_ece = [result_of(result.cell, {"ece": 0.1}) for result in curve()]
    assert [f.one("figcaption").text[:3] for f in page_of(run_of(*only_ece)).all("figure")] == ["ECE"]
    assert not page_of(run_of(curve()[0])).all("figure")
    assert not page_of(run_of()).all("figure")


def test_a_single_ratio_still_makes_a_figure():
    svg = figure_of(page_of(run_of(*curve(ratios=(0.3,)))), "accuracy").one("svg")
    assert [len(points_of(line)) for line in svg.all("polyline")] == [1, 1, 1]


def test_own_metrics_get_a_figure_and_counts_do_not():
    own = known(
        [
            Metric("auroc", higher_is_better=True, title="AUROC"),
            Metric("rules", higher_is_better=False, count=True),
        ]
    )
    cells = [
        result_of(r.cell, {**r.measurement.metrics, "auroc": 0.9, "rules": 3}, metrics=own) for r in curve()
    ]
    page = page_of(run_of(*cells, metrics=own))
    assert len(page.all("figure")) == 5
    assert "higher is better" in figure_of(page, "AUROC").text


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 10))
def test_ticks_are_few_even_and_enclose_the_range(low, width, most):
    high = low + max(width, abs(low) * 1e-3)
    ticks = nice_ticks(low, high, most)
    step = ticks[1] - ticks[0]
    slack = 1e-6 * step
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= most + 3
    assert all(later - earlier == pytest.approx(step, rel=1e-3) for earlier, later in pairwise(ticks))
    mantissa = step / 10 ** math.floor(math.log10(step * (1 + 1e-6)))
    assert min(abs(mantissa - nice) for nice in (1, 2, 5)) < 1e-3


def test_ticks_by_example():
    assert nice_ticks(0, 0.7, 8) == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert value_ticks([0.97, 0.93], higher_is_better=True) == (0.93, 0.94, 0.95, 0.96, 0.97)
    assert value_ticks([0.01, 0.03], higher_is_better=False)[0] == 0
    assert value_ticks([0.15, 0.18], higher_is_better=False)[0] == 0.15
    assert value_ticks([0.2, 0.9], higher_is_better=True)[0] == 0
    flat = value_ticks([0.5, 0.5], higher_is_better=True)
    assert flat[0] < 0.5 < flat[-1]
    assert flat[-1] - flat[0] < 0.03
    assert value_ticks([0.0], higher_is_better=False)[0] == 0
    assert Axis((0.0, 0.05, 0.1), 0, 10).label(0.1) == "0.10"
    assert Axis((0.0, 20.0), 0, 10).label(20.0) == "20"


# --- corrupted sets

SETS = {
    "fog": {"1": {"accuracy": 0.9, "ece": 0.02}, "3": {"accuracy": 0.5, "ece": 0.3}},
    "gaussian_noise": {"3": {"accuracy": 0.6, "ece": 0.1}, "1": {"accuracy": 0.7, "ece": 0.6}},
}


def test_corrupted_sets_are_a_heat_map_in_the_protocols_order():
    page = page_of(run_of(result_of(Cell("vgg19", None, 0.0), NUMBERS, corrupted=SETS)))
    table = page.one("table", class_="heat")
    assert [head.text for head in table.all("th", scope="row")] == ["gaussian_noise", "fog"]
    assert [head.text for head in table.all("th", scope="col")][1:] == ["1", "3", "mean"] * 2
    assert row_of(table, "fog") == ["0.900", "0.500", "0.700", "0.020", "0.300", "0.160"]
    shades = [td.attributes.get("class") for td in table.one("tbody").all("tr")[1].all("td")]
    assert shades == ["h1", "h4", "h3", None, "h5", "h3"]
    text = page.one("details", class_="cell").text
    assert "Worst corruption: gaussian_noise, mean accuracy 0.650, ECE 0.350" in " ".join(text.split())


def test_corruption_source_is_said():
    result = result_of(
        Cell("vgg19", None, 0.0), NUMBERS, corrupted=SETS, provenance={"corruptions": "generated"}
    )
    page = page_of(run_of(result))
    assert "Corruptions: generated." in page.one("details", class_="cell").text
    assert "generated" in page.one("dl").text


def test_worst_corruption_is_the_first_of_equals_and_none_without_sets():
    even = {name: {"1": {"accuracy": 0.5}} for name in ("fog", "gaussian_noise")}
    assert wording.worst_corruption(Measurement({}, even), QUICK) == wording.Worst(
        "gaussian_noise", 0.5, None
    )
    assert wording.worst_corruption(Measurement({}), QUICK) is None


# --- the report for programs


def test_json_says_everything():
    worse = {**NUMBERS, "accuracy": 0.900012345}
    result = result_of(
        Cell("vgg19", "weight", 0.5),
        worse,
        NUMBERS,
        corrupted=SETS,
        provenance={"torch": "2"},
        warnings=("w",),
    )
    run = run_of(result, CellResult(Cell("vgg19", "filter", 0.5), error="boom"), orphans=("weight-0.9",))
    document = stdlib_json.loads(json.render(run))
    assert document["prunecal"] == 1
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
            "measured": {"se": None, "sd": None, "seeds": 1},
            "baseline": {"se": None, "sd": None, "seeds": 1},
        },
        "change": -0.05,
        "allowed": 0.01,
        "status": "regression",
        "tolerance": {"abs": 0.01, "rel": 0.0, "source": "protocol quick", "auto": False},
        "p_value": None,
        "further": False,
        "auto": None,
    }
    assert list(cell["metrics"]) == list(NUMBERS)
    assert cell["corrupted"] == SETS
    assert cell["aggregates"]["worst_corruption"] == {
        "corruption": "gaussian_noise",
        "accuracy": pytest.approx(0.65),
        "ece": pytest.approx(0.35),
    }
    assert cell["aggregates"]["mpc"] == 0.8
    assert (cell["provenance"], cell["warnings"]) == ({"torch": "2"}, ["w"])
    assert (error["label"], error["status"], error["error"], error["metrics"]) == ("error", None, "boom", {})


def test_every_field_of_the_json_is_documented():
    result = result_of(Cell("vgg19", "weight", 0.5), NUMBERS, corrupted=SETS)
    document = stdlib_json.loads(json.render(run_of(result)))
    (model,) = document["models"]
    (cell,) = model["cells"]
    named = [document, document["protocol"], document["metrics"]["ece"], model, cell, cell["metrics"]["ece"]]
    named += [cell["metrics"]["ece"]["tolerance"], cell["aggregates"], cell["aggregates"]["worst_corruption"]]
    for name in {key for fields in named for key in fields} | set(wording.SYMBOLS):
        assert re.search(rf'(^ *{name} )|"{name}"', json.__doc__, re.MULTILINE), name


def test_json_does_not_depend_on_the_order_of_arrival():
    forwards = Measurement(NUMBERS, SETS, {"torch": "2", "device": "cpu"})
    backwards = Measurement(*(dict(reversed(d.items())) for d in (NUMBERS, SETS, forwards.provenance)))
    cell = Cell("vgg19", None, 0.0)
    texts = {
        json.render(run_of(CellResult(cell, m, judge(m.metrics, NUMBERS, RULES, METRICS, GIVEN))))
        for m in (forwards, backwards)
    }
    assert len(texts) == 1


def test_json_has_null_for_what_is_not_a_finite_number():
    sets = {"fog": {"1": {"accuracy": 0.5, "nll": math.inf, "ece": math.nan}}}
    text = json.render(run_of(result_of(Cell("vgg19", None, 0.0), NUMBERS, corrupted=sets)))
    (model,) = stdlib_json.loads(text, parse_constant=pytest.fail)["models"]
    assert model["cells"][0]["corrupted"]["fog"]["1"] == {"accuracy": 0.5, "nll": None, "ece": None}


# --- the summary for a CI job


def test_markdown_by_example():
    worse = result_of(Cell("vgg19", "weight", 0.5), {**NUMBERS, "accuracy": 0.9}, NUMBERS)
    lines = markdown.render(run_of(*curve(ratios=(0.1,)), worse)).split("\n")
    assert lines[0] == "## ✗ prunecal failed: 1 of 5 cells fails"
    (row,) = [line for line in lines if line.startswith("| weight-0.5 ")]
    assert columns_of(row) == [
        "weight-0.5",
        "0.9000 (-0.0500 ✗)",
        "0.0300",
        "0.8000",
        "0.1000",
        "✗ regression",
    ]
    (row,) = [line for line in lines if line.startswith("| weight-0.1 ")]
    assert columns_of(row)[-1] == "✓ identical"
    (row,) = [line for line in lines if line.startswith("| accuracy ↑ ")]
    assert columns_of(row)[1:] == [
        "0.9500",
        "0.9000",
        "-0.0500",
        "0.0100",
        "0.01 (protocol quick)",
        "✗ regression",
    ]
    assert any(
        line.startswith("- auto compares mpc, corrupted\\_ece, parameters: the same net") for line in lines
    )
    at = lines.index("pytest --prunecal-update")
    assert (lines[at - 1], lines[at + 1]) == ("```", "```")


def test_markdown_asks_for_nothing_when_nothing_changed():
    text = markdown.render(run_of(*curve()))
    assert text.startswith("## ✓ prunecal passed: 10 cells\n")
    assert "--prunecal-update" not in text
    assert "<details>" not in text


@pytest.mark.parametrize("name", [HOSTILE, "a|b", "`a`|`b`", "a\nb", "\\|", "| --- |"])
def test_markdown_escapes(name):
    run = run_of(
        result_of(Cell(name, name, 0.5), {"ece": 0.5, name: 1.0}, {"ece": 0.1}),
        CellResult(Cell(name, "weight", 0.1), error=f"``` {name}"),
        model=name,
        accept=f"echo ```` {name}",
    )
    text = markdown.render(run)
    cells, compared = tables_of(text)
    assert [len(columns_of(line)) for line in cells] == [6] * 4
    assert [len(columns_of(line)) for line in compared] == [7] * 4
    shown = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in shown
    assert "echo" not in shown


def test_a_fence_is_longer_than_what_it_holds():
    text = markdown.render(run_of(CellResult(Cell("vgg19", None, 0.0), error="a\n````\n<b>")))
    assert "\n`````\na\n````\n<b>\n`````\n" in text


def test_markdown_of_many_cells_stays_small():
    error = "Traceback (most recent call last):\n" + "x" * 9000 + "\nValueError: " + "y" * 5000
    cells = [CellResult(Cell("vgg19", "weight", n / 200), error=error) for n in range(1, 101)]
    text = markdown.render(run_of(*cells))
    assert len(text.encode()) < 200_000
    assert "and 50 more" in text
    assert "ValueError" in text


# --- how sure all of it is

WORSE = Pooled("accuracy", Status.REGRESSION, -0.0123, 0.005, 0.0071, 21, 1e-6)
LIGHTER = Pooled("parameters", Status.OK, -12.4, 100175.2, 100175.2, 21, 1.0)


def cell_of(run, name="weight-0.5"):
    """A cell as JSON has it."""
    (model,) = stdlib_json.loads(json.render(run))["models"]
    (cell,) = [cell for cell in model["cells"] if cell["id"] == name]
    return cell


def test_numbers_carry_their_errors_on_the_page():
    page = page_of(run_of(noisy("weight-0.5", {"accuracy": 0.949})))
    cells = row_of(page.one("table", class_="cells"), "weight-0.5")
    assert cells[1:4] == ["0.9490-0.0010 ±0.006", "0.0300 ±0.004 sd 0.003, 3 seeds", "0.8000"]
    compared = page.one("table", class_="comparison")
    heads = [head.text for head in compared.all("th", scope="col")]
    assert heads[3:7] == ["change", "allowed", "caught from", "tolerance"]
    assert row_of(compared, "accuracy")[:4] == ["0.9500 ±0.0061", "0.9490 ±0.006", "-0.0010", "0.0147"]
    assert row_of(compared, "ECE")[:2] == ["0.0300 ±0.0041", "0.0300 ±0.004 sd 0.003, 3 seeds"]
    assert row_of(compared, "parameters")[3:5] == ["100175", "100175"]
    assert "sampling error on the test images, then deviation over 3 seeds" in page.text


def test_the_page_says_which_comparison_was_made_and_what_it_sees():
    pairing = Pairing(same_base=True, unpaired="no results by image at hand")
    page = page_of(run_of(noisy("weight-0.5"), noisy("weight-0.7", pairing=pairing)))
    first, second = (cell.text for cell in page.all("details", class_="cell"))
    assert "auto compares accuracy: same base network, paired by image, 1 seed" in first
    assert "auto compares ece: same base network, not paired, 1 and 3 seeds" in first
    assert "noise hides smaller regressions that matter of accuracy (0.0050 matters; about" in first
    assert "not paired by image" not in first
    assert "not paired by image: no results by image at hand" in second
    table = page.one("table", class_="sight")
    assert [head.text for head in table.all("th", scope="col")][:3] == ["cell", "accuracy", "ECE"]
    assert row_of(table, "weight-0.5")[0].endswith("*")
    assert row_of(table, "weight-0.5")[2:] == ["0.0050"] * 2 + ["100175"]
    hints = [td.attributes.get("title") for td in table.all("td")]
    assert [bool(hint) for hint in hints] == [td.text.endswith("*") for td in table.all("td")]
    assert "comparisons cannot see all that matters" in page.text
    assert "fails at most 1 % of runs" in page.one("dl").text
    assert not page_of(run_of()).all("table", class_="sight")


def test_error_bars_reach_as_far_as_the_errors_and_stay_in_the_metrics_range():
    sure = {"accuracy": Uncertainty(0.04), "ece": Uncertainty(0.05)}
    page = page_of(run_of(noisy("weight-0.3", {"accuracy": 0.8}, sure=sure), noisy("weight-0.7", sure=sure)))
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
    assert "bar" not in page_of(run_of(*curve())).one("ul", class_="legend").text


def test_json_says_how_sure_and_how_sharp():
    run = run_of(noisy("weight-0.5", {"accuracy": 0.949}))
    cell = cell_of(run)
    accuracy, ece = cell["metrics"]["accuracy"], cell["metrics"]["ece"]
    assert ece["uncertainty"] == {
        "measured": {"se": 0.004, "sd": 0.003, "seeds": 3},
        "baseline": {"se": 0.0041, "sd": None, "seeds": 1},
    }
    assert accuracy["tolerance"]["auto"]
    auto = accuracy["auto"]
    assert auto["basis"] == "same base network, paired by image, 1 seed"
    assert auto["change"] == pytest.approx(-0.001)
    assert auto["min_effect"] == 0.005 < auto["noise"] == accuracy["allowed"] < auto["detectable"]
    assert auto["blind"]
    assert auto["cure"]["seeds"] > 1
    assert auto["cure"]["words"].startswith(f"about {auto['cure']['seeds']} seeds on both sides")
    assert cell["metrics"]["mpc"]["auto"]["cure"] == {"seeds": 0, "images": 0.0, "words": ""}
    assert cell["evidence"]["paired"] == {"accuracy": 0.002}
    document = stdlib_json.loads(json.render(run))
    assert document["protocol"]["false_alarms"] == QUICK.false_alarms
    assert document["protocol"]["min_effect"]["accuracy"]["abs"] == 0.005
    assert document["models"][0]["blindness"].startswith("2 of 5 comparisons cannot see")


def test_every_field_of_a_noisy_cell_is_documented():
    document = stdlib_json.loads(json.render(run_of(noisy("weight-0.5"), together=(WORSE,))))
    named = [document["totals"], document["models"][0]["together"][0], cell_of(run_of(noisy("weight-0.5")))]
    metric = named[-1]["metrics"]["ece"]
    named += [named[-1]["evidence"], metric, metric["auto"], metric["auto"]["cure"], metric["tolerance"]]
    named += [metric["uncertainty"], metric["uncertainty"]["measured"]]
    for name in {key for fields in named for key in fields}:
        assert re.search(rf'(^ *{name} )|"{name}"', json.__doc__, re.MULTILINE), name


def test_markdown_says_how_sure_and_how_sharp():
    text = markdown.render(run_of(noisy("weight-0.5", {"accuracy": 0.9})))
    cells, compared = tables_of(text)
    assert columns_of(cells[2])[1:3] == ["0.9000 ±0.006 (-0.0500 ✗)", "0.0300 ±0.004/0.003"]
    rows = {columns_of(line)[0]: columns_of(line)[1:] for line in compared}
    assert rows["accuracy ↑"][:4] == ["0.9500 ±0.0061", "0.9000 ±0.006", "-0.0500", "0.0147"]
    assert rows["ECE ↓"][1] == "0.0300 ±0.004 (sd 0.003 over 3 seeds)"
    assert "± sampling error on the test images, then deviation over 3 seeds" in text
    assert "- auto compares accuracy: same base network, paired by image, 1 seed" in text
    (line,) = [line for line in text.splitlines() if "cannot see all that matters" in line]
    assert line.startswith("- 2 of 5 comparisons")


def test_known_regressions_are_named_with_their_reason_and_fail_nothing():
    known_one = noisy("weight-0.5", {"accuracy": 0.9}, known="diverges,\nissue <12>")
    run = run_of(noisy("dense"), known_one)
    why = "regression: accuracy 0.9500 -> 0.9000; tolerated: diverges, issue <12>"
    assert (wording.outcome(run), wording.reason(known_one)) == ("passed", why)
    assert not wording.wants_accepting(run.models[0])
    page = page_of(run)
    assert row_of(page.one("table", class_="cells"), "weight-0.5")[0] == "◌ known"
    assert page.all("span", class_="badge is-known")
    assert why in page.all("details", class_="cell")[1].one("summary").text
    assert ".is-known" in html.STYLE.read_text()
    cell = cell_of(run)
    assert (cell["label"], cell["status"], cell["failed"]) == ("known", "regression", False)
    assert (cell["known"], cell["reason"]) == ("diverges,\nissue <12>", why)
    assert "◌ known: regression: accuracy 0.9500 -> 0.9000; tolerated: diverges, issue &lt;12>" in (
        markdown.render(run)
    )


def test_cells_that_got_worse_together_fail_the_run():
    run = run_of(noisy("dense"), noisy("weight-0.5"), together=(WORSE, LIGHTER))
    words = "failed: vgg19's cells got worse together"
    assert (wording.outcome(run), wording.headline(run)) == ("failed", words)
    page = page_of(run)
    assert page.one("h1").text.strip() == f"✗ {words.capitalize()}"
    item = page.one("ul", class_="failing")
    assert item.text.strip() == "vgg19 all cells together ✗ regression accuracy -0.0123"
    assert page.one("h3", id=item.one("a")["href"][1:]).text == "All cells together"
    table = page.all("table", class_="comparison")[0]
    assert row_of(table, "accuracy") == ["21", "-0.0123", "0.0050", "0.0071", "✗ regression"]
    assert row_of(table, "parameters") == ["21", "-12", "100175", "100175", "✓ ok"]
    assert "pytest --prunecal-update" in page.text
    document = stdlib_json.loads(json.render(run))
    assert (document["outcome"], document["totals"]["failed"]) == ("failed", 0)
    assert document["totals"]["worse_together"] == 1
    assert document["models"][0]["worse_together"]
    assert document["models"][0]["together"][0] == {
        "metric": "accuracy", "status": "regression", "cells": 21, "change": -0.0123, "allowed": 0.005,
        "detectable": 0.0071, "p_value": 1e-6,
    }  # fmt: skip
    text = markdown.render(run)
    assert text.startswith(f"## ✗ prunecal {words}\n")
    assert "| accuracy ↑ | 21 | -0.0123 | 0.0050 | 0.0071 | ✗ regression |" in text


def test_both_kinds_of_failure_are_counted_apart():
    failing = noisy("weight-0.5", {"accuracy": 0.9})
    run = run_of(noisy("dense"), failing, together=(WORSE,), interrupted=True)
    assert wording.headline(run) == (
        "failed: 1 of 2 cells fails; vgg19's cells got worse together, interrupted"
    )
    two = Run(QUICK, METRICS, (*run.models, ModelRun("b", "", (), together=(WORSE,))))
    assert "vgg19's and b's cells got worse together" in wording.headline(two)


def test_what_was_accepted_cannot_have_got_worse_together():
    run = run_of(noisy("dense", accepted=True), noisy("weight-0.5", accepted=True), together=(WORSE,))
    assert wording.outcome(run) == "passed"
    one_left = run_of(noisy("dense"), noisy("weight-0.5", accepted=True), together=(WORSE,))
    assert wording.outcome(one_left) == "failed"


def test_markdown_leaves_out_cells_together_where_nothing_changed():
    same = Pooled("accuracy", Status.OK, 0.0, 0.005, 0.007, 21, 1.0)
    text = markdown.render(run_of(noisy("dense"), together=(same,)))
    assert "together" not in text


def test_what_holms_procedure_rejects_besides_is_told():
    near = noisy("weight-0.1", {"accuracy": 0.9362})  # within its bound of 0.0147, not within a fifth's
    worse = [noisy(f"filter-{n / 10}", {"accuracy": 0.85}) for n in range(1, 6)]
    line = "weight-0.1: given these regressions, accuracy -0.0138 is one too"
    for others, told in ((worse, True), (worse[:1], False)):
        run = replace(run_of(near, *others), comparisons=10)
        assert (line in page_of(run).text) is told
        assert (f"- {line}" in markdown.render(run)) is told
        metrics = cell_of(run, "weight-0.1")["metrics"]
        assert (metrics["accuracy"]["further"], metrics["ece"]["further"]) == (told, False)


def test_errors_that_are_no_numbers_are_left_out():
    sure = {"accuracy": Uncertainty(math.nan, math.inf, 3), "ece": Uncertainty(math.inf)}
    odd = noisy("weight-0.5", sure=sure)
    run = run_of(odd)
    assert row_of(page_of(run).one("table", class_="cells"), "weight-0.5")[1:3] == ["0.9500", "0.0300"]
    assert cell_of(run)["metrics"]["accuracy"]["uncertainty"]["measured"] == {
        "se": None, "sd": None, "seeds": 3,
    }  # fmt: skip
    assert "nan" not in markdown.render(run)


# --- what they share


@pytest.mark.parametrize(
    ("results", "interrupted", "outcome", "words"),
    [
        ([], False, "empty", "nothing was gated: no cell was reached"),
        ([], True, "interrupted", "interrupted after 0 cells, none failing"),
        (curve()[:1], False, "passed", "passed: 1 cell"),
        (curve()[:2], True, "interrupted", "interrupted after 2 cells, none failing"),
        ([CellResult(Cell("m", None, 0.0))], True, "failed", "failed: 1 of 1 cell fails, interrupted"),
    ],
)
def test_headline(results, interrupted, outcome, words):
    run = run_of(*results, interrupted=interrupted)
    assert (wording.outcome(run), wording.headline(run)) == (outcome, words)
    assert stdlib_json.loads(json.render(run))["outcome"] == outcome
    assert words in markdown.render(run)
    assert words[1:] in page_of(run).one("h1").text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("", "not measured"),
        ("\n\x1b[31mno data set\x1b[0m\nsee there", "no data set"),
        ("Traceback (most recent call last):\n  File\nValueError: bad\n", "ValueError: bad"),
        (">  f()\nE   ValueError: bad\nE   more\n\na.py:1: ValueError", "ValueError: bad"),
    ],
)
def test_reason_of_an_error(error, line):
    assert wording.reason(CellResult(Cell("m", None, 0.0), error=error)) == line


def test_reason_does_not_repeat_the_label():
    cell, better = Cell("m", None, 0.0), {**NUMBERS, "ece": 0.5}
    assert wording.reason(result_of(cell, NUMBERS)) == ""
    assert wording.reason(result_of(cell, NUMBERS, better)) == "in ece"
    assert wording.reason(result_of(cell, NUMBERS, better, label=True)) == "improvement in ece"
    assert wording.reason(result_of(cell, NUMBERS, None)) == "no accepted numbers for this cell"


def test_accepted_cells_pass_and_say_so():
    accepted = result_of(Cell("vgg19", None, 0.0), NUMBERS, {**NUMBERS, "ece": 0.5}, label=True)
    run = run_of(accepted, refreshed="accepted 1 cell")
    page = page_of(run)
    assert row_of(page.one("table", class_="cells"), "dense")[0] == "✓ accepted"
    assert "accepted 1 cell" in page.text
    assert "✓ accepted |" in markdown.render(run)
    assert not wording.wants_accepting(run.models[0])


def test_an_incomparable_cell_shows_its_numbers_and_the_reason():
    verdict = CellVerdict(Status.INCOMPARABLE, (), "measured under another protocol")
    run = run_of(CellResult(Cell("vgg19", "weight", 0.5), Measurement(NUMBERS), verdict))
    assert "measured under another protocol" in page_of(run).one("ul", class_="failing").text
    assert row_of(page_of(run).one("table", class_="cells"), "weight-0.5")[:2] == ["✗ incomparable", "0.9500"]
    assert "measured under another protocol" in markdown.render(run)


def test_reports_import_neither_pytest_nor_torch():
    code = (
        "import sys; from pytest_prunecal.report import json_report, markdown; "
        "from pytest_prunecal.report.html import page; "
        "sys.exit(', '.join({'pytest', '_pytest', 'torch', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- any run

TEXT = st.text(st.sampled_from("ab<>&\"'|`*_\\\n\r\t #-~é\x00\x1b\u2028\ud800"), max_size=12)
NAMES = st.sampled_from([*METRICS, "own", HOSTILE, "a|b"])
VALUES = st.one_of(st.floats(-1e100, 1e100), st.floats(0, 1), st.integers(-9, 10**12))
ANY_FLOAT = st.one_of(st.floats(), st.floats(0, 1))
SCORES = st.dictionaries(st.sampled_from(["accuracy", "ece", "nll"]), ANY_FLOAT, max_size=3)
CORRUPTED = st.dictionaries(
    st.sampled_from(["fog", "snow", "mine"]),
    st.dictionaries(st.sampled_from(["1", "3", "x"]), SCORES, max_size=2),
    max_size=2,
)


SIZES = st.none() | st.floats(0, 1, allow_subnormal=False) | st.just(math.nan)
UNCERTAINTIES = st.builds(Uncertainty, SIZES, SIZES, st.integers(1, 5))
ERRORS = st.dictionaries(NAMES, st.floats(0, 1, allow_subnormal=False), max_size=2)
TOGETHER = st.builds(
    Pooled,
    NAMES,
    st.sampled_from([Status.OK, Status.IMPROVEMENT, Status.REGRESSION]),
    *[ANY_FLOAT] * 3,
    st.integers(2, 21),
    st.floats(0, 1),
)


@st.composite
def cell_results(draw, model):
    pruner = draw(st.sampled_from([None, "weight", "filter", "mine", "p<|`"]))
    ratio = draw(st.sampled_from([0.1, 0.5, 0.123457, 1e-9, 0.999])) if pruner else 0.0
    cell = Cell(model, pruner, ratio)
    if draw(st.integers(0, 4)) == 0:
        return CellResult(cell, error=draw(TEXT))
    numbers = draw(st.dictionaries(NAMES, VALUES, max_size=5))
    accepted = draw(st.one_of(st.none(), st.just(numbers), st.dictionaries(NAMES, VALUES, max_size=5)))
    rules = draw(
        st.dictionaries(NAMES, st.builds(Tolerance, st.floats(0, 1), st.floats(0, 1), TEXT), max_size=2)
    )
    provenance = draw(
        st.dictionaries(st.sampled_from(["torch", "corruptions", "b<"]), TEXT | VALUES, max_size=3)
    )
    sure = draw(st.dictionaries(NAMES, UNCERTAINTIES, max_size=3))
    pairing = Pairing(draw(st.booleans()), draw(st.booleans()), draw(ERRORS), draw(ERRORS), {}, draw(TEXT))
    warnings = tuple(draw(st.lists(TEXT, max_size=1)))
    measurement = Measurement(numbers, draw(CORRUPTED), provenance, warnings, sure, None)
    circumstances = Circumstances(
        QUICK.noise, QUICK.false_alarms, draw(st.integers(1, 300)), QUICK.min_effect, sure, pairing=pairing
    )
    verdict = draw(st.sampled_from([judge(numbers, accepted, rules, METRICS, circumstances), None]))
    return CellResult(
        cell,
        measurement,
        verdict,
        accepted=draw(st.booleans()),
        known=draw(TEXT) if verdict else "",
        pairing=pairing,
    )


@st.composite
def runs(draw):
    models = []
    for name in draw(st.lists(TEXT, max_size=2)):
        cells = draw(st.lists(cell_results(name), max_size=6, unique_by=lambda result: result.cell.id))
        texts = (draw(TEXT) for _ in range(3))
        orphans = tuple(draw(st.lists(TEXT, max_size=2)))
        models.append(ModelRun(name, draw(TEXT), sort_results(cells, QUICK), orphans, *texts))
        models[-1] = replace(models[-1], together=tuple(draw(st.lists(TOGETHER, max_size=2))))
    own = known([Metric("own", higher_is_better=True, title=draw(TEXT))] if draw(st.booleans()) else [])
    return Run(QUICK, own, tuple(models), draw(st.booleans()))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_every_run_can_be_reported(run):
    text = html.render(run)
    assert text == html.render(run)
    text.encode()
    page = Strict(text).root
    assert len(page.all("h2")) == len(run.models)
    for element in page.all("*"):
        for attribute in ("points", "x1", "x2", "y1", "y2", "cx", "cy", "x", "y"):
            numbers = re.split("[ ,]", element.attributes.get(attribute, "0"))
            assert all(math.isfinite(float(number)) for number in numbers)
    document = stdlib_json.loads(json.render(run), parse_constant=pytest.fail)
    assert [len(model["cells"]) for model in document["models"]] == [
        len(model.results) for model in run.models
    ]
    summary = markdown.render(run)
    summary.encode()
    assert summary.count("<details>") == summary.count("</details>")
