"""Headers of files of weights: what torch itself writes is read, and every other file is one sentence."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import weights_file

LINEAR = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
WANTED = "wanted one of float16, bfloat16, float32, float64"


def written(path, state):
    save_file(state, path)
    return path


def refusal(path):
    with pytest.raises(PrunecalError) as caught:
        weights_file.check(path, "checkpoint F")
    text = str(caught.value)
    assert text.startswith("checkpoint F: ")
    assert text.isprintable()
    return text.removeprefix("checkpoint F: ")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_that_can_be_measured(tmp_path, dtype):
    path = written(tmp_path / "net", {name: tensor.to(dtype) for name, tensor in LINEAR.items()})
    found = weights_file.check(path, "F")
    assert {name: tensor.shape for name, tensor in found.items()} == {"weight": (2, 3), "bias": (2,)}
    assert {weights_file.FLOATS[tensor.dtype][0] for tensor in found.values()} == {
        str(dtype).removeprefix("torch.")
    }


def test_what_networks_hold_besides_weights(tmp_path):
    besides = {
        "bn.num_batches_tracked": torch.tensor(3),
        "position_ids": torch.arange(4),
        "mask": torch.ones(2, dtype=torch.bool),
        "table": torch.ones(2, dtype=torch.uint8),
    }
    assert weights_file.check(written(tmp_path / "net", LINEAR | besides), "F").keys() == {
        *LINEAR,
        *besides,
    }


def test_metadata_is_passed_over(tmp_path):
    save_file(LINEAR, tmp_path / "net", metadata={"format": "pt"})
    assert weights_file.check(tmp_path / "net", "F").keys() == LINEAR.keys()


@pytest.mark.parametrize(
    ("dtype", "called"),
    [
        (torch.int8, "int8"),
        (torch.uint8, "uint8"),
        (torch.int32, "int32"),
        (torch.int64, "int64"),
        (torch.bool, "bool"),
        (torch.float8_e4m3fn, "F8_E4M3"),
        (torch.float8_e5m2, "F8_E5M2"),
    ],
)
@pytest.mark.parametrize("name", ["conv1.weight", "bias", "bn.running_var"])
def test_weights_that_are_no_real_numbers(tmp_path, dtype, called, name):
    path = written(tmp_path / "net", LINEAR | {name: torch.ones(2).to(dtype)})
    assert refusal(path).startswith(f"its {name} is {called}, {WANTED}: quantised weights mean nothing ")


def test_a_file_without_weights(tmp_path):
    path = written(tmp_path / "net", {"epoch": torch.tensor(3)})
    assert refusal(path) == "holds no weights; name a file of a network's state_dict()"


def test_files_of_pytorch(tmp_path):
    torch.save(LINEAR, tmp_path / "net.pth")
    torch.save(LINEAR, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    way = "which can run code when it is loaded, and no safetensors file; load it as you always do, and keep "
    assert refusal(tmp_path / "net.pth").startswith(f"is a PyTorch file (.pt, .pth), {way}")
    assert refusal(tmp_path / "old.pt").startswith(f"is a pickle, {way}")
    assert "safetensors.torch.save_file(network.state_dict(), " in refusal(tmp_path / "net.pth")


def test_a_pickle_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    (tmp_path / "net.safetensors").write_bytes(pickle.dumps(Trap()))
    assert refusal(tmp_path / "net.safetensors").startswith("is a pickle, ")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; name a safetensors file"),
        (
            b"\x89HDF\r\n\x1a\n" + bytes(600),
            "is an HDF5 file and no safetensors file; load it as you always do",
        ),
        (b"GGUF\3\0\0\0" + bytes(600), "is a GGUF file and no safetensors file; "),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
            "is a Git LFS pointer, not the file that it stands for; fetch that with `git lfs pull`",
        ),
        (b"<!DOCTYPE html><html>", "is a web page and no safetensors file; "),
        (b"short", "is no readable safetensors file: "),
        (b"\xff" * 40, "is no readable safetensors file: "),
        (b"\2\0\0\0\0\0\0\0[]", "is no readable safetensors file: "),
        (b"\2\0\0\0\0\0\0\0{}", "holds no weights"),
        (b"\xa0\x86\1\0\0\0\0\0" + b"[" * 100_000, "is no readable safetensors file: "),
    ],
)
def test_other_files(tmp_path, content, says):
    (tmp_path / "net").write_bytes(content)
    assert refusal(tmp_path / "net").startswith(says)


def test_a_file_that_was_cut_short(tmp_path):
    path = written(tmp_path / "net", LINEAR)
    path.write_bytes(path.read_bytes()[:-10])
    assert refusal(path).startswith(
        "is no readable safetensors file: it should have 32 bytes of tensors and has 22, so the copy "
    )


def test_places_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(tmp_path / "nowhere") == "is not there; name a safetensors file"
    assert refusal(tmp_path) == "is a folder; name a safetensors file"
    assert refusal(tmp_path / "pipe") == "is neither a file nor a folder; name a safetensors file"
    assert refusal(tmp_path / "loop") == "Too many levels of symbolic links"


def test_a_name_out_of_a_file_stays_one_line(tmp_path):
    entry = {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}
    header = json.dumps({"\x1b[2J\n" + "x" * 500 + ".weight": entry}).encode()
    (tmp_path / "net").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    assert len(refusal(tmp_path / "net")) < 400


def complaint(path):
    try:
        weights_file.check(path, "F")
    except PrunecalError as error:
        return str(error)
    return ""


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_file_is_anything_but_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "mutated"
    content = bytearray(save(LINEAR))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), 100, 9, 8, 3]))])
    assert re.fullmatch("F: .+|", complaint(path))


def test_no_torch_is_needed():
    assert "torch" not in vars(sys.modules["pytest_prunecal.study.weights_file"])
