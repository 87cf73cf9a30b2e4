"""The package's public names: each there, none loaded before it is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_prunecal


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", pytest_prunecal.__all__)
def test_each_is_there(name):
    assert getattr(pytest_prunecal, name) is not None
    assert name in dir(pytest_prunecal)


def test_another_is_not():
    with pytest.raises(AttributeError, match="no attribute 'Metrics'"):
        pytest_prunecal.Metrics  # noqa: B018 - to read it is the test
    with pytest.raises(ImportError, match="Metrics"):
        from pytest_prunecal import Metrics  # noqa: F401


def test_they_are_those_that_type_checkers_see():
    source = Path(pytest_prunecal.__file__).read_text(encoding="utf-8")
    (block,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node)
    )
    seen = {alias.name: f"{line.module}" for line in block.body for alias in line.names}
    homes = {name: f"pytest_prunecal.{home}" for name, home in pytest_prunecal._HOMES.items()}
    assert homes == seen
    assert {*homes, "__version__"} == set(pytest_prunecal.__all__)


@pytest.mark.parametrize("name", ["Metric", "Measurement", "PrunecalError", "ChannelGroup", "__version__"])
def test_names_that_need_no_torch_load_none(name):
    code = f"import sys, pytest_prunecal; pytest_prunecal.{name}; print('torch' in sys.modules)"
    assert in_a_new_process(code) == "False"


def test_importing_the_package_loads_next_to_nothing():
    code = "import sys; import pytest_prunecal; print(*sorted(n for n in sys.modules if 'prunecal' in n))"
    assert in_a_new_process(code) == "pytest_prunecal"
