"""What stored artefacts were made by, and what a text of the user's names."""

import functools
import operator
from types import ModuleType

import pytest

from pytest_prunecal import errors
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab import corruptions, datasets
from pytest_prunecal.lab.resolve import resolve
from pytest_prunecal.store import imports, sources
from pytest_prunecal.store.sources import Sources, package_digest


def imported(tmp_path, monkeypatch, name, text):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_package_digests_follow_the_sources(tmp_path, monkeypatch):
    models, training = ModuleType("models"), ModuleType("training")
    models.__file__, training.__file__ = str(tmp_path / "models/__init__.py"), str(tmp_path / "training.py")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "models" / "a.py").write_text("1")
    (tmp_path / "models" / "notes.txt").write_text("1")
    (tmp_path / "training.py").write_text("2")
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path)

    def digest(*parts):
        package_digest.cache_clear()
        return package_digest(*parts)

    first = digest(models, training)
    assert digest(training, models) == first
    (tmp_path / "models" / "notes.txt").write_text("2")
    assert digest(models, training) == first
    (tmp_path / "models" / "a.py").write_text("3")
    assert digest(models, training) != first
    (tmp_path / "models" / "a.py").rename(tmp_path / "models" / "b.py")
    assert len({digest(models), digest(training), digest(models, training), first}) == 4
    (tmp_path / "training.py").rename(tmp_path / "trainin.py")
    with pytest.raises(FileNotFoundError, match=r"training: there is no .*training\.py"):
        digest(models, training)
    package_digest.cache_clear()


def test_this_package_can_be_digested():
    assert package_digest(corruptions) != package_digest(errors) != package_digest(datasets)


def code(thing, *registrars):
    return Sources().of_code(thing, registrars)


def test_code_follows_the_files_that_it_reaches(tmp_path, monkeypatch):
    helper = tmp_path / "my_helper_one.py"
    helper.write_text("depth = 19\n")
    name = imported(tmp_path, monkeypatch, "my_nets_one", "import my_helper_one\ndef net(width): ...\n")
    before = code(f"{name}:net")
    assert code(f"{name}:net") == before
    assert code(f"{name}:other") != before
    helper.write_text("depth = 20 \n")
    assert code(f"{name}:net") != before


def test_text_and_object_are_followed_alike(tmp_path, monkeypatch):
    name = imported(
        tmp_path, monkeypatch, "my_nets_two", "def net(width): ...\nclass Net: ...\nmine = Net()\n"
    )
    module = pytest.importorskip(name)
    before = {thing: code(thing) for thing in (f"{name}:net", module.net, module.Net, module.mine)}
    (tmp_path / f"{name}.py").write_text("def net(depth): ...\nclass Net: ...\nmine = Net()\n")
    assert all(code(thing) != digest for thing, digest in before.items())


def test_the_state_of_an_object_comes_from_where_it_was_registered(tmp_path, monkeypatch):
    name = imported(
        tmp_path,
        monkeypatch,
        "my_nets_three",
        "def net(): ...\ndef make(depth):\n    def net(): return depth\n    return net\n",
    )
    module = pytest.importorskip(name)
    conftest = tmp_path / "conftest.py"
    registrar = ("conftest", conftest)
    digests = {}
    for text in ("depth = 19\n", "depth = 110\n"):
        conftest.write_text(text)
        things = {
            "plain": module.net,
            "text": f"{name}:net",
            "closure": module.make(19),
            "lambda": lambda: 19,
            "partial": functools.partial(module.net),
            "instance": operator.itemgetter(1),
        }
        for kind, thing in things.items():
            digests.setdefault(kind, set()).add(code(thing, registrar))
    # Of a plain function all is in its module; whatever else there is may hold what a conftest.py gave it.
    assert {kind for kind, found in digests.items() if len(found) == 1} == {"plain", "text"}


def test_partial_functions_are_their_function_and_arguments():
    def net(width, head):
        return width, head

    half, other = functools.partial(net, 0.5), functools.partial(net, 0.25)
    assert code(half) == code(functools.partial(net, 0.5)) != code(other)
    assert code(half) not in (code(net), code(functools.partial(resolve, 0.5)))
    by_name = [functools.partial(net, width=1, head=2), functools.partial(net, head=2, width=1)]
    assert code(by_name[0]) == code(by_name[1]) != code(functools.partial(net, width=1, head=3))
    assert code(functools.partial(half, 2)) not in (code(half), code(functools.partial(net, 2)))
    # Of every process the same: no addresses.
    assert code(functools.partial(net, object())) == code(functools.partial(net, object()))


def test_built_in_things_are_made_by_no_file():
    assert isinstance(code(len), str)
    assert code(len) == code(len) != code(dict)


def test_what_is_too_much_to_read_counts_by_size_and_date(tmp_path, monkeypatch):
    name = imported(tmp_path, monkeypatch, "my_nets_four", "import my_big_four\n")
    folder = tmp_path / "my_big_four"
    folder.mkdir()
    (folder / "__init__.py").write_text("import my_big_four.a\n")
    (folder / "a.py").write_text("import elsewhere\n")
    (folder / "table.bin").write_text("1")
    monkeypatch.setattr(imports, "MOST_FILES", 2)
    found = Sources()
    before = found.of_code(f"{name}:net")
    assert code(f"{name}:net") == before
    (sentence,) = found.warnings()
    assert sentence.startswith(f"{folder} is too much code to look for imports in")
    assert found.warnings() == []
    (folder / "table.bin").write_text("22")
    assert code(f"{name}:net") != before
    assert found.edited() == folder / "table.bin"


def test_files_are_told_by_name_and_content(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    both = Sources().of_files([("one", one), ("two", two)])
    assert Sources().of_files([("two", two), ("one", one)]) == both
    assert Sources().of_files([("two", one), ("one", two)]) != both
    assert Sources().of_files([("one", one)]) != both
    with pytest.raises(OSError, match="three"):
        Sources().of_files([("three", tmp_path / "three")])


def test_an_edit_is_noticed(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.write_bytes(b"a")
    found = Sources()
    found.of_files([("one", one), ("two", two)])
    assert found.edited() is None
    two.write_bytes(b"bb")
    assert found.edited() == two
    two.unlink()
    assert found.edited() == two


def test_what_was_edited_after_the_session_began_equals_nothing_else(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("depth = 19\n")
    edited = path.stat().st_mtime_ns / 1e9
    files = [("net", path)]
    plain = Sources().of_files(files)
    assert Sources(started=edited + 5).of_files(files) == plain
    meanwhile = Sources(started=edited - 5).of_files(files)
    assert meanwhile != plain
    assert Sources(started=edited - 3).of_files(files) == meanwhile  # workers of one run agree


def test_what_a_text_names(tmp_path, monkeypatch):
    name = imported(tmp_path, monkeypatch, "my_nets_five", "def net(): ...\n")
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
