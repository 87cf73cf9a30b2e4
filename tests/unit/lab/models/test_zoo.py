"""Networks of torchvision and timm by name."""

import subprocess
import sys

import pytest
import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import registry
from pytest_prunecal.lab.models.zoo import builder
from pytest_prunecal.study import zoo
from pytest_prunecal.study.cell import baseline_name
from pytest_prunecal.study.extensions import Extensions

NONE = Extensions()


@pytest.mark.parametrize(
    ("library", "name", "size"),
    [
        ("torchvision", "mobilenet_v3_small", 32),
        ("torchvision", "vit_b_32", 64),
        ("timm", "resnet10t", 32),
        ("timm", "vit_tiny_patch16_224", 48),
    ],
)
def test_a_network_has_the_datas_classes_and_takes_its_images(library, name, size):
    pytest.importorskip(library)
    network = builder(library, name, (size, size))(7)
    assert network.eval()(torch.randn(2, 3, size, size)).shape == (2, 7)


def test_the_names_are_those_that_the_libraries_list():
    models = pytest.importorskip("torchvision").models
    timm = pytest.importorskip("timm")
    assert zoo.names("torchvision") == {*models.list_models(module=models)}
    assert zoo.names("timm") == {*timm.list_models()}


def test_knowing_a_name_imports_neither_the_library_nor_torch():
    pytest.importorskip("timm")
    code = (
        "import sys; from pytest_prunecal.gate import registry; "
        "from pytest_prunecal.study.extensions import Extensions; "
        "registry.check_model('timm:resnet10t', Extensions()); "
        "assert not {'torch', 'timm', 'torchvision'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_of_a_library_is_registered_and_has_its_own_baseline():
    assert registry.is_registered("torchvision:mobilenet_v3_small", NONE)
    assert baseline_name("torchvision:mobilenet_v3_small") == "torchvision.mobilenet_v3_small"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "timm:convnext_attto",
            r"timm registers no classifier of this name \(did you mean timm:convnext_atto\?\)",
        ),
        ("torchvision:fasterrcnn_resnet50_fpn", "torchvision registers no classifier of this name"),
        (
            "timm:convnext_atto.d2_in1k",
            "'d2_in1k' names weights, and none are downloaded; write timm:convnext_atto",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(name, says):
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(PrunecalError, match=says):
        registry.check_model(name, NONE)


def test_a_missing_library_names_the_command(monkeypatch):
    monkeypatch.setattr(zoo, "find_spec", lambda _: None)
    with pytest.raises(PrunecalError, match=r"timm is not installed: pip install 'timm>=1\.0'"):
        registry.check_model("timm:convnext_atto", NONE)


def test_missing_torch_pruning_is_known_before_anything_is_imported(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    with pytest.raises(
        PrunecalError, match=r"filter pruning of timm:resnet10t .* pip install 'torch-pruning>=1\.6'"
    ):
        registry.check_graph("timm:resnet10t", ["weight", "filter"])
    registry.check_graph("timm:resnet10t", ["weight"])
    registry.check_graph("nets:mine", ["filter"])


def test_images_that_are_too_small_are_one_sentence():
    pytest.importorskip("timm")
    with pytest.raises(PrunecalError, match="cannot be built for images of 9x9"):
        builder("torchvision", "vit_b_32", (9, 9))(10)
