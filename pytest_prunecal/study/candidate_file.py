"""What kind of file a candidate is, told from its content without loading it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import file_kind, onnx_file, torch_archive, weights_file
from pytest_prunecal.study.file_kind import CONFLICT
from pytest_prunecal.study.known_cause import LFS
from pytest_prunecal.study.paths import found, reason

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_prunecal.study.candidate import Candidate

ONNX, WEIGHTS, EXPORTED, SCRIPT = "an ONNX file", "a file of weights", "an exported program", "TorchScript"
"""Kinds that can be measured."""

FORMS = "give an ONNX file, a safetensors file, a .pt2 of torch.export or what builds the network"
_HEAD = 4096
_WAYS = (
    "export the network to ONNX, or keep its weights with safetensors.torch.save_file(network.state_dict(), "
    "'net.safetensors')"
)
_OTHERS = {
    b"ORTM": "an ONNX Runtime file (.ort); give the .onnx file that it was made of",
    b"TFL3": "a TensorFlow Lite file; convert it to ONNX, for instance with tf2onnx",
}
_REFUSED = {
    torch_archive.WEIGHTS: (
        "is a PyTorch file (.pt, .pth) of weights, which can run code when it is loaded; load it as you "
        "always do, and keep it with safetensors.torch.save_file(network.state_dict(), 'net.safetensors')"
    ),
    torch_archive.PICKLED: (
        "is a pickled module or object, and loading it runs whatever code it names: it is never loaded; "
        f"{_WAYS}"
    ),
    torch_archive.OLD_EXPORTED: (
        "is an exported program as PyTorch before 2.8 wrote it; export it again with a later one, or to ONNX"
    ),
    torch_archive.COMPILED: (
        "is a package with compiled code, which would run here: it is never loaded; save the program before "
        "it is compiled with torch.export.save, or export the network to ONNX"
    ),
}


def check(candidate: Candidate, *, registered: bool) -> None:
    """Refuse a candidate that could not be measured, as far as its file's content and what is installed tell.

    Args:
        candidate: a file or a builder.
        registered: whether something builds its model's networks.

    Raises:
        PrunecalError: in one sentence, with the way out.
    """
    path, what = candidate.path, candidate.shown
    if path is None:
        return  # what builds it is called where torch is
    kind = kind_of(path, what)
    if kind == ONNX:
        missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
        if missing:
            raise PrunecalError(
                f"{what}: is {ONNX}, which takes {missing[0]}; pip install 'pytest-prunecal[onnx]'"
            )
        onnx_file.parts(path, what)
    elif kind == WEIGHTS:
        if not registered:
            raise PrunecalError(
                f"{what}: is {WEIGHTS}, and nothing builds networks of {candidate.model!r}; register the "
                "model with the hook pytest_prunecal_models, or export the network to ONNX"
            )
        weights_file.check(path, what)
    elif kind == SCRIPT and not candidate.trusted:
        raise PrunecalError(
            f"{what}: is {SCRIPT}, which can run code when it is loaded; if you trust who made it, add "
            f"--prunecal-trust={path}, else export the network to ONNX"
        )


def kind_of(path: Path, what: str) -> str:
    """One of the kinds that can be measured.

    Args:
        path: the file.
        what: how messages call it.

    Raises:
        PrunecalError: it cannot be read, or is none of them.
    """
    there = found(path, what)
    if there != "a file":
        raise PrunecalError(f"{what}: {f'is {there}' if there else 'is not there'}; {FORMS}")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
        return _told(path, head, size, what)
    except OSError as error:
        raise PrunecalError(f"{what}: cannot be read: {reason(error)}") from None


def _told(path: Path, head: bytes, size: int, what: str) -> str:
    if not size:
        raise PrunecalError(f"{what}: is empty; {FORMS}")
    if head.startswith(b"PK\x03\x04"):
        return _of_archive(path, what)
    if _is_weights(head, size):
        return WEIGHTS
    kind = file_kind.kind_of(head)
    if kind in (LFS, CONFLICT):
        raise PrunecalError(f"{what}: is {kind}")
    if kind == "a pickle":
        raise PrunecalError(
            f"{what}: is a pickle (an old PyTorch file is one, too), and loading it runs whatever code it "
            f"names: it is never loaded; {_WAYS}"
        )
    kind = kind or _OTHERS.get(head[4:8], "")
    if kind:
        raise PrunecalError(f"{what}: is {kind}" if ";" in kind else f"{what}: is {kind}; {FORMS}")
    if onnx_file.is_onnx(path):
        return ONNX
    if path.suffix in (".onnx", ".safetensors"):
        raise PrunecalError(
            f"{what}: is no readable {path.suffix} file: its content is broken or cut short; make or copy it "
            "again"
        )
    is_text = b"\0" not in head and head.isascii()
    raise PrunecalError(f"{what}: is {'a text' if is_text else 'of no kind that is known here'}; {FORMS}")


def _of_archive(path: Path, what: str) -> str:
    kind = torch_archive.kind_of(path)
    if kind == torch_archive.EXPORTED:
        return EXPORTED
    if kind == torch_archive.SCRIPT:
        return SCRIPT
    raise PrunecalError(f"{what}: {_REFUSED.get(kind, f'is a zip archive of no network; {FORMS}')}")


def _is_weights(head: bytes, size: int) -> bool:
    """Whether a file begins as a safetensors file does; one that is cut short or broken is one, too."""
    length = int.from_bytes(head[:8], "little")
    return size > 8 and length >= 2 and head[8:9] == b"{" and length < 1 << 40
