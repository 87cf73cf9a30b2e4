"""`--prunecal-seeds`: a cell measured over several seeds, and one seed against several."""

from __future__ import annotations

import shutil

import pytest
import yaml

FEW = ("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
TWO = ("--prunecal-seeds=2", *FEW)
NOT_SAMPLED = ("parameters", "macs", "sparsity")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("seeded") / "project"


@pytest.fixture
def seeded(project, kept):
    """A project whose numbers were accepted over two seeds."""
    if not kept.exists():
        assert project.gate(*TWO, "--prunecal-update").ret == 0
        project.keep(kept)
    project.restore(kept)
    return project


def of(project, cell="weight-0.5"):
    return yaml.safe_load(project.baseline.read_text())["cells"][cell]


def test_a_baseline_holds_mean_error_deviation_and_number_of_seeds(seeded):
    for cell in ("dense", "weight-0.5"):
        accepted = of(seeded, cell)
        for name, entry in accepted.items():
            if name not in NOT_SAMPLED:
                assert list(entry) == ["mean", "se", "sd", "seeds", "first"]
                assert entry["seeds"] == 2
                assert entry["se"] > 0
        assert accepted["nll"]["sd"] > 0
        assert accepted["parameters"] == 1250


def test_the_mean_is_that_of_the_protocols_seed_and_the_next(seeded):
    singles = []
    for seed in (1, 2):
        seeded.edit("ratios:", f"seed: {seed}\nratios:", "tiny.yaml")
        outcome = seeded.gate(*FEW, "--prunecal-update", f"--prunecal-baselines=of-seed-{seed}")
        singles.append(outcome.numbers["prune[weight-0.5]"])
        seeded.edit(f"seed: {seed}\n", "", "tiny.yaml")
    for name, entry in of(seeded).items():
        values = [numbers[name] for numbers in singles]
        if name not in NOT_SAMPLED:
            assert entry["mean"] == pytest.approx(sum(values) / 2, abs=6e-5)
            assert entry["sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5, rel=0.06, abs=1e-9)
            assert entry["first"] == round(values[0], 4)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_same_seeds_are_identical_and_so_is_the_first_alone(seeded, seeds):
    outcome = seeded.gate(f"--prunecal-seeds={seeds}", *FEW)
    assert outcome.ret == 0
    assert "2 cells: 2 identical" in outcome.out


def test_more_seeds_than_were_accepted_are_judged_by_their_noise(seeded):
    protocol = seeded.path / "tiny.yaml"
    protocol.write_text(protocol.read_text().partition("tolerance:\n")[0] + "tolerance: auto\n")
    outcome = seeded.gate("--prunecal-seeds=3", *FEW)
    assert outcome.ret == 0, outcome.out
    assert "2 cells: 2 ok" in outcome.out
    assert "against the mean of 2 accepted seeds" in outcome.out
    assert "± sampling error on the test images, then deviation over 3 seeds" in outcome.out


def test_one_seed_accepted_over_two_takes_the_deviations_away(seeded):
    assert seeded.gate(*FEW, "--prunecal-update", "--prunecal-seeds=1").ret == 0
    assert "sd:" not in seeded.baseline.read_text()
    assert len(list(seeded.baseline.parent.iterdir())) == 2


def test_the_command_that_accepts_repeats_the_seeds(seeded):
    seeded.edit("weight-0.5:\n", "weight-0.5:\n    gone: 1\n")
    message = seeded.gate(*TWO).message("weight-0.5")
    assert message.splitlines()[-1].strip() == (
        "pytest --prunecal-models=tinynet --prunecal-seeds=2 --prunecal-pruners=weight "
        "--prunecal-ratios=0.5 --prunecal-update"
    )


def test_an_update_keeps_the_number_of_seeds(seeded):
    text = seeded.baseline.read_text()
    assert seeded.gate(*FEW, "--prunecal-update").ret == 0
    assert seeded.baseline.read_text() == text


def test_seeds_of_the_ini_file(seeded):
    seeded.edit("pythonpath", "prunecal_seeds = 2\npythonpath", "pytest.ini")
    text = seeded.baseline.read_text()
    assert seeded.gate(*FEW, "--prunecal-update").ret == 0
    assert seeded.baseline.read_text() == text


def test_two_workers_write_the_same_bytes(seeded, monkeypatch):
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    expected = {path: path.read_bytes() for path in seeded.baseline.parent.iterdir()}
    for path in expected:
        path.unlink()
    assert seeded.gate(*TWO, "--prunecal-update", "-n", "2").ret == 0
    assert {path: path.read_bytes() for path in seeded.baseline.parent.iterdir()} == expected


def test_numbers_do_not_depend_on_the_threads_of_the_session(seeded, monkeypatch):
    text = seeded.baseline.read_text()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    seeded.write(
        {
            "conftest.py": "import torch\n\ntorch.set_num_threads(4)\n\n"
            'def pytest_prunecal_models(config):\n    return {"tinynet": "tiny:tiny"}\n\n'
            "def pytest_unconfigure(config):\n    print(torch.get_num_threads(), 'threads')\n"
        }
    )
    shutil.rmtree(seeded.path / ".prunecal")
    outcome = seeded.subprocess("--prunecal-models=tinynet", *TWO, "--prunecal-update", "-s")
    assert outcome.ret == 0
    assert "4 threads" in outcome.out
    assert "already says all of it" in outcome.out
    assert seeded.baseline.read_text() == text
