"""Names that users give, checked against what is registered."""

from __future__ import annotations

import difflib
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pytest_prunecal.baseline.file import CELL_FIELDS
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import extras, zoo
from pytest_prunecal.study.builtin import CORRUPTIONS, DATASETS, GRAPH_PRUNERS, MODELS, PRUNERS
from pytest_prunecal.study.cell import CANDIDATE, DENSE
from pytest_prunecal.study.metric import METRICS, Metric, known, problem_of
from pytest_prunecal.study.pruner import Pruner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_prunecal.gate.options import Options
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.protocol import Protocol

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIKE_RATIOS = ("nan", "inf")


def models_of(options: Options, extensions: Extensions) -> tuple[str, ...] | None:
    """Models that `--prunecal-models` names, each known and none twice; None if it is not given."""
    names = _listed(options.models, "model", [*MODELS, *extensions.models])
    for name in names or ():
        check_model(name, extensions)
    return names


def pruners_of(options: Options, extensions: Extensions) -> tuple[str, ...] | None:
    """Pruners that `--prunecal-pruners` names, each known and none twice; None if it is not given."""
    names = _listed(options.pruners, "pruner", [*PRUNERS, *extensions.pruners])
    for name in names or ():
        check_pruner(name, extensions)
    return names


def _listed(names: tuple[str, ...] | None, what: str, known: Sequence[str]) -> tuple[str, ...] | None:
    if names is not None and not names:
        raise PrunecalError(f"--prunecal-{what}s selects nothing; known are {', '.join(known)}")
    for name in names or ():
        if (names or ()).count(name) > 1:
            raise PrunecalError(f"{what} {name!r} is given twice; name each {what} once")
    return names


def is_registered(name: str, extensions: Extensions) -> bool:
    """Whether something builds the networks of a model."""
    known = name in MODELS or name in extensions.models
    return known or zoo.split(name) is not None or _PATH.fullmatch(name) is not None


def check_model(name: str, extensions: Extensions, where: str = "") -> None:
    """Refuse a model that is not registered, of no library, and no callable of a module that exists."""
    known = [*MODELS, *extensions.models]
    if name in known:
        return
    if of_library := zoo.split(name):
        _check_in_zoo(*of_library, where)
        return
    if not _PATH.fullmatch(name):
        raise PrunecalError(
            where + _unknown("model", name, known) + ", or give package.module:callable, "
            "torchvision:NAME or timm:NAME"
        )
    module = name.partition(":")[0]
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        found = None
    except Exception as error:  # noqa: BLE001 - whatever the user's own package raises
        raise PrunecalError(
            f"{where}model {name!r}: importing the package of {module!r} fails: {error}"
        ) from None
    if found is None:
        raise PrunecalError(
            f"{where}model {name!r}: there is no module {module!r} to import "
            "(where is it? in an ini file, `pythonpath = .` puts a folder on the path)"
        )


def _check_in_zoo(library: str, name: str, where: str) -> None:
    """Refuse a model that a model library does not have, as its source tells; nothing is imported."""
    what = f"{where}model '{library}:{name}'"
    if not zoo.is_installed(library):
        raise PrunecalError(f"{what}: {library} is not installed: {zoo.pip_command(library)}")
    known = zoo.names(library)
    network, _, tag = name.partition(".")
    if network in known and tag:
        raise PrunecalError(
            f"{what}: {tag!r} names weights, and none are downloaded; write {library}:{network} "
            "(--prunecal-checkpoint starts from weights that you have)"
        )
    if network not in known:
        close = difflib.get_close_matches(network, sorted(known), 1)
        hint = f" (did you mean {library}:{close[0]}?)" if close else ""
        raise PrunecalError(f"{what}: {library} registers no classifier of this name{hint}")


def check_graph(model: str, pruners: Iterable[str]) -> None:
    """Refuse filter and channel pruning of a library's network where what finds its channels is missing."""
    found = [name for name in pruners if name in GRAPH_PRUNERS]
    if zoo.split(model) and found and find_spec("torch_pruning") is None:
        raise PrunecalError(
            f"{found[0]} pruning of {model} needs Torch-Pruning, which is not installed: pip install "
            "'torch-pruning>=1.6' (or gate other pruners: --prunecal-pruners=weight)"
        )


def check_pruner(name: str, extensions: Extensions) -> None:
    """Refuse a pruner that is not registered, or whose extra is not installed."""
    known = [*PRUNERS, *extensions.pruners]
    if name not in known:
        raise PrunecalError(_unknown("pruner", name, known))
    if why := lacking(name, extensions):
        raise PrunecalError(why)


def lacking(name: str, extensions: Extensions) -> str:
    """Which packages a pruner needs that are not installed, and what to type; empty if it can prune."""
    row = extensions.pruners.get(name) or PRUNERS.get(name)
    why = extras.lacking(row.extra) if isinstance(row, Pruner) and row.extra else ""
    return why and f"pruner {name!r} {why}"


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown {what} {name!r}{hint}; known are {', '.join(known)}"


