"""What the plugin costs those who do not use it, and sessions that measure nothing."""

from __future__ import annotations

import sys

LOADED = (
    *("plugin", "hookspecs", "errors", "study", "study.looks"),
    *("gate", "gate.options", "gate.readers", "gate.named", "gate.stash"),
)
COSTLY = {"torch", "numpy", "yaml", "safetensors", "fsspec", "PIL"}


def imported(result):
    """Modules in the output of `-X importtime`."""
    lines = [line for line in result.stderr.lines if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_a_run_that_does_not_use_the_plugin_imports_next_to_nothing(plain):
    plain.makepyfile("def test_own(): pass")
    result = plain.run(sys.executable, "-X", "importtime", "-m", "pytest", "--collect-only")
    assert result.ret == 0
    modules = imported(result)
    ours = {name for name in modules if name.startswith("pytest_prunecal")}
    assert "pytest_prunecal.gate.options" in ours
    assert ours <= {"pytest_prunecal", *(f"pytest_prunecal.{name}" for name in LOADED)}
    assert not modules & COSTLY


def test_collecting_the_gate_imports_no_torch(gated):
    result = gated.pytester.run(
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "pytest",
        "--prunecal-models=tinynet",
        "--collect-only",
        "-q",
    )
    assert result.ret == 0
    assert gated.FILE + "::prune[dense]" in result.stdout.lines
    modules = imported(result)
    assert "pytest_prunecal.gate.settings" in modules
    assert not modules & (COSTLY - {"yaml"})


def test_measuring_does_not_import_torchs_compiler(gated):
    # Its import takes longer than many a cell, in every worker. -s: imports of a test are captured with it.
    result = gated.pytester.run(
        sys.executable,
        *("-X", "importtime", "-m", "pytest", "-s", "--prunecal-models=tinynet"),
        *("--prunecal-ratios=0.3", "--prunecal-store=fresh"),
    )
    assert result.ret == 0
    modules = imported(result)
    assert "pytest_prunecal.lab.training.loop" in modules
    assert "torch" in modules
    assert not modules & {"torch._dynamo", "torch._inductor", "sympy"}
