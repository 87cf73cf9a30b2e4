"""Which modules some code reaches: nothing may be missed that could change a number."""

import sys
import textwrap

import pytest

from pytest_prunecal.store import imports
from pytest_prunecal.store.imports import Module, locate, reached, reached_within


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write modules into a folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return tmp_path

    return write


def names(start):
    return {module.name for module in reached([locate(start)]).modules}


def test_helpers_any_number_of_imports_away(tree):
    tree(
        {
            "zoo/__init__.py": "",
            "zoo/nets.py": "import zoo.blocks\n",
            "zoo/blocks.py": "from zoo import layers\n",
            "zoo/layers.py": "from zoo.deep.er import thing\n",
            "zoo/deep/__init__.py": "",
            "zoo/deep/er.py": "thing = 1\n",
            "zoo/unrelated.py": "",
        }
    )
    assert names("zoo.nets") == {"zoo", "zoo.nets", "zoo.blocks", "zoo.layers", "zoo.deep", "zoo.deep.er"}


def test_relative_imports_of_modules_and_packages(tree):
    tree(
        {
            "zoo/__init__.py": "from .nets import vgg\n",
            "zoo/nets/__init__.py": "from . import vgg\nfrom .. import blocks\n",
            "zoo/nets/vgg.py": "from ..blocks.conv import conv\nfrom .heads import *\n",
            "zoo/nets/heads.py": "",
            "zoo/blocks/__init__.py": "",
            "zoo/blocks/conv.py": "def conv(): ...\n",
            "zoo/blocks/other.py": "",
        }
    )
    expected = {"zoo", "zoo.nets", "zoo.nets.vgg", "zoo.nets.heads", "zoo.blocks", "zoo.blocks.conv"}
    assert names("zoo.nets.vgg") == names("zoo") == expected


def test_what_a_package_does_when_it_is_imported(tree):
    tree({"zoo/__init__.py": "import tuning\n", "zoo/nets.py": "", "tuning.py": ""})
    assert names("zoo.nets") == {"zoo", "zoo.nets", "tuning"}


@pytest.mark.parametrize(
    "text",
    [
        "def build():\n    import helper\n",
        "try:\n    import helper\nexcept ImportError:\n    helper = None\n",
        "import os, helper as h\n",
        "import importlib\nhelper = importlib.import_module('helper')\n",
        "from importlib import import_module\nhelper = import_module('helper')\n",
        "helper = __import__('helper')\n",
        "async def build():\n    from helper import thing\n",
    ],
)
def test_wherever_an_import_stands(tree, text):
    tree({"net_of_mine.py": text, "helper.py": "thing = 1\n"})
    assert names("net_of_mine") == {"net_of_mine", "helper"}


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helper\n", False),
        ("import typing\nif typing.TYPE_CHECKING:\n    from helper import thing\n", False),
        ("import typing as t\nif t.TYPE_CHECKING:\n    if True:\n        import helper\n", False),
        ("def build():\n    if TYPE_CHECKING:\n        import helper\n", False),
        ("if TYPE_CHECKING:\n    helper = __import__('helper')\n", False),
        ("if TYPE_CHECKING:\n    import os\nelse:\n    import helper\n", True),
        ("if TYPE_CHECKING:\n    import os\nelif build():\n    import helper\n", True),
        ("if not TYPE_CHECKING:\n    import helper\n", True),
        ("if TYPE_CHECKING:\n    import helper\nimport helper\n", True),
        ("if CHECKING:\n    import helper\n", True),
    ],
)
def test_what_only_type_checkers_read_is_not_reached(tree, text, reaches):
    tree({"net_of_mine.py": text, "helper.py": "thing = 1\n"})
    assert names("net_of_mine") == ({"net_of_mine", "helper"} if reaches else {"net_of_mine"})


def test_a_relative_name_in_a_call(tree):
    tree(
        {
            "zoo/__init__.py": "",
            "zoo/nets.py": "import importlib\nimportlib.import_module('.blocks', __package__)\n",
            "zoo/blocks.py": "",
        }
    )
    assert names("zoo.nets") == {"zoo", "zoo.nets", "zoo.blocks"}


@pytest.mark.parametrize(
    "call",
    [
        "importlib.import_module(f'zoo.{name}')",
        "__import__('zoo.' + name)",
        "[found.name for found in pkgutil.iter_modules(__path__)]",
        "importlib.util.spec_from_file_location(name, path)",
    ],
)
def test_computed_names_reach_the_whole_package(tree, call):
    tree(
        {
            "zoo/__init__.py": f"def build(name, path):\n    return {call}\n",
            "zoo/nets/vgg.py": "import elsewhere\n",
            "zoo/.hidden/old.py": "",
            "elsewhere.py": "",
            "unrelated.py": "",
        }
    )
    assert names("zoo") == {"zoo", "zoo.nets.vgg", "elsewhere"}


def test_computed_names_in_a_bare_module_reach_all_beside_it(tree):
    tree({"net_of_mine.py": "build = __import__(name)\n", "a.py": "", "b/c.py": ""})
    assert names("net_of_mine") == {"net_of_mine", "a", "b.c"}


