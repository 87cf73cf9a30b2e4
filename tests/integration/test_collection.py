"""What is collected: which cells, in which order, under which ids, beside which other tests."""

from __future__ import annotations

import os

import pytest

from pytest_prunecal.gate.stash import SETTINGS
from pytest_prunecal.study.protocol_file import load

QUICK = "prunecal: 1\nmodel: tinynet\nprotocol: {{name: quick, fingerprint: {fingerprint}}}\ncells: {{}}\n"
OWN_TEST = "def test_own():\n    pass\n"
INI_WITH_MODELS = "[pytest]\nprunecal_protocol = tiny.yaml\nprunecal_models = tinynet\npythonpath = .\n"


def ids(project, *cells):
    return [f"{project.FILE}::prune[{cell}]" for cell in cells or project.CELLS]


def test_collect_only_lists_the_grid_in_order_and_measures_nothing(gated):
    outcome = gated.gate("--collect-only", "-q")
    assert outcome.ret == 0
    assert outcome.watcher.collected == ids(gated)
    assert [line for line in outcome.out.splitlines() if "::" in line] == ids(gated)
    assert not outcome.cells
    assert "= prunecal =" not in outcome.out


def test_collecting_twice_gives_the_same(gated):
    first, second = (gated.gate("--collect-only").watcher.collected for _ in range(2))
    assert first == second == ids(gated)


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        (["--prunecal-ratios=0"], ["dense"]),
        (["--prunecal-ratios=0.0,0.50", "--prunecal-pruners=weight"], ["dense", "weight-0.5"]),
        (["--prunecal-ratios=0.5,0.3", "--prunecal-pruners=filter"], ["filter-0.3", "filter-0.5"]),
        # Neither the protocol nor the baseline has this one.
        (["--prunecal-ratios=.25", "--prunecal-pruners=weight,channel"], ["weight-0.25", "channel-0.25"]),
        (["--prunecal-pruners=channel"], ["dense", "channel-0.3", "channel-0.5"]),
        # The order in which options name things changes nothing.
        (
            ["--prunecal-pruners=filter,weight", "--prunecal-ratios=0.5, 0"],
            ["dense", "weight-0.5", "filter-0.5"],
        ),
    ],
    ids=" ".join,
)
def test_options_narrow_the_grid(gated, options, cells):
    outcome = gated.gate("--collect-only", *options)
    assert (outcome.ret, outcome.watcher.collected) == (0, ids(gated, *cells))


def test_narrowing_alone_gates_every_model_of_the_folder(gated):
    other = (gated.baseline.read_text()).replace("model: tinynet", "model: tiny:tiny")
    gated.write({"baselines/tiny/tiny.tiny.yaml": other, "test_own.py": OWN_TEST})
    outcome = gated.run("--collect-only", "--prunecal-ratios=0")
    assert outcome.watcher.collected == [
        "baselines/tiny/tiny.tiny.yaml::prune[dense]",
        "baselines/tiny/tinynet.yaml::prune[dense]",
    ]


def test_models_are_collected_in_the_order_given(gated):
    gated.write({"baselines/tiny/.keep": ""})
    outcome = gated.run("--collect-only", "--prunecal-models=tinynet,tiny:tiny", "--prunecal-ratios=0")
    assert outcome.watcher.collected == [
        "baselines/tiny/tinynet.yaml::prune[dense]",
        "baselines/tiny/tiny.tiny.yaml::prune[dense]",
    ]


def test_a_selection_of_nothing_stays_exit_5(gated):
    outcome = gated.gate("-k", "nothing")
    assert outcome.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "7 deselected" in outcome.out


def test_a_pruner_beyond_the_protocols_is_found_where_it_is_asked_for(gated):
    gated.edit("pruners: [weight, filter, channel]", "pruners: [weight]", "tiny.yaml")
    plain = gated.gate("--collect-only")
    assert plain.watcher.collected == ids(gated, "dense", "weight-0.3", "weight-0.5")
    more = gated.gate("--collect-only", "--prunecal-pruners=filter", "--prunecal-ratios=0.5")
    assert more.watcher.collected == ids(gated, "filter-0.5")


