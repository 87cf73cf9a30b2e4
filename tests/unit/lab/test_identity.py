"""What a measurement is a function of: every planted change is another identity, nothing else is."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.identity import Identity, data_of
from pytest_prunecal.store import environment, sources
from pytest_prunecal.store.sources import Sources
from pytest_prunecal.study import extras, protocol_file
from pytest_prunecal.study.candidate import Candidate
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.given_base import GivenBase
from pytest_prunecal.study.metric import Metric

QUICK = protocol_file.load("quick", Path())
CELL = Cell("mine", "halving", 0.5)
FILES = {
    "my_zoo/__init__.py": "",
    "my_zoo/net.py": "from my_zoo import blocks\ndef net(): ...\n",
    "my_zoo/blocks.py": "import my_zoo.deep\n",
    "my_zoo/deep.py": "depth = 19\n",
    "my_zoo/unrelated.py": "",
    "my_pruner.py": "def build():\n    import my_ranking\nhalving = build\n",
    "my_ranking.py": "largest = True\n",
    "my_metric.py": "import my_bins\ndef spread(logits, labels): ...\n",
    "my_bins.py": "bins = 10\n",
    "conftest.py": "",
    "tables/channels.json": "[64, 128]",
    "tables/deep/strides.csv": "1,2",
    "base.safetensors": "weights",
    "unrelated.txt": "",
}


class Project:
    """Code of a user's own, and what a session makes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        self.protocol, self.device, self.data, self.pin = QUICK, "cpu", "data", False
        self.cell, self.seeds = CELL, 1
        self.extensions = Extensions(
            models={"mine": "my_zoo.net:net"},
            pruners={"halving": "my_pruner:halving"},
            metrics={"spread": Metric("spread", function="my_metric:spread", higher_is_better=True)},
            plugins=(("conftest", path / "conftest.py"),),
            files=(path / "tables",),
        )
        self.bases = {("mine", "plain"): GivenBase(path / "base.safetensors")}
        self.candidates: dict[tuple[str, str], Candidate] = {}

    def identity(self) -> str:
        setup = Setup(
            *(self.protocol, "store", "auto", None, self.extensions),
            bases=self.bases,
            candidates=self.candidates,
            pin=self.pin,
        )
        return Identity(setup, self.device, self.data, Sources()).of(self.cell, self.seeds)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    loaded = set(sys.modules)
    made = Project(tmp_path)
    yield made
    assert not [name for name in sys.modules if name.startswith("my_") and name not in loaded]


def test_it_is_the_same_in_every_session(project):
    assert project.identity() == project.identity()


@pytest.mark.parametrize("name", [name for name in FILES if "unrelated" not in name])
def test_an_edit_of_whatever_takes_part(project, name):
    before = project.identity()
    path = project.path / name
    content = path.read_text()
    path.write_text(content + " ")
    assert project.identity() != before
    path.write_text(content)
    assert project.identity() == before


@pytest.mark.parametrize("name", [name for name in FILES if "unrelated" in name])
def test_an_edit_of_what_takes_no_part(project, name):
    before = project.identity()
    (project.path / name).write_text("edited\n")
    assert project.identity() == before


def test_a_new_file_in_a_declared_folder(project):
    before = project.identity()
    (project.path / "tables" / "more.json").write_text("[]")
    assert project.identity() != before


