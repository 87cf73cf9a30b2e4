"""What stored artefacts were made by, and what a text of the user's names."""

import functools
import operator
import sys

import pytest

from pytest_prunecal import sources
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.resolve import resolve
from pytest_prunecal.sources import module_digest, package_digest


def imported(tmp_path, monkeypatch, name, text):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_package_digests_follow_the_sources(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.py").write_text("1")
    (tmp_path / "models" / "notes.txt").write_text("1")
    (tmp_path / "training.py").write_text("2")
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path)

    def digest(*parts):
        package_digest.cache_clear()
        return package_digest(*parts)

    first = digest("models", "training.py")
    assert digest("training.py", "models") == first
    (tmp_path / "models" / "notes.txt").write_text("2")
    assert digest("models", "training.py") == first
    (tmp_path / "models" / "a.py").write_text("3")
    assert digest("models", "training.py") != first
    (tmp_path / "models" / "a.py").rename(tmp_path / "models" / "b.py")
    assert len({digest("models"), digest("training.py"), digest("models", "training.py"), first}) == 4
    package_digest.cache_clear()


def test_this_package_can_be_digested():
    assert package_digest("models") != package_digest("training.py") != package_digest("datasets")


def test_module_digests_follow_the_file(tmp_path, monkeypatch):
    name = imported(
        tmp_path, monkeypatch, "my_nets_one", "def net(width): ...\nclass Net: ...\nnets = [lambda: None]\n"
    )
    module = __import__(name)
    digests = {module_digest(thing) for thing in (module.net, module.Net, module.Net(), module.nets[0])}
    assert len(digests) == 1
    assert digests != {module_digest(pytest.raises)}


def test_partial_functions_are_their_function_and_arguments():
    def net(width, head):
        return width, head

    half, other = functools.partial(net, 0.5), functools.partial(net, 0.25)
    assert module_digest(half) == module_digest(functools.partial(net, 0.5)) != module_digest(other)
    assert module_digest(half) not in (module_digest(net), module_digest(functools.partial(resolve, 0.5)))
    by_name = [functools.partial(net, width=1, head=2), functools.partial(net, head=2, width=1)]
    assert module_digest(by_name[0]) == module_digest(by_name[1])
    assert module_digest(by_name[0]) != module_digest(functools.partial(net, width=1, head=3))
    # Of every process the same: no addresses.
    assert module_digest(functools.partial(net, object())) == module_digest(functools.partial(net, object()))


def test_built_in_things_are_made_by_no_file():
    assert module_digest(len) == module_digest(dict)
    assert isinstance(module_digest(operator.itemgetter(1)), str)


def test_what_a_text_names(tmp_path, monkeypatch):
    name = imported(tmp_path, monkeypatch, "my_nets_two", "def net(): ...\n")
    assert resolve(f"{name}:net", "model 'x'").__name__ == "net"
    assert resolve(len, "model 'x'") is len


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("no_such_module_here:net", "module 'no_such_module_here' cannot be imported: No module named"),
        ("math:nothing", "module 'math' has no 'nothing'"),
        ("math", "'math' names nothing to import"),
        ("math:", "'math:' names nothing to import"),
        (":net", "':net' names nothing to import"),
        (".here:net", "'.here:net' names nothing to import"),
        ("", "'' names nothing to import"),
    ],
)
def test_what_cannot_be_resolved(entry, says):
    with pytest.raises(PrunecalError, match=f"^model 'x': {says}"):
        resolve(entry, "model 'x'")
