"""What git leaves in place of a file is named."""

import io
import zipfile

import pytest

from pytest_prunecal.baseline import images
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import yaml_reader
from pytest_prunecal.study.known_cause import known_cause

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"
MERGE = b"cells:\n<<<<<<< HEAD\n  dense: {ece: 0.1}\n=======\n  dense: {ece: 0.2}\n>>>>>>> other\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (POINTER, "is a Git LFS pointer, not the file that it stands for; fetch that with `git lfs pull`"),
        (MERGE, "holds both sides of a merge (`<<<<<<<` in line 2); resolve it"),
        (MERGE.replace(b"\n", b"\r\n"), "(`<<<<<<<` in line 2)"),
        (MERGE.replace(b" HEAD", b""), "(`<<<<<<<` in line 2)"),
    ],
)
def test_what_git_left_is_named_with_the_way_out(tmp_path, content, says):
    assert says in known_cause(content)
    (tmp_path / "f.yaml").write_bytes(content)
    with pytest.raises(PrunecalError) as error:
        yaml_reader.read(tmp_path / "f.yaml", "f.yaml")
    assert str(error.value).startswith("f.yaml: ")
    assert says in str(error.value)
    with pytest.raises(PrunecalError) as error:
        images.load(content, "f.zip")
    assert says in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a: 1\n",
        b"note: |\n  <<<<<<< HEAD\n  >>>>>>> x\n",
        b"# version https://git-lfs.github.com/spec/v1\n",
        b"<<<<<<<< a\n>>>>>>> b\n",
        b"a\n=======\nb\n",
    ],
)
def test_other_files_are_left_alone(content):
    assert known_cause(content) == ""


def test_an_archive_is_left_alone():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.json", "{}")
    assert known_cause(buffer.getvalue()) == ""