@pytest.mark.parametrize(
    "change",
    [
        {"cell": Cell("mine", "halving", 0.6)},
        {"cell": Cell("mine", None, 0.0)},
        {"cell": Cell("mine", "weight", 0.5)},
        {"cell": Cell("vgg19", "halving", 0.5)},
        {"seeds": 2},
        {"pin": True},
        {"device": "NVIDIA H100"},
        {"data": "other data"},
        {"bases": {}},
        {"protocol": replace(QUICK, seed=2)},
        {"protocol": replace(QUICK, threads=2)},
        {"protocol": replace(QUICK, name="other")},
        {"protocol": replace(QUICK, finetune=replace(QUICK.finetune, epochs=9))},
        {"protocol": replace(QUICK, base=replace(QUICK.base, momentum=0.8))},
        {"protocol": replace(QUICK, evaluation=replace(QUICK.evaluation, bins=15))},
        {"protocol": replace(QUICK, evaluation=replace(QUICK.evaluation, severities=(1, 2)))},
        {"protocol": replace(QUICK, mean=(0.5, 0.5, 0.5))},
        {"protocol": replace(QUICK, width={"default": 1.0})},
        {"protocol": replace(QUICK, pad=2)},
    ],
    ids=str,
)
def test_whatever_is_measured_otherwise(project, change):
    before = project.identity()
    for name, value in change.items():
        setattr(project, name, value)
    assert project.identity() != before


@pytest.mark.parametrize(
    "change",
    [
        {"description": "in other words"},
        {"ratios": (0.5,)},
        {"pruners": ("weight",)},
        {"tolerance": {}},
        {"min_effect": {}},
        {"false_alarms": 0.05},
    ],
    ids=str,
)
def test_what_only_selects_or_judges_measures_nothing_else(project, change):
    before = project.identity()
    project.protocol = replace(QUICK, **change)
    assert project.identity() == before


def test_seeds_of_one_base_network_are_not_those_of_their_own(project):
    setup = Setup(QUICK, "store", "auto", None, project.extensions, bases=project.bases)
    identity = Identity(setup, "cpu", "data", Sources())
    own, one = ([identity.of(CELL, seeds, one_base=which) for seeds in (1, 2)] for which in (False, True))
    assert own[0] == one[0]  # the first seed's base network is its own
    assert len({*own, *one}) == 3


def test_the_weights_of_another_model_do_not_count(project):
    before = project.identity()
    project.bases |= {("vgg19", "plain"): GivenBase(project.path / "unrelated.txt")}
    assert project.identity() == before


def test_a_missing_file_is_an_os_error(project):
    (project.path / "base.safetensors").unlink()
    with pytest.raises(OSError, match=r"base\.safetensors"):
        project.identity()


def test_objects_with_state_count_with_where_they_were_registered(project):
    def make(depth):
        return lambda: depth

    project.extensions = replace(
        project.extensions,
        models={"mine": make(19)},
        registrars=(("my_nets", project.path / "my_pruner.py"),),
    )
    before = project.identity()
    (project.path / "my_ranking.py").write_text("largest = False\n")
    assert project.identity() != before
    project.extensions = replace(project.extensions, models={"mine": partial(make, 19)})
    first = project.identity()
    project.extensions = replace(project.extensions, models={"mine": partial(make, 20)})
    assert project.identity() != first


@pytest.mark.parametrize("library", ["torch", "numpy", "pillow"])
def test_another_version_of_a_library(project, monkeypatch, library):
    before = project.identity()
    installed = environment.installed
    monkeypatch.setattr(
        environment, "installed", lambda name: "0.0.1" if name == library else installed(name)
    )
    assert project.identity() != before


def test_another_processor_python_or_choice_of_kernels(project, monkeypatch):
    found = {project.identity()}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    found.add(project.identity())
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    found.add(project.identity())
    monkeypatch.setattr(environment, "_processor", lambda: "another")
    found.add(project.identity())
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    found.add(project.identity())
    assert len(found) == 5


def test_environment_variables_of_other_things_do_not_count(project, monkeypatch):
    before = project.identity()
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw7")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # a protocol fixes its threads itself
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as measuring sets it
    assert project.identity() == before


def test_another_version_of_this_package(project, monkeypatch, tmp_path):
    before = project.identity()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "training.py").write_text("")
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path / "package")
    assert project.identity() != before


def test_the_processor_is_told_by_what_chooses_kernels():
    if sys.platform == "linux":
        assert "flags" in Path("/proc/cpuinfo").read_text() or "Features" in Path("/proc/cpuinfo").read_text()
        assert len(environment._processor()) > 20


