"""What files and users' code say is shown and not obeyed, wherever a run tells of it."""

import os
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest

ESCAPED = '"\\e[2J\\u202eshout\\a\\n::error file=x::all is well\\r@octocat <b>#12"'
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def assert_nothing_is_obeyed(text):
    assert not {character for character in text if unicodedata.category(character) in UNSEEN} - {"\n", "\t"}
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


@pytest.mark.parametrize("workers", [0, 2])
def test_notes_reasons_and_names_are_shown_and_not_obeyed(gated, monkeypatch, workers):
    gated.edit("  weight-0.3:\n", f"  weight-0.3:\n    note: {ESCAPED}\n    {ESCAPED}: 0.5\n")
    gated.edit("  weight-0.5:\n", f"  weight-0.5:\n    known: {ESCAPED}\n    tolerance: {{accuracy: 0}}\n")
    before, cell, after = gated.baseline.read_text().partition("  weight-0.5:\n")
    after = re.sub("^    accuracy: .*", "    accuracy: 2.0", after, count=1, flags=re.MULTILINE)
    gated.baseline.write_text(before + cell + after)
    summary = gated.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    outcome = gated.gate(
        f"-n{workers}", "-rxf", "--junitxml=junit.xml", "--prunecal-report=report.html", "-k weight"
    )
    assert outcome.ret == 1
    assert outcome.cells["weight-0.3"] == "failed"
    assert_nothing_is_obeyed(outcome.text)
    assert r"note: \x1b[2J\u202eshout\x07 ::error file=x::all is well @octocat <b>#12" in outcome.out
    assert r"known regression: \x1b[2J\u202eshout" in outcome.out
    assert_nothing_is_obeyed(summary.read_text())
    assert "`@octocat` `<b>#12`" in summary.read_text()
    assert_nothing_is_obeyed((gated.path / "report.html").read_text())
    assert "&lt;b&gt;#12" in (gated.path / "report.html").read_text()
    ET.parse(gated.path / "junit.xml")  # noqa: S314 - our own


@pytest.mark.parametrize("option", [(), ("--tb=native",), ("--fulltrace",), ("--tb=line",)])
def test_an_error_of_users_code_is_shown_and_not_obeyed(project, option):
    project.write({"tiny.py": 'raise ValueError("\\x1b[2J\\u202eshout\\n::error::all is well")\n'})
    outcome = project.gate("--prunecal-update", "-k dense", *option)
    assert outcome.ret in (1, 4)
    assert r"\x1b[2J\u202eshout" in outcome.text
    assert_nothing_is_obeyed(outcome.text)


def test_an_error_of_a_file_is_shown_and_not_obeyed(gated):
    gated.edit("cells:\n", '"::error::\\e[2J\\u202e\\n::warning::": 1\ncells:\n')
    outcome = gated.gate()
    assert outcome.ret == 4
    assert r"unknown key '::error::\x1b[2J\u202e\n::warning::'" in outcome.text
    assert_nothing_is_obeyed(outcome.text)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<<<<<<< HEAD\nprunecal: 1\n=======\nprunecal: 1\n>>>>>>> other\n", "holds both sides of a merge"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (b"#" * (2**22 + 1), "has 4194305 bytes, more than 4194304; "),
        (None, "is a named pipe, not a regular file"),
    ],
)
def test_files_that_are_none_are_named_before_anything_is_measured(gated, content, says):
    gated.baseline.unlink()
    if content is None:
        os.mkfifo(gated.baseline)
    else:
        gated.baseline.write_bytes(content)
    outcome = gated.gate()
    assert (outcome.ret, outcome.cells) == (4, {})
    assert f"prunecal: baselines/tiny/tinynet.yaml: {says}" in outcome.text


def test_an_lfs_pointer_beside_the_baseline_is_named(gated):
    (images,) = gated.baseline.parent.glob("*.zip")
    images.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    outcome = gated.gate()
    assert outcome.ret == 4
    assert f"{images.name}: is a Git LFS pointer, not the file that it stands for; fetch that" in outcome.text


HEAD = "return self.head(maps.mean((2, 3)))"


@pytest.mark.parametrize("kind", ["saturated", "one image"])
def test_errors_that_are_nothing_but_rounding_are_written(project, kind):
    if kind == "saturated":
        project.edit(HEAD, f"{HEAD} * (1 if self.training else 1e6)", "tiny.py")
    else:
        project.edit("test: 60", "test: 1", "tiny.yaml")
    outcome = project.gate("--prunecal-update", "-k dense or weight")
    assert outcome.ret == 0, outcome.text
    assert "too unusual" not in outcome.text
    again = project.gate("--prunecal-update", "-k dense or weight")
    assert (again.ret, "already says all of it" in again.out) == (0, True)
    assert "±0.00000" not in outcome.out
