"""Runs to report, and ways to read the reports of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.judging import Circumstances, judge
from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report import json_report
from pytest_prunecal.report.html import page
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell, cell_from_id
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = protocol_file.load("quick", Path())
RULES = {
    "accuracy": Tolerance(abs=0.01, source="protocol quick"),
    "ece": Tolerance(0.02, 0.05, "vgg19.yaml:7"),
}
# The very same network on both sides: without noise, auto is exact.
GIVEN = Circumstances(Sides(QUICK.noise, tuned=False, same_base=True), level=0.01)
NUMBERS = {"accuracy": 0.95, "ece": 0.03, "mpc": 0.8, "corrupted_ece": 0.1, "parameters": 20035018}
SETS = {
    "fog": {"1": {"accuracy": 0.9, "ece": 0.02}, "3": {"accuracy": 0.5, "ece": 0.3}},
    "gaussian_noise": {"3": {"accuracy": 0.6, "ece": 0.1}, "1": {"accuracy": 0.7, "ece": 0.6}},
}
WORSE = Pooled("", "accuracy", Status.REGRESSION, -0.0123, 0.005, 0.0071, 21, 1e-6)
LIGHTER = Pooled("filter", "parameters", Status.OK, -12.4, 100175.2, 100175.2, 21, 1.0)
SAME = object()


def result(cell, numbers, accepted=SAME, **more):
    """A measured cell; by default its baseline says the same."""
    accepted = numbers if accepted is SAME else accepted
    metrics = more.pop("metrics", METRICS)
    label = more.pop("label", False)
    verdict = judge(numbers, accepted, RULES, metrics, GIVEN)
    return CellResult(cell, Measurement(numbers, **more), verdict, accepted=label)


def noisy(name, numbers=None, **more):
    """A cell under `auto`, from the same base network; its numbers differ from NUMBERS as given.

    Its first look is its last, unless `more` says otherwise by `most`, `each`, `accepted_each`,
    `differences`, `accepted_seeds` or `same_base`.
    """
    measured = {**NUMBERS, **(numbers or {})}
    sure = more.pop("sure", {"accuracy": Uncertainty(0.006), "ece": Uncertainty(0.004, 0.003, 3)})
    pairing = more.pop("pairing", Pairing(same_base=True, changes={"accuracy": 0.002}))
    seeds = more.pop("accepted_seeds", 1)
    sd = 0.002 if seeds > 1 else None
    each = more.pop("each", {})
    accepted_each = more.pop("accepted_each", {})
    differences = more.pop("differences", None)
    circumstances = Circumstances(
        Sides(
            QUICK.noise,
            accepted={
                "accuracy": Uncertainty(0.0061, sd, seeds),
                "ece": Uncertainty(0.0041, sd, seeds),
            },
            dense=NUMBERS,
            same_base=more.pop("same_base", True),
            each={key: (value,) for key, value in measured.items()} | each,
            accepted_each=accepted_each,
            pairing=pairing,
            traced=differences == () and bool(accepted_each),
        ),
        level=0.01,
        most=more.pop("most", 1),
        min_effect=QUICK.min_effect,
        measured=sure,
        differences=differences,
    )
    measurement = Measurement(measured, uncertainty=sure)
    verdict = judge(measured, NUMBERS, {}, METRICS, circumstances)
    return CellResult(cell_from_id("vgg19", name), measurement, verdict, pairing=pairing, **more)


def curve(model="vgg19", ratios=(0.1, 0.3, 0.7), pruners=("weight", "filter", "channel")):
    """A dense cell, and cells whose accuracy falls with the ratio and differs between pruners."""
    cells = [result(Cell(model, None, 0.0), NUMBERS)]
    for index, pruner in enumerate(pruners):
        for ratio in ratios:
            numbers = {**NUMBERS, "accuracy": 0.94 - 0.1 * ratio - 0.02 * index, "ece": 0.03 + 0.02 * ratio}
            cells.append(result(Cell(model, pruner, ratio), numbers))
    return cells


def run(*results, metrics=METRICS, interrupted=False, seeds=1, **more):
    """A run of one model."""
    model = more.pop("model", "vgg19")
    fields = {"file": "baselines/quick/vgg19.yaml", "accept": "pytest --prunecal-update", **more}
    sorted_results = sort_results(list(results), QUICK)
    return Run(QUICK, metrics, (ModelRun(model, results=sorted_results, **fields),), interrupted, seeds=seeds)


@pytest.fixture(scope="session")
def build():
    """What makes cells and runs."""
    return SimpleNamespace(
        result=result,
        noisy=noisy,
        curve=curve,
        run=run,
        RULES=RULES,
        GIVEN=GIVEN,
        NUMBERS=NUMBERS,
        SETS=SETS,
        WORSE=WORSE,
        LIGHTER=LIGHTER,
    )


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

    def row(self, head):
        """The cells of the row that a header names, with or without the arrow."""
        (row,) = [
            row
            for row in self.all("tr")
            for name in row.all("th", scope="row")
            if name.text.split("\u00a0")[0] == head
        ]
        return [cell.text for cell in row.all("td")]

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


@pytest.fixture(scope="session")
def tree_of():
    """Reads a page."""
    return lambda text: Strict(text).root


@pytest.fixture(scope="session")
def page_of(tree_of):
    """The page of a run, as a tree."""
    return lambda run: tree_of(page.render(run))


@pytest.fixture(scope="session")
def cell_of():
    """A cell as JSON has it."""

    def find(run, name="weight-0.5"):
        (model,) = json.loads(json_report.render(run))["models"]
        (cell,) = [cell for cell in model["cells"] if cell["id"] == name]
        return cell

    return find


@pytest.fixture(scope="session")
def columns_of():
    """Cells of a Markdown table's line."""
    return lambda line: [part.strip() for part in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


@pytest.fixture(scope="session")
def tables_of():
    """The lines of each table of a Markdown text, outside code."""

    def find(text):
        outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        blocks = (
            [line for line in block.split("\n") if line.startswith("|")] for block in outside.split("\n\n")
        )
        return [block for block in blocks if block]

    return find
