"""Reproducible numbers, and a process that is left as it was found."""

import pytest
import torch

from pytest_prunecal.reproducible import generator_of, reproducible, seed_of


def conditions():
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn tf32": torch.backends.cudnn.allow_tf32,
        "matmul tf32": torch.backends.cuda.matmul.allow_tf32,
        "state": torch.get_rng_state().tolist(),
    }


@pytest.fixture(params=["usual", "unusual"])
def found(request):
    before = conditions()
    if request.param == "unusual":
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = True
    torch.manual_seed(12)
    yield conditions()
    torch.set_num_threads(before["threads"])
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn only"])
    torch.backends.cudnn.benchmark = before["benchmark"]
    torch.backends.cudnn.allow_tf32 = before["cudnn tf32"]
    torch.backends.cuda.matmul.allow_tf32 = before["matmul tf32"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_process_is_left_as_it_was_found(found, fails):
    def measure():
        with reproducible(1):
            within = conditions()
            assert {key: within[key] for key in within if key != "state"} == {
                "threads": 1,
                "deterministic": True,
                "warn only": False,
                "benchmark": False,
                "cudnn tf32": False,
                "matmul tf32": False,
            }
            torch.manual_seed(99)
            torch.rand(10)
            torch.set_num_threads(2)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            measure()
    else:
        measure()
    assert conditions() == found


def test_it_nests():
    threads = torch.get_num_threads()
    with reproducible(2):
        with reproducible(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads


def test_seeds_are_of_what_they_are_for():
    uses = [(0, "base", "vgg19"), (1, "base", "vgg19"), (0, "init", "vgg19"), (0, "base", "vgg1", "9")]
    seeds = [seed_of(*use) for use in uses]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # Of every process, Python and machine the same: baselines depend on it.
    assert seed_of(0, "base", "vgg19") == 2258156972553263534


def test_generators_repeat():
    first, again, other = (
        torch.rand(4, generator=generator_of(*parts)) for parts in (("a", 1), ("a", 1), ("a", 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
