"""Refreshing what numbers carry with them: uncertainties, results by image, known regressions."""

import statistics
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.file import ImagesFile
from pytest_prunecal.baseline.refresh import Change, apply
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import METRICS, recorded
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

QUICK = load("quick", BUILT_IN)
HERE = {"torch": "2.11.0", "device": "cpu", "threads": "1", "corruptions": "generated"}
IMAGES = ImagesFile("vgg19-images-00000001.zip", "00000001" * 8)
TEXT = f"""\
# Accepted numbers of vgg19 under quick.
prunecal: 1
model: vgg19
protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}
environment: {{torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}}
images: {{file: {IMAGES.file}, sha256: {IMAGES.sha256}}}   # by --prunecal-update
tolerance: auto   # agreed in spring
cells:
  dense:
    accuracy: {{mean: 0.9688, se: 0.0043}}   # good
    ece: {{mean: 0.0096, se: 0.0021, sd: 0.0012, seeds: 3}}
    parameters: 315010
  channel-0.7:
    known:   # see the tracker
      reason: conv12 loses everything   # for now
      until: 2027-01-31
    note: loses most of conv12
    tolerance: {{accuracy: auto, ece: 0.02}}
    accuracy: 0.9512
    ece:
      mean: 0.0203   # in two lines
      se: 0.0030
# the end
"""
DENSE = {"accuracy": 0.9688, "ece": 0.0096, "parameters": 315010}
DENSE_SURE = {"accuracy": Uncertainty(0.0043), "ece": Uncertainty(0.0021, 0.0012, 3)}
CHANNEL = {"accuracy": 0.9512, "ece": 0.0203}
CHANNEL_SURE = {"ece": Uncertainty(0.003)}


def refreshed(text, cells, sure, removed=(), images=None):
    change = Change("vgg19", HERE, cells, tuple(removed), None, sure, images)
    return apply(text, change, QUICK, METRICS, "f.yaml")


def test_equal_numbers_and_errors_return_the_very_text():
    sure = {"accuracy": Uncertainty(0.00432), "ece": Uncertainty(0.00208, 0.00119, 3)}
    cells = {"dense": DENSE | {"accuracy": 0.96881}, "channel-0.7": CHANNEL}
    assert refreshed(TEXT, cells, {"dense": sure, "channel-0.7": CHANNEL_SURE}, images=IMAGES) is TEXT


def test_a_number_is_written_with_how_sure_it_is_and_its_comment_stays(replaced):
    assert refreshed(TEXT, {"dense": DENSE | {"accuracy": 0.9}}, {"dense": DENSE_SURE}) == (
        replaced(TEXT, ("{mean: 0.9688, se: 0.0043}", "{mean: 0.9000, se: 0.0043}"))
    )
    louder = DENSE_SURE | {"accuracy": Uncertainty(0.0051)}
    assert refreshed(TEXT, {"dense": DENSE}, {"dense": louder}) == (
        replaced(TEXT, ("{mean: 0.9688, se: 0.0043}", "{mean: 0.9688, se: 0.0051}"))
    )


def test_one_seed_after_three_and_three_after_one(replaced):
    sure = {"accuracy": Uncertainty(0.0043, 0.005, 3), "ece": Uncertainty(0.0021)}
    assert refreshed(TEXT, {"dense": DENSE}, {"dense": sure}) == replaced(
        TEXT,
        ("{mean: 0.9688, se: 0.0043}", "{mean: 0.9688, se: 0.0043, sd: 0.005, seeds: 3}"),
        ("se: 0.0021, sd: 0.0012, seeds: 3}", "se: 0.0021}"),
    )


def test_the_first_seeds_number_comes_goes_and_alone_changes(replaced):
    three = {"accuracy": Uncertainty(0.0043, 0.005, 3, 0.97123), "ece": DENSE_SURE["ece"]}
    first = refreshed(TEXT, {"dense": DENSE}, {"dense": three})
    was = "{mean: 0.9688, se: 0.0043}"
    assert first == replaced(TEXT, (was, "{mean: 0.9688, se: 0.0043, sd: 0.005, seeds: 3, first: 0.9712}"))
    assert baseline.parse(first, "f.yaml").cells["dense"].uncertainty["accuracy"].first == 0.9712
    assert refreshed(first, {"dense": DENSE}, {"dense": three}) is first
    other = three | {"accuracy": Uncertainty(0.0043, 0.005, 3, 0.97131)}
    assert refreshed(first, {"dense": DENSE}, {"dense": other}) == replaced(first, ("0.9712", "0.9713"))
    assert refreshed(first, {"dense": DENSE}, {"dense": DENSE_SURE}) == TEXT
    without = three | {"accuracy": Uncertainty(0.0043, 0.005, 3)}
    assert refreshed(first, {"dense": DENSE}, {"dense": without}) == replaced(first, (", first: 0.9712", ""))


def test_one_seed_has_no_first():
    sure = DENSE_SURE | {"accuracy": Uncertainty(0.0043, None, 1, 0.97)}
    assert refreshed(TEXT, {"dense": DENSE}, {"dense": sure}) is TEXT


def test_the_first_of_whole_numbers_is_written_whole(replaced):
    sure = DENSE_SURE | {"parameters": Uncertainty(None, 1200.0, 2, 314161)}
    assert refreshed(TEXT, {"dense": DENSE}, {"dense": sure}) == replaced(
        TEXT, ("parameters: 315010", "parameters: {mean: 315010, sd: 1200, seeds: 2, first: 314161}")
    )


def test_bare_numbers_gain_an_error_and_lose_it(replaced):
    sure = {"parameters": Uncertainty(None, 1200.0, 2), "ece": DENSE_SURE["ece"]}
    assert refreshed(TEXT, {"dense": DENSE}, {"dense": sure}) == replaced(
        TEXT,
        ("{mean: 0.9688, se: 0.0043}", "0.9688"),
        ("parameters: 315010", "parameters: {mean: 315010, sd: 1200, seeds: 2}"),
    )


def test_known_regressions_notes_and_tolerances_stay(replaced):
    sure = {"accuracy": Uncertainty(0.01), "ece": Uncertainty(0.003)}
    new = refreshed(TEXT, {"channel-0.7": CHANNEL | {"accuracy": 0.9}}, {"channel-0.7": sure})
    assert new == replaced(TEXT, ("accuracy: 0.9512", "accuracy: {mean: 0.9000, se: 0.01}"))
    (cell,) = (baseline.parse(new, "f.yaml").cells[key] for key in ("channel-0.7",))
    assert (cell.known.reason, str(cell.known.until), cell.known.where) == (
        "conv12 loses everything",
        "2027-01-31",
        "f.yaml:15",
    )


@pytest.mark.parametrize("known", ["known: for now   # why", "known: {reason: a, until: 2030-01-01}"])
def test_known_regressions_in_one_line_stay(replaced, known):
    text = replaced(TEXT, ("  dense:\n", f"  dense:\n    {known}\n"))
    new = refreshed(text, {"dense": DENSE | {"accuracy": 0.5}}, {"dense": DENSE_SURE})
    assert new == replaced(text, ("{mean: 0.9688,", "{mean: 0.5000,"))


def test_a_cell_in_one_line_keeps_what_people_wrote(replaced):
    text = replaced(
        TEXT, ("# the end\n", "  weight-0.3: {known: slow, note: n, ece: {mean: 0.5, se: 0.1}}\n# the end\n")
    )
    new = refreshed(text, {"weight-0.3": {"ece": 0.25}}, {"weight-0.3": {"ece": Uncertainty(0.1)}})
    cell = baseline.parse(new, "f.yaml").cells["weight-0.3"]
    assert (cell.known.reason, cell.note, cell.metrics) == ("slow", "n", {"ece": 0.25})
    assert cell.uncertainty == {"ece": Uncertainty(0.1)}


def test_a_number_with_a_comment_inside_is_refused_and_nothing_is_lost():
    with pytest.raises(PrunecalError, match=r"^f.yaml: cannot be refreshed in place") as error:
        refreshed(TEXT, {"channel-0.7": CHANNEL | {"ece": 0.5}}, {"channel-0.7": CHANNEL_SURE})
    assert len(str(error.value).splitlines()) == 1


def test_a_number_over_two_lines_becomes_one(replaced):
    text = replaced(TEXT, ("   # in two lines", ""))
    new = refreshed(text, {"channel-0.7": CHANNEL | {"ece": 0.5}}, {"channel-0.7": CHANNEL_SURE})
    assert baseline.parse(new, "f.yaml").cells["channel-0.7"].metrics["ece"] == 0.5
    assert "note: loses most of conv12\n" in new
    assert new.endswith("# the end\n")


def test_the_images_file_is_named_anew_and_its_comment_stays(replaced):
    other = ImagesFile("vgg19-images-00000002.zip", "00000002" * 8)
    new = refreshed(TEXT, {"dense": DENSE}, {"dense": DENSE_SURE}, images=other)
    assert new == replaced(TEXT, (IMAGES.file, other.file), (IMAGES.sha256, other.sha256))
    # A change without any leaves what the file says.
    assert refreshed(TEXT, {"dense": DENSE}, {"dense": DENSE_SURE}) is TEXT