# --- beside other tests


@pytest.fixture
def with_tests(gated):
    gated.write({"tests/test_own.py": OWN_TEST})
    return gated


def test_without_a_word_about_the_gate_it_is_not_collected(with_tests):
    assert with_tests.run("--collect-only").watcher.collected == ["tests/test_own.py::test_own"]
    assert with_tests.run("--collect-only", ".").watcher.collected == ["tests/test_own.py::test_own"]


@pytest.mark.parametrize(
    "option", ["--prunecal-models=tinynet", "--prunecal-ratios=0,0.3,0.5", "--prunecal-update=failing"]
)
def test_a_grid_option_and_no_path_collects_only_the_gate(with_tests, option):
    assert with_tests.run("--collect-only", option).watcher.collected == ids(with_tests)


def test_only_the_gate_with_testpaths_too(with_tests):
    with_tests.edit("pythonpath = .", "pythonpath = .\ntestpaths = tests", "pytest.ini")
    assert with_tests.gate("--collect-only").watcher.collected == ids(with_tests)


@pytest.mark.parametrize("path", ["tests", "tests/test_own.py", "tests/test_own.py::test_own"])
def test_a_path_and_a_grid_option_collect_both(with_tests, path):
    outcome = with_tests.gate("--collect-only", path)
    assert outcome.watcher.collected == ["tests/test_own.py::test_own", *ids(with_tests)]


def test_the_root_as_path_collects_each_cell_once(with_tests):
    outcome = with_tests.gate("--collect-only", ".")
    assert sorted(outcome.watcher.collected) == sorted([*ids(with_tests), "tests/test_own.py::test_own"])


def test_a_baseline_and_a_test_named_together(with_tests):
    outcome = with_tests.run("--collect-only", "tests", f"{with_tests.FILE}::prune[dense]")
    assert outcome.watcher.collected == ["tests/test_own.py::test_own", *ids(with_tests, "dense")]


def test_models_of_the_ini_file_join_the_repositorys_tests(with_tests):
    with_tests.write({"pytest.ini": INI_WITH_MODELS})
    outcome = with_tests.run("--collect-only")
    assert sorted(outcome.watcher.collected) == sorted([*ids(with_tests), "tests/test_own.py::test_own"])


def test_a_folder_that_pytest_does_not_look_into_is_no_green_run(with_tests):
    (with_tests.path / "baselines").rename(with_tests.path / "build")
    outcome = with_tests.gate("--collect-only", "--prunecal-baselines=build", ".")
    assert (outcome.ret, outcome.watcher.collected) == (4, [])
    assert outcome.err.strip().endswith(
        "as its norecursedirs names 'build'; move them, or run the gate by itself"
    )
    alone = with_tests.gate("--collect-only", "--prunecal-baselines=build", "--prunecal-ratios=0")
    assert alone.watcher.collected == ["build/tiny/tinynet.yaml::prune[dense]"]


def test_models_of_the_ini_file_join_testpaths(with_tests):
    with_tests.write({"pytest.ini": INI_WITH_MODELS + "testpaths = tests\n"})
    outcome = with_tests.run("--collect-only")
    assert outcome.watcher.collected == ["tests/test_own.py::test_own", *ids(with_tests)]


def test_models_of_the_ini_file_do_not_join_a_named_path(with_tests):
    with_tests.write({"pytest.ini": INI_WITH_MODELS})
    outcome = with_tests.run("--collect-only", "tests/test_own.py")
    assert outcome.watcher.collected == ["tests/test_own.py::test_own"]


def test_ini_twins_in_pyproject(gated):
    (gated.path / "pytest.ini").unlink()
    toml = '[tool.pytest.ini_options]\nprunecal_protocol = "tiny.yaml"\nprunecal_ratios = "0,0.5"\n'
    gated.write({"pyproject.toml": toml + 'pythonpath = "."\n'})
    outcome = gated.gate("--collect-only", "--prunecal-pruners=weight")
    assert (outcome.ret, outcome.watcher.collected) == (0, ids(gated, "dense", "weight-0.5"))


