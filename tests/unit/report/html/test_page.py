"""The report for people: what its page says, and that it says it to everybody."""

import re

import pytest

from pytest_prunecal.report import wording
from pytest_prunecal.report.html import page as html
from pytest_prunecal.report.run import CellResult
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)
HOSTILE = "<script>alert(1)</script>"


def test_page_tells_a_failure_from_top_to_bottom(build, page_of):
    worse = {**build.NUMBERS, "accuracy": 0.90}
    run = build.run(
        *build.curve(),
        build.result(Cell("vgg19", "weight", 0.5), worse, build.NUMBERS),
        environment="torch 2.6 -> 2.7",
    )
    page = page_of(run)
    assert page.one("h1").text.strip() == "✗ Failed: 1 of 11 cells fails"
    assert page.one("header")["class"] == "outcome is-failed"
    link = page.one("ul", class_="failing").one("a")
    assert link.text == "vgg19 weight-0.5"
    details = page.one("details", id=link["href"][1:])
    assert "open" in details.attributes
    table = details.one("table", class_="comparison")
    assert table.row("accuracy") == [
        "0.9500",
        "0.9000",
        "-0.0500",
        "0.0100",
        "",
        "0.01 (protocol quick)",
        "✗ regression",
    ]
    assert table.row("ECE")[2:] == ["=", "0.0200", "", "0.02 or 5% (vgg19.yaml:7)", "✓ ok"]
    assert "torch 2.6 -> 2.7" in page.one("dl").text
    assert QUICK.fingerprint in page.one("dl").text
    assert [pre.text for pre in page.all("pre")] == ["pytest --prunecal-update"]


def test_page_of_a_passing_run_keeps_quiet(build, page_of):
    page = page_of(build.run(*build.curve()))
    assert page.one("h1").text.strip() == "✓ Passed: 10 cells"
    assert not page.all("ul", class_="failing")
    assert not page.all("pre")
    assert len(page.all("details", class_="cell")) == 10
    assert not any("open" in details.attributes for details in page.all("details"))


def test_cells_table_shows_change_and_rule(build, page_of):
    better = build.result(
        Cell("vgg19", "weight", 0.5), {**build.NUMBERS, "ece": 0.004}, {**build.NUMBERS, "accuracy": 0.945}
    )
    table = page_of(build.run(better)).one("table", class_="cells")
    assert [head.text for head in table.all("th", scope="col")][:4] == [
        "cell",
        "verdict",
        "accuracy\u00a0↑",
        "ECE\u00a0↓",
    ]
    assert table.row("weight-0.5")[:4] == ["▲ improvement", "0.9500+0.0050", "0.0040▲ -0.0260", "0.8000"]
    (hint,) = {td["title"] for td in table.all("td") if td.text.startswith("0.0040")}
    assert hint == "improvement; baseline 0.0300, allowed 0.0200, tolerance 0.02 or 5% (vgg19.yaml:7)"


def test_cells_table_names_what_is_missing_on_either_side(build, page_of):
    one_sided = build.result(Cell("vgg19", "weight", 0.5), {"ece": 0.1, "mpc": 0.5}, {"ece": 0.1, "nll": 0.2})
    table = page_of(build.run(one_sided)).one("table", class_="cells")
    assert table.row("weight-0.5") == ["✗ missing", "0.1000", "-✗ not measured", "0.5000✗ no baseline"]


def test_error_is_shown_in_full_and_its_gist_in_the_list(build, page_of):
    longrepr = "model = <vgg>\n>   measure()\nE   RuntimeError: no memory\n\nmeasure.py:3: RuntimeError"
    page = page_of(build.run(*build.curve(), CellResult(Cell("vgg19", "weight", 0.5), error=longrepr)))
    assert page.one("ul", class_="failing").text.strip() == "vgg19 weight-0.5 ✗ error RuntimeError: no memory"
    assert [pre.text for pre in page.all("pre")] == [longrepr]
    assert page.one("table", class_="cells").row("weight-0.5") == ["✗ error", *"-----"]


def test_warnings_and_orphans_are_named(build, page_of):
    floored = build.result(
        Cell("vgg19", "channel", 0.7), build.NUMBERS, warnings=("conv12: one channel kept",)
    )
    text = page_of(build.run(floored, orphans=("weight-0.85",))).text
    assert "conv12: one channel kept (channel-0.7)" in text
    assert "configured can make: weight-0.85" in text


