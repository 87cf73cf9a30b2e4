"""Data sets by name: the registry, a protocol's entry, the user's own loaders."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest
import torch

from pytest_prunecal.lab.datasets.digits import digits
from pytest_prunecal.lab.datasets.load import load
from pytest_prunecal.study.builtin import DATASETS


def test_the_registry_imports_neither_torch_nor_numpy():
    heavy = "{'torch', 'numpy', 'PIL'}"
    code = f"import sys, pytest_prunecal.lab.datasets; sys.exit(bool({heavy} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_registered_loader_exists_and_takes_a_root():
    assert set(DATASETS) == {"digits", "cifar10", "cifar100", "folder", "arrays"}
    for place in DATASETS.values():
        module, function = place.split(":")
        assert next(iter(inspect.signature(getattr(import_module(module), function)).parameters)) == "root"


def test_load_resolves_names_passes_options_and_takes_prefixes():
    dataset = load({"name": "digits", "size": 8, "train": 100, "test": 50}, None)
    assert dataset.train_images.shape == (100, 3, 8, 8)
    assert dataset.test_images.shape == (50, 3, 8, 8)
    assert dataset.full_test == 800
    assert torch.equal(dataset.test_images, digits(None, size=8).test_images[:50])
    assert load({"name": "digits", "size": 8, "test": None}, None).full_test is None


def test_load_reaches_the_users_own_loaders(small, tmp_path):
    seen = []

    def mine(root, shade, classes=3):
        seen.append((root, shade, classes))
        return small(classes=classes)

    dataset = load({"name": "mine", "shade": 7, "train": 2}, tmp_path, {"mine": mine})
    assert seen == [(tmp_path, 7, 3)]
    assert len(dataset.train_labels) == 2
    assert (
        load({"name": "any", "whatever": 1}, None, {"any": lambda _root, **_options: small()}).name == "small"
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ("needs a name", "arrays, cifar10, cifar100, digits, folder, mine")),
        ({"name": 3}, ("needs a name",)),
        ({"name": "mnist"}, ("unknown data set 'mnist'", "digits", "mine")),
        ({"name": "digits", "sise": 16}, ("'digits'", "unknown option sise", "valid: size, train, test")),
        ({"name": "digits", "b": 1, "a": 1}, ("unknown options a, b",)),
        ({"name": "digits", "root": "x"}, ("unknown option root",)),
        ({"name": "digits", 3: 4}, ("unknown option 3",)),
        ({"name": "mine"}, ("'mine'", "needs the option shade")),
        ({"name": "mine", "shade": 1}, ("'mine'", "returned a int", "wanted a Dataset")),
        ({"name": "digits", "size": 8, "test": 801}, ("test", "801", "from 1 to 800")),
        ({"name": "digits", "size": 8, "train": "all"}, ("train", "'all'")),
    ],
)
def test_load_refuses_a_wrong_entry(says, spec, words):
    def mine(_root, shade):
        return shade

    with says(*words):
        load(spec, None, {"mine": mine})


def test_load_lets_nobody_replace_a_built_in_data_set(says):
    with says("'digits' is built in"):
        load({"name": "digits"}, None, {"digits": lambda root: root})
