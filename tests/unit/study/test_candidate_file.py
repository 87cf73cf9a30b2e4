"""What a candidate's file is, told without torch; what cannot be measured is one sentence."""

import subprocess
import sys
import zipfile
from importlib import util

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import candidate_file, onnx_file
from pytest_prunecal.study.candidate import Candidate

NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
IMAGES = torch.zeros(2, 3, 2, 2)


def of(path, **settings):
    return Candidate("net", "v2", path, **settings)


def refusal(path, *, registered=True, **settings):
    with pytest.raises(PrunecalError) as caught:
        candidate_file.check(of(path, **settings), registered=registered)
    text = str(caught.value)
    assert text.startswith(f"candidate v2 ({path}): ")
    assert "\n" not in text
    return text.removeprefix(f"candidate v2 ({path}): ")


@pytest.fixture
def onnx(tmp_path):
    """An ONNX file and what makes others."""
    found = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    torch.onnx.export(NETWORK, (IMAGES,), str(path), dynamo=False)
    return found, path


def test_an_onnx_file_by_its_content(onnx):
    _, path = onnx
    candidate_file.check(of(path), registered=False)
    other = path.rename(path.with_suffix(".bin"))
    assert candidate_file.kind_of(other, "it") == candidate_file.ONNX


def test_an_onnx_file_that_is_cut_short(onnx):
    _, path = onnx
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(path).startswith("is no readable .onnx file: its content is broken or cut short; ")


@pytest.mark.parametrize("library", ["onnxruntime", "onnx"])
def test_a_missing_extra(onnx, monkeypatch, library):
    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == library else find(name))
    assert refusal(onnx[1]) == f"is an ONNX file, which takes {library}; pip install 'pytest-prunecal[onnx]'"


def beside(onnx, location="weights.bin"):
    """The model with its weights in another file, which it calls so."""
    library, path = onnx
    model = library.load(path)
    library.save_model(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = library.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_a_model_are_part_of_it(onnx):
    path = beside(onnx)
    candidate_file.check(of(path), registered=False)
    assert onnx_file.parts(path, "it") == [path.parent / "weights.bin"]
    was = onnx_file.digest(path, "it")
    content = bytearray((path.parent / "weights.bin").read_bytes())
    content[0] ^= 1
    (path.parent / "weights.bin").write_bytes(content)
    assert onnx_file.digest(path, "it") != was


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "C:\\weights"]
)
def test_weights_elsewhere_are_refused(onnx, location):
    assert "outside of its folder; save the model as one file: " in refusal(beside(onnx, location))


def test_weights_that_a_link_leads_to_are_refused(onnx, tmp_path_factory):
    path = beside(onnx)
    there = (path.parent / "weights.bin").rename(tmp_path_factory.mktemp("other") / "weights.bin")
    (path.parent / "weights.bin").symlink_to(there)
    assert "outside of its folder" in refusal(path)


def test_weights_that_are_not_there(onnx):
    path = beside(onnx)
    (path.parent / "weights.bin").unlink()
    assert refusal(path).startswith("its weights lie in weights.bin, which is not beside it; copy it there, ")


def test_weights_within_a_branch_are_found(tmp_path):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="deep.bin")
    output = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [1])
    branch = onnx.helper.make_graph([], "branch", [], [output], [tensor])
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    condition = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    path = tmp_path / "net.onnx"
    path.write_bytes(
        onnx.helper.make_model(onnx.helper.make_graph([node], "g", [condition], [result])).SerializeToString()
    )
    assert "its weights lie in deep.bin" in refusal(path)


def test_a_file_of_weights(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(NETWORK.state_dict(), path)
    candidate_file.check(of(path), registered=True)
    assert refusal(path, registered=False).startswith(
        "is a file of weights, and nothing builds networks of 'net'; register the model with the hook "
    )
    path.write_bytes(path.read_bytes()[:-4])
    assert "cut short" in refusal(path)


def test_quantised_weights_without_their_scales(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"1.weight": torch.zeros(3, 12, dtype=torch.int8)}, path)
    assert "quantised weights mean nothing without their scales" in refusal(path)


def test_what_torch_writes_is_told_apart(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(NETWORK.state_dict(), path)
    assert refusal(path).startswith("is a PyTorch file (.pt, .pth) of weights, which can run code ")
    torch.save(NETWORK, path)
    assert refusal(path, trusted=True).startswith("is a pickled module or object, and loading it runs ")
    torch.save({"state_dict": NETWORK.state_dict(), "net": NETWORK}, path)
    assert refusal(path).startswith("is a pickled module or object")
    torch.save(NETWORK, path, _use_new_zipfile_serialization=False)
    assert refusal(path, trusted=True).startswith("is a pickle (an old PyTorch file is one, too), ")
    torch.jit.trace(NETWORK, IMAGES).save(path)
    assert refusal(path).startswith("is TorchScript, which can run code when it is loaded; if you trust ")
    candidate_file.check(of(path, trusted=True), registered=False)
    torch.export.save(torch.export.export(NETWORK, (IMAGES,)), tmp_path / "net.pt2")
    candidate_file.check(of(tmp_path / "net.pt2"), registered=False)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (["net/data/aotinductor/model/net.so", "net/archive_format"], "is a package with compiled code, "),
        (["serialized_exported_program.json", "version"], "is an exported program as PyTorch before 2.8 "),
        (["a.txt"], "is a zip archive of no network; give an ONNX file, "),
    ],
)
def test_other_archives(tmp_path, members, says):
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    assert refusal(path).startswith(says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; give an ONNX file, a safetensors file, "),
        (b"<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n", "is two versions between the marks of a merge "),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer, "),
        (b"\x93NUMPY" + bytes(20), "is a numpy array; give an ONNX file, "),
        (b"just words\n", "is a text; give an ONNX file, "),
        (bytes(4) + b"TFL3" + bytes(30), "is a TensorFlow Lite file; convert it to ONNX, "),
        (bytes(4) + b"ORTM" + bytes(30), "is an ONNX Runtime file (.ort); give the .onnx file "),
        (b"\xff" * 100, "is of no kind that is known here; give an ONNX file, "),
    ],
)
def test_files_that_are_no_network(tmp_path, content, says):
    path = tmp_path / "net.bin"
    path.write_bytes(content)
    assert refusal(path).startswith(says)


def test_what_is_there_no_more(tmp_path):
    assert refusal(tmp_path / "net.onnx").startswith("is not there; give an ONNX file, ")
    assert refusal(tmp_path).startswith("is a folder; give an ONNX file, ")


def test_what_builds_it_is_not_called():
    candidate_file.check(of(lambda: 1 / 0), registered=False)


def test_torch_stays_out():
    code = (
        "import sys, pytest_prunecal.study.candidate_file; print({'torch', 'numpy', 'onnx'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