@pytest.mark.parametrize("name", [HOSTILE, "a|b", '"><b>', "&lt;", "x:y`z`", "\x1b[31mred\x00", "\udcff"])
def test_hostile_names_are_shown_and_not_obeyed(build, tree_of, name):
    run = build.run(
        build.result(
            Cell(name, "weight", 0.5), {**build.NUMBERS, name: 0.5}, build.NUMBERS, warnings=(name,)
        ),
        CellResult(Cell(name, name, 0.5), error=name),
        model=name,
        file=name,
        orphans=(name,),
        environment=name,
        accept=name,
    )
    text = html.render(run)
    page = tree_of(text)
    text.encode()
    assert not page.all("script")
    assert page.one("h2").text == wording.clean(name)
    assert "\x1b" not in text
    assert "\x00" not in text


def test_page_needs_nothing_from_elsewhere(build, page_of):
    page = page_of(build.run(*build.curve(), CellResult(Cell("vgg19", "weight", 0.5), error="x")))
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


def test_tables_and_figures_can_be_read_aloud(build, page_of):
    page = page_of(
        build.run(
            *build.curve(), build.result(Cell("vgg19", "weight", 0.5), build.NUMBERS, corrupted=build.SETS)
        )
    )
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


def test_corrupted_sets_are_a_heat_map_in_the_protocols_order(build, page_of):
    page = page_of(build.run(build.result(Cell("vgg19", None, 0.0), build.NUMBERS, corrupted=build.SETS)))
    table = page.one("table", class_="heat")
    assert [head.text for head in table.all("th", scope="row")] == ["gaussian_noise", "fog"]
    assert [head.text for head in table.all("th", scope="col")][1:] == ["1", "3", "mean"] * 2
    assert table.row("fog") == ["0.900", "0.500", "0.700", "0.020", "0.300", "0.160"]
    shades = [td.attributes.get("class") for td in table.one("tbody").all("tr")[1].all("td")]
    assert shades == ["h1", "h4", "h3", None, "h5", "h3"]
    text = page.one("details", class_="cell").text
    assert "Worst corruption: gaussian_noise, mean accuracy 0.650, ECE 0.350" in " ".join(text.split())


def test_corruption_source_is_said(build, page_of):
    result = build.result(
        Cell("vgg19", None, 0.0), build.NUMBERS, corrupted=build.SETS, provenance={"corruptions": "generated"}
    )
    page = page_of(build.run(result))
    assert "Corruptions: generated." in page.one("details", class_="cell").text
    assert "generated" in page.one("dl").text


def test_numbers_carry_their_errors_on_the_page(build, page_of):
    page = page_of(build.run(build.noisy("weight-0.5", {"accuracy": 0.949})))
    cells = page.one("table", class_="cells").row("weight-0.5")
    assert cells[1:4] == ["0.9490-0.0010 ±0.006", "0.0300 ±0.004 sd 0.003, 3 seeds", "0.8000"]
    compared = page.one("table", class_="comparison")
    heads = [head.text for head in compared.all("th", scope="col")]
    assert heads[3:7] == ["change", "allowed", "caught from", "tolerance"]
    assert compared.row("accuracy")[:4] == ["0.9500 ±0.0061", "0.9490 ±0.006", "-0.0010", "0.0199"]
    assert compared.row("ECE")[:2] == ["0.0300 ±0.0041", "0.0300 ±0.004 sd 0.003, 3 seeds"]
    assert compared.row("parameters")[3:5] == ["100175", "100175"]
    assert "sampling error on the test images, then deviation over 3 seeds" in page.text


def test_the_page_says_which_comparison_was_made_and_what_it_sees(build, page_of):
    pairing = Pairing(same_base=True, unpaired="no results by image at hand")
    page = page_of(build.run(build.noisy("weight-0.5"), build.noisy("weight-0.7", pairing=pairing)))
    first, second = (cell.text for cell in page.all("details", class_="cell"))
    assert "compared against the one accepted seed: accuracy, ece" in first
    assert "compared exactly, as noise has no part in it: mpc, corrupted_ece, parameters" in first
    assert "noise hides smaller regressions that matter of accuracy (0.0050 matters; about" in first
    assert "less sharp" not in first
    assert "less sharp than it could be: no results by image at hand" in second
    table = page.one("table", class_="sight")
    assert [head.text for head in table.all("th", scope="col")][:3] == ["cell", "accuracy", "ECE"]
    assert table.row("weight-0.5")[0].endswith("*")
    assert table.row("weight-0.5")[2:] == ["0.0050"] * 2 + ["100175"]
    hints = [td.attributes.get("title") for td in table.all("td")]
    assert [bool(hint) for hint in hints] == [td.text.endswith("*") for td in table.all("td")]
    assert "comparisons cannot see all that matters" in page.text
    assert "fails at most 1 % of runs over a model's whole grid" in page.one("dl").text
    assert not page_of(build.run()).all("table", class_="sight")
