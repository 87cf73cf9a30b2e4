"""What conftest.py files and other plugins of the user's own bring in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.store.installed import is_first_party
from pytest_prunecal.study.extensions import Extensions

if TYPE_CHECKING:
    import pytest
    from pluggy import HookCaller

    from pytest_prunecal.study.extensions import Registrar


_KINDS = ("models", "pruners", "datasets", "metrics")


def extensions(config: pytest.Config) -> Extensions:
    """Ask the hooks; raises PrunecalError for an answer that is no answer, or two that collide."""
    hooks: dict[str, HookCaller] = {kind: getattr(config.hook, f"pytest_prunecal_{kind}") for kind in _KINDS}
    return Extensions(
        **{kind: _merged(hook(config=config), kind) for kind, hook in hooks.items()},
        registrars=_registrars(hooks.values()),
        plugins=tuple(
            registrar
            for plugin in config.pluginmanager.get_plugins()
            for registrar in _module(plugin)
            if is_first_party(registrar[1])
        ),
        files=_declared(config.hook.pytest_prunecal_files(config=config), config.rootpath),
    )


def _registrars(hooks: Iterable[HookCaller]) -> tuple[Registrar, ...]:
    """The modules that implement some hooks."""
    implementations = (found for hook in hooks for found in hook.get_hookimpls())
    return tuple({registrar for found in implementations for registrar in _module(found.plugin)})


def _module(plugin: object) -> Iterator[Registrar]:
    """A plugin that is a module with a file."""
    if isinstance(plugin, ModuleType) and plugin.__file__:
        yield plugin.__name__, Path(plugin.__file__)


def _declared(answers: list[Any], root: Path) -> tuple[Path, ...]:
    """Files and folders that conftest.py files declare; relative ones lie below the root directory."""
    files: list[Path] = []
    for answer in answers:
        if isinstance(answer, (str, Path)) or not isinstance(answer, Iterable):
            raise PrunecalError(f"pytest_prunecal_files returned {answer!r}; return a list of paths")
        for entry in answer:
            if not isinstance(entry, (str, Path)):
                raise PrunecalError(f"pytest_prunecal_files names {entry!r}; name paths")
            path = root / entry
            if not path.exists():
                raise PrunecalError(f"pytest_prunecal_files names {entry}, and there is no {path}")
            files.append(path)
    return tuple(files)


def _merged(answers: list[Any], what: str) -> dict[str, Any]:
    """Merge what several conftest.py files add, none over another."""
    merged: dict[str, Any] = {}
    for answer in answers:
        if not isinstance(answer, dict):
            raise PrunecalError(f"pytest_prunecal_{what} returned a {type(answer).__name__}; return a dict")
        for name, entry in answer.items():
            if name in merged:
                raise PrunecalError(f"two conftest.py files add {name!r} through pytest_prunecal_{what}")
            merged[name] = entry
    return merged
