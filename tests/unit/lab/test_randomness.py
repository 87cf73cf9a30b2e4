"""Random numbers of a stage's own, and generators that are left as they were found."""

# ruff: noqa: NPY002, S311 - what users draw from

import random

import numpy as np
import pytest
import torch

from pytest_prunecal.lab.randomness import generator_of, seed_of, stage

CPU = torch.device("cpu")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def drawn(device=CPU):
    """Numbers of every generator, and of numpy and `random` the second of a pair of normal ones."""
    return [
        torch.rand(3).tolist(),
        torch.rand(3, device=device).tolist(),
        np.random.rand(2).tolist(),
        np.random.standard_normal(),
        random.random(),
        random.gauss(0, 1),
    ]


def test_a_stages_numbers_are_of_its_parts_alone():
    with stage(CPU, 1, "cell", "prune"):
        first = drawn()
    drawn()
    with stage(CPU, 1, "cell", "prune"):
        assert drawn() == first
    for parts in ((2, "cell", "prune"), (1, "other", "prune"), (1, "cell", "evaluate")):
        with stage(CPU, *parts):
            assert not any(a == b for a, b in zip(drawn(), first, strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_generators_are_left_as_they_were_found(fails):
    def use():
        with stage(CPU, "one"):
            drawn()
            torch.manual_seed(5)
            np.random.seed(5)
            if fails:
                raise KeyboardInterrupt

    random.gauss(0, 1), np.random.standard_normal()  # half of a pair is kept for later
    found = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = drawn()
    torch.set_rng_state(found[0]), np.random.set_state(found[1]), random.setstate(found[2])
    if fails:
        with pytest.raises(KeyboardInterrupt):
            use()
    else:
        use()
    assert drawn() == expected


def test_stages_nest():
    with stage(CPU, "outer"):
        torch.rand(1)
        expected = drawn()
    with stage(CPU, "outer"):
        torch.rand(1)
        with stage(CPU, "inner"):
            drawn()
        assert drawn() == expected


@on_cuda
def test_cudas_generators_are_seeded_and_left_as_they_were_found():
    device = torch.device("cuda", 0)
    torch.cuda.manual_seed_all(7)
    expected = torch.rand(3, device=device).tolist()
    torch.cuda.manual_seed_all(7)
    with stage(device, "one"):
        first = drawn(device)
    assert torch.rand(3, device=device).tolist() == expected
    with stage(device, "one"):
        assert drawn(device) == first
    with stage(CPU, "one"):  # CUDA is in use, so its generators are owned too
        assert drawn(device) == first


def test_cuda_is_not_reached_for_where_nobody_uses_it():
    if torch.cuda.is_initialized():
        pytest.skip("CUDA is in use already")
    with stage(CPU, "one"):
        drawn()
    assert not torch.cuda.is_initialized()


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
