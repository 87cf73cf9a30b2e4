"""What conftest.py files and other plugins of the user's own bring in."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.selection import shown
from pytest_prunecal.store.installed import is_first_party
from pytest_prunecal.study import paths
from pytest_prunecal.study.extensions import Extensions

if TYPE_CHECKING:
    from pluggy import HookCaller

    from pytest_prunecal.study.extensions import Registrar


_KINDS = ("models", "pruners", "datasets", "metrics", "candidates")


def extensions(config: pytest.Config) -> Extensions:
    """Ask the hooks; raises PrunecalError for an answer that is no answer, or two that collide."""
    return Extensions(
        **{kind: _merged(_answers(config, kind), kind) for kind in _KINDS},
        registrars=_registrars(getattr(config.hook, f"pytest_prunecal_{kind}") for kind in _KINDS),
        plugins=tuple(
            registrar
            for plugin in config.pluginmanager.get_plugins()
            for registrar in _module(plugin)
            if is_first_party(registrar[1])
        ),
        files=tuple(
            file for answer in _answers(config, "files") for file in _declared(answer, config.rootpath)
        ),
    )


class _Answer(NamedTuple):
    """What one conftest.py or plugin answers.

    Attributes:
        hook: its name.
        where: `file:line` of the function that answers.
        content: what it returned; of an iterator, what came out of it.
    """

    hook: str
    where: str
    content: Any

    def refuse(self, problem: str) -> NoReturn:
        """Raise the one sentence about it."""
        raise PrunecalError(f"{self.where}: {self.hook} {problem}")


def _answers(config: pytest.Config, kind: str) -> Iterator[_Answer]:
    """Ask one hook of every plugin that implements it, one by one: who is at fault can then be named.

    Raises:
        PrunecalError: an implementation raises.
    """
    name = f"pytest_prunecal_{kind}"
    implementations = getattr(config.hook, name).get_hookimpls()
    for found in reversed(implementations):  # the order in which pluggy calls them
        others = [other.plugin for other in implementations if other is not found]
        ask = config.pluginmanager.subset_hook_caller(name, others)
        code = getattr(inspect.unwrap(found.function), "__code__", None)
        file, line = (code.co_filename, code.co_firstlineno) if code else (str(found.plugin_name), 0)
        try:
            for content in ask(config=config):
                # What a generator raises, it raises here.
                yield _Answer(name, _at(file, line), [*content] if isinstance(content, Iterator) else content)
        except pytest.exit.Exception:
            raise
        except (Exception, SystemExit, pytest.skip.Exception, pytest.fail.Exception) as error:  # noqa: BLE001
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
            where = _at(file, (frames[-1].lineno if frames else line) or line)
            told = f"{type(error).__name__}: {str(error) or 'no more is said'}".splitlines()[0]
            raise PrunecalError(f"{where}: {name} raised {told}") from None


def _at(file: str, line: int) -> str:
    return f"{shown(Path(file))}:{line}"


def _registrars(hooks: Iterable[HookCaller]) -> tuple[Registrar, ...]:
    """The modules that implement some hooks."""
    implementations = (found for hook in hooks for found in hook.get_hookimpls())
    return tuple({registrar for found in implementations for registrar in _module(found.plugin)})


def _module(plugin: object) -> Iterator[Registrar]:
    """A plugin that is a module with a file."""
    if isinstance(plugin, ModuleType) and plugin.__file__:
        yield plugin.__name__, Path(plugin.__file__)


def _declared(answer: _Answer, root: Path) -> Iterator[Path]:
    """Files and folders that a conftest.py declares; relative ones lie below the root directory."""
    if isinstance(answer.content, (str, Path)) or not isinstance(answer.content, Iterable):
        answer.refuse(f"returned {answer.content!r}; return a list of paths")
    for entry in answer.content:
        if not isinstance(entry, (str, Path)):
            answer.refuse(f"names {entry!r}; name paths")
        path = paths.written(str(entry), root, f"{answer.where}: {answer.hook}")
        if not paths.found(path, f"{answer.where}: {answer.hook} names {entry}, and"):
            answer.refuse(f"names {entry}, and there is no {path}")
        yield path


def _merged(answers: Iterable[_Answer], what: str) -> dict[str, Any]:
    """Merge what several conftest.py files add, none over another."""
    merged: dict[str, Any] = {}
    for answer in answers:
        if not isinstance(answer.content, Mapping):
            answer.refuse(f"returned a {type(answer.content).__name__}; return a dict")
        for name, entry in answer.content.items():
            if name in merged:
                raise PrunecalError(f"two conftest.py files add {name!r} through pytest_prunecal_{what}")
            merged[name] = entry
    return merged