def check_extensions(extensions: Extensions) -> None:
    """Refuse additions of a conftest.py that hide something built in, or that an option could not name."""
    for what, own, built_in in (
        ("model", extensions.models, MODELS),
        ("pruner", extensions.pruners, PRUNERS),
        ("data set", extensions.datasets, DATASETS),
        ("metric", extensions.metrics, {*METRICS, *CELL_FIELDS}),
    ):
        for name, entry in own.items():
            if name in built_in:
                raise PrunecalError(
                    f"conftest.py adds {what} {name!r}, which is built in; give it another name"
                )
            if what == "pruner" and str(name).lower() in (DENSE, CANDIDATE):
                raise PrunecalError(
                    f"conftest.py adds pruner {name!r}, which names other cells; call it otherwise"
                )
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise PrunecalError(f"conftest.py adds {what} {name!r}; use letters, digits and underscores")
            if problem := _misfit(what, name, entry):
                raise PrunecalError(f"conftest.py adds {what} {name!r} {problem}")
    metrics = known(extensions.metrics.values())
    for name, metric in extensions.metrics.items():
        if problem := problem_of(metric, metrics):
            raise PrunecalError(f"conftest.py adds metric {name!r} {problem}")


def _misfit(what: str, name: str, entry: object) -> str:
    """What is wrong with an addition, as far as can be told without importing it; empty if nothing."""
    if what == "metric":
        if not isinstance(entry, Metric):
            return f"as {entry!r}; it must be a pytest_prunecal.Metric"
        if entry.name != name:
            return f"under the name {entry.name!r}; use one name"
        if entry.function is None:
            return ""  # a quotient of others, or else it is refused below
        entry = entry.function
    if isinstance(entry, str):
        return "" if _PATH.fullmatch(entry) else f"as {entry!r}; write package.module:attribute"
    if what == "pruner":
        return _misfit_of_pruner(entry)
    return "" if callable(entry) else f"as {entry!r}; it must be callable"


def _misfit_of_pruner(entry: object) -> str:
    """What is wrong with a pruner's row, as far as can be told without importing it; empty if nothing."""
    if not isinstance(entry, Pruner):
        return f"as {entry!r}; it must be a pytest_prunecal.Pruner"
    if isinstance(entry.prune, str) and not _PATH.fullmatch(entry.prune):
        return f"with the function {entry.prune!r}; write package.module:attribute"
    if entry.extra and entry.extra not in extras.EXTRAS:
        return f"with the extra {entry.extra!r}; known are {', '.join(extras.EXTRAS)}"
    return "" if entry.levels is None else _misfit_of_levels(entry.levels)


def _misfit_of_levels(levels: object) -> str:
    """What is wrong with the names of a pruner's levels; empty if nothing."""
    if not isinstance(levels, (tuple, list)) or not all(isinstance(one, str) for one in levels):
        return f"with the levels {levels!r}; give a tuple of names, empty for none"
    for one in levels:
        if one in _LIKE_RATIOS:
            return f"with the level {one!r}, which reads as a ratio; call it otherwise"
        if not _NAME.fullmatch(one) or [*levels].count(one) > 1:
            return f"with the level {one!r}; name each once, of letters, digits and underscores"
    return ""


def levels_of(pruners: Iterable[str], extensions: Extensions) -> dict[str, tuple[str, ...]]:
    """By name of those pruners that take no ratio, the levels that they take."""
    rows = {name: extensions.pruners.get(name) or PRUNERS.get(name) for name in pruners}
    return {
        name: tuple(row.levels)
        for name, row in rows.items()
        if isinstance(row, Pruner) and row.levels is not None
    }


def untuned(extensions: Extensions) -> frozenset[str]:
    """Names of the pruners whose cells are not fine-tuned, and so have no training noise of their own."""
    rows = {**PRUNERS, **extensions.pruners}
    return frozenset(name for name, row in rows.items() if isinstance(row, Pruner) and not row.tunes)


def check_protocol(protocol: Protocol, extensions: Extensions) -> None:
    """Refuse a protocol whose pruners, data set or corruptions are not registered."""
    known_pruners = [*PRUNERS, *extensions.pruners]
    for name in protocol.pruners:
        if name not in known_pruners:
            raise PrunecalError(f"protocol {protocol.name!r}: {_unknown('pruner', name, known_pruners)}")
    known_datasets = [*DATASETS, *extensions.datasets]
    dataset = str(protocol.dataset["name"])
    if dataset not in known_datasets:
        raise PrunecalError(f"protocol {protocol.name!r}: {_unknown('data set', dataset, known_datasets)}")
    for name in protocol.evaluation.corruptions:
        if name not in CORRUPTIONS:
            raise PrunecalError(f"protocol {protocol.name!r}: {_unknown('corruption', name, [*CORRUPTIONS])}")