@pytest.mark.parametrize(
    ("device", "version", "driver", "surely"),
    [
        ("cpu", "2.11.0", True, True),
        ("auto", "2.11.0", False, True),
        ("auto", "2.11.0", True, False),
        ("auto", "2.11.0+rocm6.4", False, False),
        ("cuda", "2.11.0", False, False),
        ("cuda:1", "2.11.0", True, False),
    ],
)
def test_which_device_it_is_without_torch(monkeypatch, device, version, driver, surely):
    monkeypatch.setattr(environment, "installed", lambda _: version)
    monkeypatch.setattr(environment, "_has_cuda_driver", lambda: driver)
    assert environment.is_surely_cpu(device) is surely


class Management:
    """The driver's library that counts GPUs."""

    def __init__(self, count, *, works=True):
        self.count, self.works = count, works

    def nvmlInit_v2(self):  # noqa: N802 - its own name
        return 0 if self.works else 9

    def nvmlShutdown(self):  # noqa: N802
        return 0

    def nvmlDeviceGetCount_v2(self, place):  # noqa: N802
        place._obj.value = self.count
        return 0


@pytest.mark.parametrize(
    ("version", "driver", "library", "visible", "count"),
    [
        ("2.11.0", False, None, None, 0),
        ("2.11.0+cpu", True, Management(2), None, 0),
        ("2.11.0+rocm6.4", False, None, None, None),
        ("2.11.0+cu128", True, Management(2), None, 2),
        ("2.11.0+cu128", True, Management(2), "1", 1),
        ("2.11.0+cu128", True, Management(2), "", 0),
        ("2.11.0+cu128", True, Management(2), "0,1,2", 2),
        ("2.11.0+cu128", True, Management(2, works=False), None, None),
        ("2.11.0+cu128", True, Management(2, works=False), "3", 1),
        ("2.11.0+cu128", True, None, None, None),
    ],
)
def test_how_many_gpus_there_are_without_torch(monkeypatch, version, driver, library, visible, count):
    def opened(_):
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr(environment, "installed", lambda _: version)
    monkeypatch.setattr(environment, "_has_cuda_driver", lambda: driver)
    monkeypatch.setattr(environment.ctypes, "CDLL", opened)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.cuda_devices() == count


# ------------------------------------------------------------------------------------------------ data


def under(name, **options):
    evaluation = replace(QUICK.evaluation, source="auto")
    return replace(QUICK, dataset={"name": name, **options}, evaluation=evaluation)


def of(name, root=None, **options):
    return data_of(under(name, **options), root, Sources())


def test_embedded_data_is_part_of_the_package():
    assert of("digits") == of("digits", Path("anywhere"))


def test_arrays_are_told_by_their_bytes(tmp_path):
    for name in ("x_train", "y_train", "x_test", "y_test"):
        np.save(tmp_path / f"{name}.npy", np.zeros(3, np.uint8))
    before = of("arrays", tmp_path)
    assert before == of("arrays", path=str(tmp_path))
    (tmp_path / "notes.txt").write_text("unrelated")
    assert of("arrays", tmp_path) == before
    np.save(tmp_path / "x_test.npy", np.ones(3, np.uint8))
    assert of("arrays", tmp_path) != before
    np.savez(tmp_path / "all.npz", x=np.zeros(3))
    packed = of("arrays", tmp_path, path="all.npz")
    np.savez(tmp_path / "all.npz", x=np.ones(3))
    assert len({packed, of("arrays", tmp_path, path="all.npz"), before}) == 3


def test_a_folder_of_images_is_told_by_all_files_in_it(tmp_path):
    image = tmp_path / "train" / "cat" / "1.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"one")
    found = {of("folder", tmp_path)}
    image.write_bytes(b"two")
    found.add(of("folder", tmp_path))
    image.rename(image.with_name("2.png"))
    found.add(of("folder", tmp_path))
    assert len(found) == 3


