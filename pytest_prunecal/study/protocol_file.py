"""Protocol files: YAML, one over another by `extends:`, read into a `Protocol`."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import prior, yaml_reader
from pytest_prunecal.study.cell import unique_ratios
from pytest_prunecal.study.protocol import Evaluation, Protocol, Recipe, Slimming
from pytest_prunecal.study.tolerance import Tolerance, read_tolerances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.yaml_reader import Value

BUILT_IN = Path(__file__).parent / "protocols"
FORMAT = 1
SCHEDULES = ("step", "cosine")
PRECISIONS = ("float32", "bfloat16")
SOURCES = ("generated", "published", "auto")
CHANNELS = 3
MAX_DEPTH = 8


def built_in_names() -> list[str]:
    """Names of the protocols that ship with the plugin."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def load(spec: str, directory: Path) -> Protocol:
    """Load a protocol.

    Args:
        spec: a built-in name, or the path of a YAML file.
        directory: what a relative path is relative to.

    Raises:
        PrunecalError: no such protocol, or its file is wrong; with file and line.
    """
    if spec in built_in_names():
        return _read(_merged(BUILT_IN / f"{spec}.yaml", spec), spec)
    path = directory / spec
    if not _is_file(path):
        names = ", ".join(built_in_names())
        raise PrunecalError(f"no protocol {spec!r}: built in are {names}, and no file {path} exists")
    return _read(_merged(path, str(spec)), path.stem)


def _merged(path: Path, name: str, depth: int = 0) -> Value:
    """Read a protocol file over the one that it extends; each value keeps its own file and line."""
    top = yaml_reader.read(path, name)
    parent = top.mapping().get("extends")
    if parent is None:
        return top
    if depth >= MAX_DEPTH:
        parent.fail(f"protocols extend each other in a circle, or more than {MAX_DEPTH} deep")
    spec = parent.text()
    if spec in built_in_names():
        base = _merged(BUILT_IN / f"{spec}.yaml", spec, depth + 1)
    elif _is_file(path.parent / spec):
        base = _merged(path.parent / spec, str(Path(name).parent / spec), depth + 1)
    else:
        parent.fail(f"extends {spec!r}, which is neither built in nor a file beside this one")
    merged = top.over(base)
    own = top.mapping().get("dataset")
    if own and _dataset_name(own) not in ("", _dataset_name(base.mapping().get("dataset"))):
        merged.mapping()["dataset"] = own  # another data set has options of its own
    return merged


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, say
        return False


def _dataset_name(value: Value | None) -> str:
    entries = value.mapping() if value else {}
    return entries["name"].text() if "name" in entries else ""


def _read(top: Value, stem: str) -> Protocol:
    """Turn the merged document into types, every field checked."""
    allowed = {field.name for field in fields(Protocol)} - {"mean", "std", "pad", "flip"}
    entries = top.mapping({"prunecal", "extends", "normalise", "augment"} | allowed)
    version = _required(top, entries, "prunecal").integer()
    if version != FORMAT:
        entries["prunecal"].fail(f"format {version} is not known here; this version reads {FORMAT}")
    normalise = _required(top, entries, "normalise").mapping(("mean", "std"))
    mean, std = (
        tuple(value.number() for value in _required(entries["normalise"], normalise, key).sequence())
        for key in ("mean", "std")
    )
    if len(mean) != CHANNELS or len(std) != CHANNELS or min(std) <= 0:
        entries["normalise"].fail(f"normalise needs {CHANNELS} means and {CHANNELS} positive deviations")
    augment = _required(top, entries, "augment").mapping(("pad", "flip"))
    named = entries.get("name")
    name = named.text() if named and named.name == top.name else stem  # a name is never inherited
    tolerance = entries.get("tolerance")
    return Protocol(
        name=_checked_name(top, name),
        description=entries["description"].text() if "description" in entries else "",
        dataset=_dataset(_required(top, entries, "dataset")),
        mean=mean,
        std=std,
        pad=_required(entries["augment"], augment, "pad").integer(0, 64),
        flip=_required(entries["augment"], augment, "flip").boolean(),
        width=_width(_required(top, entries, "width")),
        ratios=_ratios(_required(top, entries, "ratios")),
        pruners=tuple(value.text() for value in _required(top, entries, "pruners").sequence()),
        base=_recipe(_required(top, entries, "base")),
        finetune=_recipe(_required(top, entries, "finetune")),
        slimming=_slimming(_required(top, entries, "slimming")),
        evaluation=_evaluation(_required(top, entries, "evaluation")),
        seed=_required(top, entries, "seed").integer(0, 2**31 - 1),
        threads=_required(top, entries, "threads").integer(1, 1024),
        precision=_choice(_required(top, entries, "precision"), PRECISIONS),
        tolerance=read_tolerances(tolerance, f"protocol {name}") if tolerance else {},
        noise=prior.read(_required(top, entries, "noise")),
        min_effect=_min_effect(_required(top, entries, "min_effect"), name),
        false_alarms=_required(top, entries, "false_alarms").number(1e-9, 0.5),
    )