@pytest.mark.parametrize("after", ["environment", "base", "protocol"])
def test_the_images_file_comes_after_what_the_file_is_about(after):
    line = next(line for line in TEXT.splitlines(keepends=True) if line.startswith("images"))
    text = TEXT.replace(line, "")
    if after == "base":
        pinned = "base:\n  plain: # c\n    file: a.safetensors\n    sha256: 'aa'\n    recipe: bb\n"
        text = text.replace("tolerance: auto", f"{pinned}tolerance: auto")
    if after == "protocol":
        text = "".join(part for part in text.splitlines(keepends=True) if not part.startswith("environment"))
        whole = {"dense": DENSE, "channel-0.7": CHANNEL}
        sure = {"dense": DENSE_SURE, "channel-0.7": CHANNEL_SURE}
        new = refreshed(text, whole, sure, images=IMAGES)
    else:
        new = refreshed(text, {"dense": DENSE}, {"dense": DENSE_SURE}, images=IMAGES)
    said = f"images: {{file: {IMAGES.file}, sha256: {IMAGES.sha256}}}\n"
    assert said in new
    if after != "protocol":
        assert new.replace(said, "") == text
    assert new.index(said) > new.index(after)
    assert new.index(said) < new.index("tolerance: auto")
    assert baseline.parse(new, "f.yaml").images == IMAGES


metrics = st.sampled_from([*METRICS, "mine"])
errors = st.none() | st.floats(1e-6, 10)
sures = st.builds(Uncertainty, errors) | st.builds(
    Uncertainty, errors, st.floats(1e-6, 10), st.integers(2, 9)
)


@st.composite
def numbers_of_seeds(draw):
    """A mean and how sure it is; the first of several seeds can be one of those that the mean is of."""
    mean, sure = draw(st.floats(-10, 10) | st.integers(0, 10**8)), draw(sures)
    if sure.sd and draw(st.booleans()):
        reach = sure.sd * (sure.seeds - 1) / sure.seeds**0.5
        sure = replace(sure, first=mean + draw(st.floats(-reach, reach)))
    return mean, sure


numbers = st.dictionaries(metrics, numbers_of_seeds(), min_size=1, max_size=5)
grids = st.dictionaries(
    st.sampled_from(["dense", "weight-0.3", "channel-0.7"]), numbers, min_size=1, max_size=3
)


@hypothesis.settings(max_examples=60)
@hypothesis.given(grids, grids, st.booleans())
def test_what_was_refreshed_reads_back_and_again_changes_nothing(first, second, named):
    images = IMAGES if named else None
    text = None
    for cells in (first, second):
        means = {key: {name: mean for name, (mean, _) in cell.items()} for key, cell in cells.items()}
        sure = {key: {name: one for name, (_, one) in cell.items()} for key, cell in cells.items()}
        text = refreshed(text, means, sure, images=images)
        assert refreshed(text, means, sure, images=images) is text
        found = baseline.parse(text, "f.yaml")
        assert found.images == images
        for key, cell in cells.items():
            assert found.cells[key].metrics == {name: recorded(mean) for name, (mean, _) in cell.items()}
            assert found.cells[key].uncertainty == {
                name: one.recorded for name, (_, one) in cell.items() if one != UNKNOWN
            }


FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1e-300, 5e-324, 1e300, -1e16, 0.5, 1 - 1e-16, 10**300, -7]
)
ERROR = st.none() | st.floats(min_value=0) | st.sampled_from([0.0, 1e-17, 1e-12, 1e300, float("nan")])


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    st.dictionaries(
        st.sampled_from(["accuracy", "ece", "own", "macs"]),
        st.tuples(FINITE, st.builds(Uncertainty, ERROR, ERROR, st.integers(1, 9))),
        min_size=1,
    ),
    st.sampled_from([None, TEXT]),
)
def test_numbers_and_errors_of_any_size_are_written_once(cell, text):
    change = Change(
        "vgg19",
        HERE,
        {"dense": {name: mean for name, (mean, _) in cell.items()}},
        uncertainty={"dense": {name: sure for name, (_, sure) in cell.items()}},
    )
    new = apply(text, change, QUICK, METRICS, "f.yaml")
    found = baseline.parse(new, "f.yaml").cells["dense"]
    assert found.metrics == {name: recorded(mean) for name, (mean, _) in cell.items()}
    assert {name: found.uncertainty.get(name, UNKNOWN) for name in cell} == {
        name: sure.recorded for name, (_, sure) in cell.items()
    }
    assert apply(new, change, QUICK, METRICS, "f.yaml") is new


SEEDS = st.lists(st.floats(-1e100, 1e100) | st.floats(0, 1), min_size=2, max_size=16) | st.tuples(
    st.floats(-1e100, 1e100) | st.integers(-(10**30), 10**30), st.integers(2, 16)
).map(lambda pair: [pair[0]] * pair[1])


@hypothesis.settings(max_examples=150)
@hypothesis.given(SEEDS | st.lists(st.integers(0, 10**20), min_size=2, max_size=16))
def test_the_first_of_any_seeds_reads_back_beside_their_mean(values):
    mean = statistics.fmean(values)
    mean = round(mean) if all(isinstance(value, int) for value in values) else mean
    sure = Uncertainty(0.1, statistics.stdev(values), len(values), values[0])
    new = refreshed(None, {"dense": {"mine": mean}}, {"dense": {"mine": sure}})
    assert baseline.parse(new, "f.yaml").cells["dense"].uncertainty == {"mine": sure.recorded}