def test_published_corruptions_count_where_they_are_used(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"images")
    generated = of("cifar10", tmp_path)
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    for name in (*QUICK.evaluation.corruptions, "labels"):
        (folder / f"{name}.npy").write_bytes(b"images")
    assert len({generated, of("cifar10", tmp_path)}) == 2
    not_asked = replace(under("cifar10"), evaluation=replace(QUICK.evaluation, source="generated"))
    assert data_of(not_asked, tmp_path, Sources()) == generated


@pytest.mark.parametrize(
    ("name", "root"), [("cifar10", None), ("cifar10", Path("nowhere")), ("arrays", None), ("my_own", None)]
)
def test_what_only_loading_can_tell(name, root):
    assert of(name, root) is None


def test_what_int8_runs_on_is_part_of_its_cells_alone(project, monkeypatch):
    def identities():
        found = []
        for cell in (Cell("mine", "int8", 0.0), Cell("mine", "weight", 0.5), Cell("mine", None, 0.0), CELL):
            project.cell = cell
            found.append(project.identity())
        return found

    before = identities()
    versions = extras.versions
    monkeypatch.setattr(extras, "versions", lambda extra: {**versions(extra), "onnxruntime": "99.0"})
    after = identities()
    assert before[0] != after[0]
    assert before[1:] == after[1:]
    monkeypatch.undo()
    monkeypatch.setattr(extras, "ONNX_PROVIDER", "CUDAExecutionProvider")
    assert identities()[0] not in (before[0], after[0])


def test_what_finds_channels_is_part_of_the_cells_that_it_prunes(project, monkeypatch):
    pytest.importorskip("torch_pruning")

    def identities(cells):
        found = []
        for model, pruner in cells:
            project.cell = Cell(model, pruner, 0.5)
            found.append(project.identity())
        return found

    graph = [("mine", "filter"), ("mine", "channel")]
    others = [("mine", "weight"), ("mine", "halving"), ("vgg19", "filter"), ("resnet20", "channel")]
    before = identities(graph), identities(others)
    version_of = sources.version_of
    monkeypatch.setattr(
        sources, "version_of", lambda path: "99.0" if "torch_pruning" in path.parts else version_of(path)
    )
    assert not {*before[0]} & {*identities(graph)}
    assert before[1] == identities(others)


@pytest.fixture
def finished(project):
    """The same project's candidate: an ONNX file whose weights lie in another."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weight = onnx.numpy_helper.from_array(np.zeros((4, 4), np.float32), "w")
    value = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value("x", shape=None)], [value("y", shape=None)], [weight])
    path = project.path / "net.onnx"
    onnx.save_model(
        onnx.helper.make_model(graph),
        str(path),
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    project.cell = Cell("mine", None, 0.0, candidate="v2")
    project.candidates = {("mine", "v2"): Candidate("mine", "v2", path)}
    return project


def test_every_file_of_a_candidate(finished):
    before = finished.identity()
    assert finished.identity() == before
    for name in ("w.bin", "net.onnx"):
        path = finished.path / name
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        assert finished.identity() != before
        content[-1] ^= 1
        path.write_bytes(content)
    assert finished.identity() == before


@pytest.mark.parametrize("library", ["onnxruntime", "onnx"])
def test_what_runs_and_counts_a_candidate(finished, monkeypatch, library):
    before, versions = finished.identity(), extras.versions
    monkeypatch.setattr(extras, "versions", lambda extra: {**versions(extra), library: "0.1"})
    assert finished.identity() != before


def test_the_code_that_builds_a_candidate(finished):
    finished.candidates = {("mine", "v2"): Candidate("mine", "v2", "my_zoo.net:net")}
    before = finished.identity()
    (finished.path / "my_zoo/deep.py").write_text("depth = 20\n")
    assert finished.identity() != before