def _min_effect(value: Value, name: str) -> dict[str, Tolerance]:
    effects = read_tolerances(value, f"min_effect of protocol {name}")
    for metric, effect in effects.items():
        if effect.auto:
            value.fail(f"{value.label}.{metric} is auto; it must be what matters to you, such as 0.005")
    return effects


def _required(owner: Value, entries: Mapping[str, Value], key: str) -> Value:
    if key not in entries:
        owner.fail(f"{owner.label} has no {key!r}; add it, or start with `extends: quick`")
    return entries[key]


def _checked_name(top: Value, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        top.fail(f"{name!r} cannot name a folder of baselines; use letters, digits, dots and dashes")
    return name


def _choice(value: Value, choices: tuple[str, ...]) -> str:
    if value.text() not in choices:
        value.fail(f"{value.label} is {value.text()!r}; it must be one of {', '.join(choices)}")
    return value.text()


def _dataset(value: Value) -> dict[str, str | int | float | bool]:
    entries = value.mapping()
    _required(value, entries, "name")
    options = {key: _option(entry) for key, entry in entries.items()}
    return {key: option for key, option in options.items() if option is not None}


def _option(value: Value) -> str | int | float | bool | None:
    option = value.scalar()
    return option if option is None or isinstance(option, (str, bool)) else value.numeric()


def _width(value: Value) -> dict[str, float]:
    """Read one multiplier for all models, or one by model name with a `default`."""
    if value.content is None:
        return {"default": value.number(low=1e-3, high=64)}
    return _by_model(value, low=1e-3, high=64)


def _by_model(value: Value, low: float, high: float) -> dict[str, float]:
    numbers = {key: item.number(low, high) for key, item in value.mapping().items()}
    if "default" not in numbers:
        value.fail(f"{value.label} needs a `default` for models that it does not name")
    return numbers


def _ratios(value: Value) -> tuple[float, ...]:
    texts = [item.text() for item in value.sequence()]
    try:
        return unique_ratios(texts)
    except PrunecalError as error:
        value.fail(str(error))


def _recipe(value: Value) -> Recipe:
    entries = value.mapping({field.name for field in fields(Recipe)})
    milestones = tuple(item.integer(1) for item in _required(value, entries, "milestones").sequence())
    if list(milestones) != sorted(set(milestones)):
        entries["milestones"].fail(f"{entries['milestones'].label} must ascend")
    momentum = _required(value, entries, "momentum").number(0, 1)
    nesterov = _required(value, entries, "nesterov").boolean()
    if nesterov and not momentum:
        entries["nesterov"].fail(f"{entries['nesterov'].label} needs a momentum above 0")
    return Recipe(
        epochs=_required(value, entries, "epochs").integer(0),
        batch=_required(value, entries, "batch").integer(2),
        learning_rate=_required(value, entries, "learning_rate").number(low=0),
        schedule=_choice(_required(value, entries, "schedule"), SCHEDULES),
        milestones=milestones,
        decay=_required(value, entries, "decay").number(0, 1),
        warmup=_required(value, entries, "warmup").number(low=0),
        momentum=momentum,
        weight_decay=_required(value, entries, "weight_decay").number(low=0),
        nesterov=nesterov,
    )


def _slimming(value: Value) -> Slimming:
    entries = value.mapping(("scale", "penalty"))
    penalty = _by_model(_required(value, entries, "penalty"), low=0, high=math.inf)
    return Slimming(scale=_required(value, entries, "scale").number(low=0), penalty=penalty)


def _evaluation(value: Value) -> Evaluation:
    entries = value.mapping({field.name for field in fields(Evaluation)})
    corruptions = tuple(item.text() for item in _required(value, entries, "corruptions").sequence())
    severities = tuple(item.integer(1, 5) for item in _required(value, entries, "severities").sequence())
    for key, items in (("corruptions", corruptions), ("severities", severities)):
        if not items or len(set(items)) != len(items):
            entries[key].fail(f"{entries[key].label} must name at least one, and none twice")
    return Evaluation(
        batch=_required(value, entries, "batch").integer(1),
        bins=_required(value, entries, "bins").integer(1),
        corruptions=corruptions,
        severities=severities,
        source=_choice(_required(value, entries, "source"), SOURCES),
    )