def test_the_command_line_wins_over_the_ini_file(gated):
    gated.edit("pythonpath = .", "pythonpath = .\nprunecal_ratios = 0.3", "pytest.ini")
    assert gated.gate("--collect-only", "--prunecal-ratios=0").watcher.collected == ids(gated, "dense")


def test_options_in_the_environment(with_tests, monkeypatch):
    addopts = os.environ["PYTEST_ADDOPTS"]
    monkeypatch.setenv("PYTEST_ADDOPTS", f"{addopts} --prunecal-models=tinynet --prunecal-ratios=0")
    outcome = with_tests.run()
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})


def test_a_folder_of_baselines_that_are_not_ours(plain):
    """`baselines/` is a common name; a repository's own tests in it are its own."""
    plain.makeini("[pytest]\n")
    folder = plain.mkdir("baselines")
    (folder / "test_own.py").write_text(OWN_TEST)
    (folder / "results.yaml").write_text("a: 1\n")
    (folder / "more").mkdir()
    (folder / "more" / "test_more.py").write_text(OWN_TEST)
    for arguments, count in (
        (["baselines"], 2),
        (["baselines/test_own.py"], 1),
        (["baselines/test_own.py::test_own"], 1),
        (["baselines/more"], 1),
        ([], 2),
    ):
        result = plain.runpytest_inprocess(*arguments)
        result.assert_outcomes(passed=count)


def test_a_named_baseline_wins_over_the_protocol_of_the_ini_file(gated):
    gated.write(
        {"baselines/quick/tinynet.yaml": QUICK.format(fingerprint=load("quick", gated.path).fingerprint)}
    )
    outcome = gated.run("--collect-only", "baselines/quick/tinynet.yaml", "--prunecal-ratios=0")
    assert outcome.watcher.collected == ["baselines/quick/tinynet.yaml::prune[dense]"]
    assert accepting(outcome) == (
        "pytest --prunecal-models=tinynet --prunecal-protocol=quick --prunecal-ratios=0 --prunecal-update"
    )
    usual = gated.run("--collect-only", "baselines/tiny/tinynet.yaml", "--prunecal-ratios=0")
    assert accepting(usual) == "pytest --prunecal-models=tinynet --prunecal-ratios=0 --prunecal-update"


def accepting(outcome):
    """The command that accepts all cells of the only model."""
    settings = outcome.watcher.config.stash[SETTINGS]
    (file,) = settings.files
    return settings.accept_command(file, file.cells)


# --- places


def test_from_a_subdirectory(gated, monkeypatch):
    gated.write({"deep/down/.keep": ""})
    monkeypatch.chdir(gated.path / "deep" / "down")
    outcome = gated.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"}), outcome.text
    named = gated.run(f"../../{gated.FILE}::prune[dense]")
    assert (named.ret, named.cells) == (0, {"dense": "passed"}), named.text