def test_a_deep_package_is_searched_from_its_outermost(tree):
    tree(
        {
            "zoo/__init__.py": "",
            "zoo/nets/__init__.py": "",
            "zoo/nets/vgg.py": "__import__(name)\n",
            "zoo/blocks.py": "",
        }
    )
    assert names("zoo.nets.vgg") == {"zoo", "zoo.nets", "zoo.nets.vgg", "zoo.blocks"}


def test_circles_namespace_packages_and_broken_files(tree):
    tree({"space/a.py": "import space.b\n", "space/b.py": "import space.a\nimport space.c\n"})
    tree({"space/c.py": "this is no python(\n"})
    assert names("space.a") == {"space.a", "space.b", "space.c"}


def test_compiled_modules_count_and_are_not_read(tree):
    folder = tree({"net_of_mine.py": "import fast\n"})
    suffix = next(suffix for suffix in __import__("importlib.machinery").machinery.EXTENSION_SUFFIXES)
    (folder / f"fast{suffix}").write_bytes(b"\x7fELF import other")
    assert names("net_of_mine") == {"net_of_mine", "fast"}


def test_installed_packages_are_named_and_not_followed(tree):
    tree({"net_of_mine.py": "import torch.nn, json, numpy\nfrom pytest_prunecal.lab.models import groups\n"})
    found = reached([locate("net_of_mine")])
    assert {module.name for module in found.modules} == {"net_of_mine"}
    assert {module.name for module in found.others} == {"torch", "numpy", "pytest_prunecal"}


def test_nothing_is_imported(tree):
    tree({"zoo/__init__.py": "1 / 0\n", "zoo/nets.py": "import zoo.blocks\n", "zoo/blocks.py": "1 / 0\n"})
    assert names("zoo.nets") == {"zoo", "zoo.nets", "zoo.blocks"}
    assert not any(name.partition(".")[0] == "zoo" for name in sys.modules)


def test_what_is_not_there(tree):
    tree({"net_of_mine.py": "import nowhere.at.all\nfrom . import beside\n"})
    assert locate("nowhere") is locate("nowhere.at.all") is locate("sys") is None
    assert names("net_of_mine") == {"net_of_mine"}


def test_a_loaded_module_is_where_it_was_loaded_from(tree, tmp_path, monkeypatch):
    tree({"net_of_mine.py": ""})
    loaded = type(sys)("net_of_mine")
    loaded.__file__ = str(tmp_path / "elsewhere.py")
    monkeypatch.setitem(sys.modules, "net_of_mine", loaded)
    assert locate("net_of_mine") == Module("net_of_mine", tmp_path / "elsewhere.py")


def test_a_bound_on_what_is_read(tree, monkeypatch):
    tree(
        {
            "net_of_mine.py": "import beside, zoo\n",
            "beside.py": "",
            "zoo/__init__.py": "import zoo.a\nimport b\n",
        }
    )
    folder = tree({"zoo/a.py": "", "b.py": "import c\n", "c.py": ""})
    everything = reached([locate("net_of_mine")])
    assert len(everything.modules) == 6
    assert everything.unread == set()
    monkeypatch.setattr(imports, "MOST_FILES", 3)
    found = reached([locate("net_of_mine")])
    assert {module.name for module in found.modules} == {"net_of_mine", "beside", "zoo"}  # the nearest
    assert found.unread == {folder / "zoo", folder / "b.py"}
    assert reached([locate("net_of_mine")]) == found


def test_a_bound_on_bytes(tree, monkeypatch):
    folder = tree(
        {"net_of_mine.py": "import zoo\n", "zoo/__init__.py": "# long\nimport zoo.a\n", "zoo/a.py": ""}
    )
    monkeypatch.setattr(imports, "MOST_BYTES", 12)
    assert reached([locate("net_of_mine")]).unread == {folder / "zoo"}


def test_within_a_package_what_its_files_run(tree):
    folder = tree(
        {
            "zoo/__init__.py": "from zoo import names\n",
            "zoo/names.py": "",
            "zoo/train/__init__.py": "from . import steps\n",
            "zoo/train/steps.py": "import torch, net_of_mine\nfrom ..nets import vgg\n",
            "zoo/train/loop.py": """
                from typing import TYPE_CHECKING
                from zoo.train import sgd
                if TYPE_CHECKING:
                    from zoo.nets import typed
                def step(name):
                    from zoo.nets.late import late
                    return __import__(name)
                """,
            "zoo/train/sgd.py": "import zoo.train.loop\n",
            "zoo/train/unused.py": "",
            "zoo/nets/__init__.py": "",
            "zoo/nets/vgg.py": "",
            "zoo/nets/late.py": "late = 1\n",
            "zoo/nets/typed.py": "",
            "zoom/sgd.py": "",
            "net_of_mine.py": "import zoo.nets.typed\n",
        }
    )
    found = reached_within(folder / "zoo", [folder / "zoo/train/loop.py"])
    assert {path.relative_to(folder / "zoo").as_posix() for path in found} == {
        *("train/__init__.py", "train/loop.py", "train/sgd.py", "train/steps.py"),
        *("nets/__init__.py", "nets/vgg.py", "nets/late.py"),
    }
    assert not any(name.partition(".")[0] == "zoo" for name in sys.modules)
