"""A baseline file, ways to refresh it, and all that must hold of a refreshed text."""

import re
from collections import Counter

import pytest
import yaml

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.refresh import Change, apply
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import METRICS, recorded
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)
HERE = {"torch": "2.11.0", "device": "cpu", "threads": "1", "corruptions": "generated"}


@pytest.fixture(scope="session")
def plain():
    """A baseline file with comments of people wherever they may stand."""
    return f"""\
# Accepted numbers of vgg19 under quick.
prunecal: 1
model: vgg19
protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}
environment: {{torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}}   # the CI machine
tolerance:
  mpc: {{abs: 0.02}}  # wide
cells:
  # the reference
  dense:
    accuracy: 0.9688
    ece: 0.0096   # good
  channel-0.7:
    note: loses most of conv12   # kept by every refresh
    tolerance: {{ece: {{rel: 0.5}}}}
    accuracy: 0.9512
    ece: 0.0203
# the end
"""


@pytest.fixture(scope="session")
def refreshed():
    """Refresh a text with new numbers."""

    def refresh(text, cells, removed=(), environment=HERE, metrics=METRICS):
        return apply(
            text, Change("vgg19", dict(environment), cells, tuple(removed)), QUICK, metrics, "f.yaml"
        )

    return refresh


@pytest.fixture(scope="session")
def replaced():
    """Replace what stands once in a text."""

    def replace(text, *pairs):
        for old, new in pairs:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text

    return replace


@pytest.fixture(scope="session")
def refuses(refreshed):
    """Check that a refresh is refused, in one sentence that names the file."""

    def check(says, *args, **kwargs):
        with pytest.raises(PrunecalError, match=says) as error:
            refreshed(*args, **kwargs)
        assert str(error.value).startswith("f.yaml: ")
        assert len(str(error.value).splitlines()) == 1

    return check


@pytest.fixture(scope="session")
def comments():
    """Every comment of a text: what stands behind a # outside of its tokens."""

    def count(text):
        text = text.removeprefix("\ufeff")
        found, place = Counter(), 0
        spans = [
            (token.start_mark.index, token.end_mark.index)
            for token in yaml.scan(text, Loader=yaml.CSafeLoader)
        ]
        for start, end in [*spans, (len(text), len(text))]:
            for line in re.split("\r\n|[\n\r\x85\u2028\u2029]", text[place:start]):
                if "#" in line:
                    found[line[line.index("#") :].rstrip()] += 1
            source = text[start:end]
            # A block text's token holds its first line too.
            header = re.match(r"[|>][-+\d]*[ \t]*(#.*)", source)
            if header:
                found[header[1].rstrip()] += 1
            place = max(place, end)
        return found

    return count


def meant(before, change):
    """Numbers and environments by cell that a change should lead to, found without the code under test."""
    expected = {
        key: (cell.metrics, cell.environment or before.environment)
        for key, cell in before.cells.items()
        if key not in change.removed
    }
    for key, numbers in change.cells.items():
        rounded = {name: value if type(value) is int else round(value, 4) for name, value in numbers.items()}
        expected[key] = (rounded, change.environment)
    return expected


def by_people(file, left_out=()):
    def bounds(rules):
        return {name: (rule.abs, rule.rel) for name, rule in rules.items()}

    return bounds(file.tolerance), {
        key: (cell.note.rstrip("\r\n"), bounds(cell.tolerance))
        for key, cell in file.cells.items()
        if key not in left_out and (cell.note or cell.tolerance)
    }


@pytest.fixture(scope="session")
def hold(comments):
    """Refresh and check all that holds of any text; None if it was refused."""

    def check(text, change):
        try:
            before = baseline.parse(text, "f.yaml")
            new = apply(text, change, QUICK, METRICS, "f.yaml")
        except PrunecalError as error:
            refused = str(error)
        else:
            refused = ""
        assert len(refused.splitlines()) <= 1
        if refused:
            return None
        after = baseline.parse(new, "f.yaml")
        assert {
            key: (cell.metrics, cell.environment or after.environment) for key, cell in after.cells.items()
        } == meant(before, change)
        assert by_people(after) == by_people(before, change.removed)
        assert (after.model, after.protocol, after.fingerprint) == (
            before.model,
            before.protocol,
            QUICK.fingerprint,
        )
        loaded = yaml.load(new, Loader=yaml.CBaseLoader)["cells"]  # noqa: S506 - it makes nothing but texts
        for key, numbers in change.cells.items():
            for name, value in numbers.items():
                assert float(loaded[key][name]) == float(recorded(value))
        assert apply(new, change, QUICK, METRICS, "f.yaml") is new
        dropped = change.removed or any(
            set(before.cells[key].metrics) - set(numbers) or before.cells[key].environment
            for key, numbers in change.cells.items()
            if key in before.cells
        )
        if not dropped:
            assert comments(new) == comments(text)
        return new

    return check