def test_paths_of_the_command_line_are_relative_to_where_one_is(gated, monkeypatch):
    (gated.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    gated.write({"deep/.keep": ""})
    monkeypatch.chdir(gated.path / "deep")
    outcome = gated.gate(
        "--prunecal-protocol=../tiny.yaml", "--prunecal-baselines=../baselines", "--prunecal-ratios=0"
    )
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"}), outcome.text


def test_paths_of_the_ini_file_are_relative_to_it(gated, monkeypatch, tmp_path_factory):
    gated.edit("pythonpath", "prunecal_baselines = accepted\nprunecal_store = kept\npythonpath", "pytest.ini")
    (gated.path / "baselines").rename(gated.path / "accepted")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    outcome = gated.gate("-c", gated.path / "pytest.ini", "--prunecal-ratios=0", f"--confcutdir={gated.path}")
    # pytest reads conftest.py files where it looks for tests, so the model of this one is not known here.
    assert outcome.ret == 4
    assert "unknown model 'tinynet'" in outcome.err
    monkeypatch.chdir(gated.path)
    outcome = gated.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"}), outcome.text
    assert list((gated.path / "kept" / "base").iterdir())


def test_rootdir_elsewhere(gated, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("root")
    outcome = gated.gate(
        "--rootdir", elsewhere, "--prunecal-baselines=baselines", "--prunecal-ratios=0,0.5", "-k", "weight"
    )
    assert (outcome.ret, outcome.cells) == (0, {"weight-0.5": "passed"}), outcome.text
    assert "1 cell: 1 identical" in outcome.out


@pytest.mark.parametrize("named", [False, True], ids=["by model", "by path"])
def test_baselines_outside_the_root_directory(gated, tmp_path_factory, named):
    outside = tmp_path_factory.mktemp("outside")
    (gated.path / "baselines").rename(outside / "accepted")
    file = outside / "accepted/tiny/tinynet.yaml"
    text = file.read_text()
    file.write_text(text.replace("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9"))
    where = f"--prunecal-baselines={outside / 'accepted'}"
    # With a path, pytest looks for its ini file beside that path.
    what = [str(file), "test_own.py", "-c", "pytest.ini"] if named else ["--prunecal-models=tinynet"]
    gated.write({"test_own.py": OWN_TEST})
    outcome = gated.run(where, *what)
    assert outcome.ret == 1
    assert [cell for cell, word in outcome.cells.items() if word == "failed"] == ["weight-0.5"]
    assert "7 cells: 6 identical, 1 regression" in outcome.out
    again = gated.run(where, *what, "--lf")
    assert again.cells == {"weight-0.5": "failed"}
    mended = gated.run(where, *what, "--prunecal-update")
    assert (mended.ret, file.read_text()) == (0, text)


def test_baselines_behind_a_symbolic_link(gated):
    (gated.path / "baselines").rename(gated.path / "real")
    (gated.path / "baselines").symlink_to("real")
    gated.edit("accuracy: {mean: ", "accuracy: {mean: 9")
    outcome = gated.gate("--prunecal-update", "--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"}), outcome.text
    assert "accepted 1 cell;" in outcome.out
    assert (gated.path / "baselines").is_symlink()


def test_importlib_mode(with_tests):
    outcome = with_tests.gate("--import-mode=importlib", "tests", "--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"}), outcome.text
    assert "2 passed" in outcome.out


ITEM_HOOKS = """

def log(what):
    with Path(__file__).with_name("hooks").open("a") as file:
        file.write(f"{what}\\n")

def pytest_itemcollected(item):
    log("itemcollected")

def pytest_runtest_setup(item):
    log("setup")

def pytest_runtest_makereport(item, call):
    log(f"makereport {call.when}")

def pytest_runtest_logreport(report):
    log(f"logreport {report.when}")

def pytest_exception_interact(node):
    log("exception_interact")
"""
CALLED = [
    "itemcollected",
    *("setup", "makereport setup", "logreport setup"),
    *("makereport call", "logreport call"),
    *("makereport teardown", "logreport teardown"),
]


def test_hooks_of_every_conftest_at_and_above_a_baseline_that_is_not_there_yet(project):
    conftest = "from pathlib import Path\n" + (project.path / "conftest.py").read_text() + ITEM_HOOKS
    inner = "from pathlib import Path\n" + ITEM_HOOKS
    places = ["conftest.py", "baselines/conftest.py", "baselines/tiny/conftest.py"]
    project.write(dict.fromkeys(places, inner) | {"conftest.py": conftest, "other/conftest.py": inner})
    for _ in ("the first update", "and the second"):
        assert project.gate("--prunecal-update", "--prunecal-ratios=0").ret == 0
        for place in places:
            log = (project.path / place).with_name("hooks")
            assert log.read_text().splitlines() == CALLED
            log.unlink()
    assert not (project.path / "other/hooks").exists()
