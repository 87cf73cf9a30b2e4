"""Reproducible numbers, and a process that is left as it was found."""

import inspect
import subprocess
import sys

import pytest
import torch
import torch.utils.deterministic

from pytest_prunecal.lab.reproducible import reproducible


def conditions():
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "filling": torch.utils.deterministic.fill_uninitialized_memory,
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn tf32": torch.backends.cudnn.allow_tf32,
        "matmul tf32": torch.backends.cuda.matmul.allow_tf32,
    }


@pytest.fixture(params=["usual", "unusual"])
def found(request):
    before = conditions()
    if request.param == "unusual":
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = True
    yield conditions()
    torch.set_num_threads(before["threads"])
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn only"])
    torch.utils.deterministic.fill_uninitialized_memory = before["filling"]
    torch.backends.cudnn.benchmark = before["benchmark"]
    torch.backends.cudnn.allow_tf32 = before["cudnn tf32"]
    torch.backends.cuda.matmul.allow_tf32 = before["matmul tf32"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_process_is_left_as_it_was_found(found, fails):
    def measure():
        with reproducible(1):
            within = conditions()
            assert within == {
                "threads": 1,
                "deterministic": True,
                "warn only": False,
                "filling": False,
                "benchmark": False,
                "cudnn tf32": False,
                "matmul tf32": False,
            }
            torch.set_num_threads(2)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            measure()
    else:
        measure()
    assert conditions() == found


def _precisions():
    switches = [
        torch.backends,
        torch.backends.cuda.matmul,
        torch.backends.cudnn.conv,
        torch.backends.cudnn.rnn,
    ]
    return [switch.fp32_precision for switch in switches]


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch older than 2.9")
@pytest.mark.parametrize("part", ["everything", "parts"])
def test_tf32_is_off_and_restored_whichever_switch_was_used(part, tmp_path):
    # In a process of its own: torch has no way back from its newer switches.
    switches = {
        "everything": "torch.backends.fp32_precision = 'tf32'",
        "parts": "torch.backends.cuda.matmul.fp32_precision = 'tf32'\n"
        "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    }
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nfrom pytest_prunecal.lab.reproducible import reproducible\n"
        f"{inspect.getsource(_precisions)}\n"
        f"{switches[part]}\n"
        "before = _precisions()\n"
        "with reproducible(1):\n    assert _precisions()[1:] == ['ieee'] * 3\n"
        "assert _precisions() == before\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_nests():
    threads = torch.get_num_threads()
    with reproducible(2):
        with reproducible(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads
