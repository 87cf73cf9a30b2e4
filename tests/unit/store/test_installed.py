"""Whose a file is: installed code, of whatever layer of an environment, is not the user's own."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from pytest_prunecal.store.imports import locate, reached
from pytest_prunecal.store.installed import is_first_party, version_of
from pytest_prunecal.store.sources import Sources


def wheel_of(name, version, files):
    """The files of a wheel, with a list of them."""
    info = f"{name}-{version}.dist-info"
    listed = [f"{file},sha256={abs(hash(text))},{len(text)}" for file, text in files.items()]
    return files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "\n".join([*listed, f"{info}/METADATA,,", f"{info}/WHEEL,,", f"{info}/RECORD,,"])
        + "\n",
    }


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_whose_a_file_is(tmp_path):
    assert is_first_party(tmp_path / "net.py")
    assert is_first_party(locate(__name__).path if locate(__name__) else tmp_path)
    for name in ("json", "torch", "pytest_prunecal.store.imports"):
        assert not is_first_party(locate(name).path)


@pytest.mark.parametrize(
    "folder",
    [
        "other/lib/python3.11/site-packages",
        ".venv/lib/python3.11/site-packages",
        "conda/envs/a/lib/python3.12/site-packages",
        "Lib/site-packages",
        "usr/lib/python3/dist-packages",
        "__pypackages__/site-packages/vendored",
    ],
)
def test_below_an_installers_folder(tmp_path, folder):
    write(tmp_path, {f"{folder}/zoo/nets.py": "", f"{folder}/bare.py": "", "site-packages.py": ""})
    assert not is_first_party(tmp_path / folder / "zoo/nets.py")
    assert not is_first_party(tmp_path / folder / "bare.py")
    assert is_first_party(tmp_path / "site-packages.py")


def test_what_lies_beside_installed_packages(tmp_path):
    libs = write(
        tmp_path, wheel_of("zoo", "1.0", {"zoo/nets.py": "", "bare.py": "", "space/a.py": "", '"a,b.py"': ""})
    )
    write(
        libs,
        {"mine.py": "", "space/mine.py": "", "my_zoo/zoo/nets.py": "", "zoo/nets.py.py": "", "a,b.py": ""},
    )
    for name in ("zoo/nets.py", "bare.py", "space/a.py", "a,b.py"):
        assert not is_first_party(libs / name)
    for name in ("mine.py", "space/mine.py", "my_zoo/zoo/nets.py", "zoo/nets.py.py"):
        assert is_first_party(libs / name)


def test_a_package_that_comes_later(tmp_path):
    libs = write(tmp_path, {"zoo/nets.py": ""})
    assert is_first_party(libs / "zoo/nets.py")
    write(libs, wheel_of("zoo", "1.0", {"zoo/nets.py": ""}))
    os.utime(libs, (0, 0))
    assert not is_first_party(libs / "zoo/nets.py")


def test_no_list_of_files(tmp_path):
    files = wheel_of("my-zoo", "1.0", {"zoo/nets.py": ""})
    record = next(name for name in files if name.endswith("RECORD"))
    top = record.replace("RECORD", "top_level.txt")
    libs = write(tmp_path, {**files, record: "", top: "zoo\n", "mine.py": ""})
    assert is_first_party(libs / "zoo/nets.py")  # as `setup.py develop` leaves it beside the sources
    write(libs, {record.replace("RECORD", "INSTALLER"): "pip\n"})
    os.utime(libs, (0, 0))
    assert not is_first_party(libs / "zoo/nets.py")
    assert is_first_party(libs / "mine.py")
    assert version_of(libs / "zoo/nets.py") == "my-zoo 1.0"


def test_an_editable_install_is_the_users_own(tmp_path):
    source = write(tmp_path / "src", {"zoo/nets.py": ""})
    write(
        source, {"zoo.egg-info/PKG-INFO": "Name: zoo\nVersion: 1.0\n", "zoo.egg-info/top_level.txt": "zoo\n"}
    )
    site = write(tmp_path / "site-packages", wheel_of("zoo", "1.0", {"_zoo.pth": str(source)}))
    assert is_first_party(source / "zoo/nets.py")
    assert not is_first_party(site / "_zoo.pth")


def test_links(tmp_path):
    site = write(tmp_path / "site-packages", wheel_of("zoo", "1.0", {"zoo/nets.py": ""}))
    layer, cached = tmp_path / "layer", tmp_path / "cached"
    layer.mkdir()
    (layer / "zoo").symlink_to(site / "zoo")  # of a folder that says nothing
    (layer / "mine").symlink_to(write(tmp_path / "mine", {"nets.py": ""}))
    write(cached, {"nets.py": ""})
    (site / "linked.py").symlink_to(cached / "nets.py")  # as installers do that keep one copy for all
    assert not is_first_party(layer / "zoo/nets.py")
    assert not is_first_party(site / "linked.py")
    assert is_first_party(layer / "mine/nets.py")
    assert version_of(layer / "zoo/nets.py").startswith("zoo 1.0 ")


def test_zip_files(tmp_path, monkeypatch):
    for name, files in {
        "libs.zip": wheel_of("zoo", "1.0", {"zoo.py": ""}),
        "mine.zip": {"my_zipped.py": "import zoo, beside"},
    }.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
        monkeypatch.syspath_prepend(tmp_path / name)
    write(tmp_path, {"beside.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    found = reached([locate("my_zipped")])
    assert {module.name for module in found.modules} == {"my_zipped", "beside"}
    assert {module.name for module in found.others} == {"zoo"}
    before = Sources().of_code("my_zipped:net")
    with zipfile.ZipFile(tmp_path / "mine.zip", "a") as archive:
        archive.writestr("more.py", "")
    assert Sources().of_code("my_zipped:net") != before


@pytest.mark.parametrize("damaged", ["METADATA", "RECORD"])
def test_damaged_metadata_say_nothing(tmp_path, damaged):
    libs = write(tmp_path, wheel_of("zoo", "1.0", {"zoo/nets.py": ""}))
    (libs / f"zoo-1.0.dist-info/{damaged}").write_bytes(b"\xff\0\n,,,")
    assert isinstance(is_first_party(libs / "zoo/nets.py"), bool)
    assert isinstance(version_of(libs / "zoo/nets.py"), str)


def test_the_version_is_that_of_the_folder_it_is_imported_from(tmp_path):
    older = write(tmp_path / "older", wheel_of("zoo", "1.0", {"zoo/nets.py": ""}))
    newer = write(tmp_path / "newer", wheel_of("zoo", "2.0", {"zoo/nets.py": ""}))
    assert version_of(older / "zoo/nets.py").startswith("zoo 1.0 ")
    assert version_of(newer / "zoo/nets.py").startswith("zoo 2.0 ")
    assert version_of(tmp_path / "zoo/nets.py") == ""


def test_two_builds_of_a_version_differ_and_two_installs_of_a_build_do_not(tmp_path):
    places = {}
    for name, text in {"one": "1", "again": "1", "edited": "2"}.items():
        places[name] = write(tmp_path / name, wheel_of("zoo", "1.0", {"zoo/nets.py": text}))
    record = places["again"] / "zoo-1.0.dist-info/RECORD"
    more = "../../bin/zoo,sha256=1,1\nzoo/nets.pyc,,\nzoo-1.0.dist-info/INSTALLER,sha256=2,4\n"
    record.write_text(more + record.read_text())
    said = {name: version_of(place / "zoo/nets.py") for name, place in places.items()}
    assert said["one"] == said["again"] != said["edited"]


def test_the_version_of_an_installed_package_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(
        tmp_path,
        {"my_nets_seven.py": "import zoo_seven\n"} | wheel_of("zoo_seven", "1.0", {"zoo_seven.py": ""}),
    )
    before = Sources().of_code("my_nets_seven:net")
    assert Sources().of_code("my_nets_seven:net") == before
    (tmp_path / "zoo_seven-1.0.dist-info/METADATA").write_text("Name: zoo_seven\nVersion: 1.1\n")
    os.utime(tmp_path, (0, 0))
    assert Sources().of_code("my_nets_seven:net") != before


def test_size_and_date_count_where_there_is_no_version(tmp_path, monkeypatch):
    site = write(tmp_path / "site-packages", {"zoo_eight/__init__.py": "", "zoo_eight/fast.so": "1"})
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(write(tmp_path / "own", {"my_nets_eight.py": "import zoo_eight\n"}))
    sources = Sources()
    before = sources.of_code("my_nets_eight:net")
    assert Sources().of_code("my_nets_eight:net") == before
    (site / "zoo_eight/fast.so").write_text("22")
    assert Sources().of_code("my_nets_eight:net") != before
    assert sources.edited() == site / "zoo_eight/fast.so"
    assert sources.warnings() == []


def test_pip_install_target(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    wheel = tmp_path / "zoo_nine-1.0-py3-none-any.whl"
    files = wheel_of(
        "zoo_nine", "1.0", {"zoo_nine/__init__.py": "import zoo_nine.nets\n", "zoo_nine/nets.py": ""}
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, "" if name.endswith("RECORD") else text)
    libs = tmp_path / "libs"
    options = ["--no-index", "--no-deps", "--disable-pip-version-check", "--target", str(libs)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *options, str(wheel)], check=True)
    write(libs, {"my_nets_nine.py": "import zoo_nine\n"})
    monkeypatch.syspath_prepend(libs)
    found = reached([locate("my_nets_nine")])
    assert {module.name for module in found.modules} == {"my_nets_nine"}
    assert {module.name for module in found.others} == {"zoo_nine"}
    assert version_of(libs / "zoo_nine/nets.py").startswith("zoo_nine 1.0")


LAYERED = """\
import sys
from pytest_prunecal.store.imports import locate, reached
found = reached([locate("my_nets_ten")])
print(sorted(module.name for module in found.modules), sorted(module.name for module in found.others))
"""


@pytest.mark.parametrize("linked", [False, True])
def test_another_environment_sees_torch_through_a_path(tmp_path, linked):
    venv.create(tmp_path / "layer", with_pip=False)
    python = tmp_path / "layer" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    torch = locate("torch").path.parents[1]
    if linked:
        (tmp_path / "libs").mkdir()
        for path in torch.iterdir():
            (tmp_path / "libs" / path.name).symlink_to(path)
        torch = tmp_path / "libs"
    own = write(tmp_path / "own", {"my_nets_ten.py": "import torch.nn, numpy\n"})
    package = Path(locate("pytest_prunecal").path).parents[1]
    path = os.pathsep.join(map(str, (own, package, torch)))
    result = subprocess.run(
        [python, "-c", LAYERED],
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=True,
    )
    assert result.stdout == "['my_nets_ten'] ['numpy', 'torch']\n"
