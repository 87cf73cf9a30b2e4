"""Protocol files: YAML, one over another by `extends:`, read into a `Protocol`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import recovery, yaml_reader
from pytest_prunecal.study.cell import unique_ratios
from pytest_prunecal.study.looks import MOST
from pytest_prunecal.study.paths import found, written
from pytest_prunecal.study.prior import DEFAULT, KINDS, Noise, Share
from pytest_prunecal.study.protocol import (
    LEAST_BATCH,
    OPTIMISERS,
    SCHEDULES,
    Evaluation,
    Protocol,
    Recipe,
    Slimming,
)
from pytest_prunecal.study.tolerance import read_tolerances
from pytest_prunecal.study.yaml_schema import (
    boolean,
    check_format,
    checked,
    choice,
    either,
    integer,
    mapping_of,
    number,
    optional,
    record,
    sequence,
    text,
)

if TYPE_CHECKING:
    from pytest_prunecal.study.tolerance import Tolerance
    from pytest_prunecal.study.yaml_reader import Value
    from pytest_prunecal.study.yaml_schema import Reader, T

BUILT_IN = Path(__file__).parent / "protocols"
FORMAT = 1
CHANNELS = 3
MAX_DEPTH = 8
_MISSING = "{label} has no {key!r}; add it, or start with `extends: quick`"


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
    path = written(spec, directory, f"protocol {spec!r}")
    if found(path, f"protocol {spec!r}") != "a file":
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
    spec, where = parent.text(), f"{parent.where}: extends {parent.text()!r}"
    beside = written(spec, path.parent, where)
    if spec in built_in_names():
        base = _merged(BUILT_IN / f"{spec}.yaml", spec, depth + 1)
    elif found(beside, where) == "a file":
        base = _merged(beside, str(Path(name).parent / spec), depth + 1)
    else:
        parent.fail(f"extends {spec!r}, which is neither built in nor a file beside this one")
    merged = top.over(base)
    if "description" not in top.mapping():
        merged.mapping().pop("description", None)  # it describes its own file
    own = top.mapping().get("dataset")
    if own and _dataset_name(own) not in ("", _dataset_name(base.mapping().get("dataset"))):
        merged.mapping()["dataset"] = own  # another data set has options of its own
    return merged


def _dataset_name(value: Value | None) -> str:
    entries = value.mapping() if value else {}
    return entries["name"].text() if "name" in entries else ""


def _read(top: Value, stem: str) -> Protocol:
    """Turn the merged document into types, every field checked."""
    check_format(top, "protocol", FORMAT)
    named = top.mapping().get("name")
    name = named.text() if named and named.name == top.name else stem  # a name is never inherited
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        top.fail(f"{name!r} cannot name a folder of baselines; use letters, digits, dots and dashes")
    return _protocol(name)(top)


def _protocol(name: str) -> Reader[Protocol]:
    """All that a protocol file says, key by key; what is None here was read before."""
    return record(
        lambda normalise, augment, **fields: Protocol(name=name, **normalise, **augment, **fields),
        _MISSING,
        prunecal=None,
        extends=optional(None),
        name=optional(None),
        description=optional(text),
        dataset=_dataset,
        normalise=checked(
            record(dict, _MISSING, mean=sequence(number()), std=sequence(number())), _three_channels
        ),
        augment=record(dict, _MISSING, pad=integer(0, 64), flip=boolean),
        width=either(lambda value: {DEFAULT: _WIDTH(value)}, _with_default(_WIDTH, "models")),
        ratios=_ratios,
        pruners=sequence(text),
        base=_RECIPE,
        finetune=_RECIPE,
        slimming=_SLIMMING,
        evaluation=_EVALUATION,
        seed=integer(0, 2**31 - 1),
        threads=integer(1, 1024),
        precision=choice("float32", "bfloat16"),
        tolerance=optional(partial(read_tolerances, source=f"protocol {name}")),
        noise=_NOISE,
        min_effect=checked(partial(read_tolerances, source=f"min_effect of protocol {name}"), _in_numbers),
        false_alarms=number(1e-9, 0.5),
        repeat=integer(1, MOST),
        recovery=optional(recovery.read),
    )


def _dataset(value: Value) -> dict[str, str | int | float | bool]:
    """Its name and its options; one without a value is as if it were not there."""
    options = {key: text(item) if key == "name" else _option(item) for key, item in value.mapping().items()}
    if "name" not in options:
        value.fail(_MISSING.format(label=value.label, key="name"))
    return {key: option for key, option in options.items() if option is not None}


def _option(value: Value) -> str | int | float | bool | None:
    option = value.scalar()
    return option if option is None or isinstance(option, (str, bool)) else value.numeric()


def _ratios(value: Value) -> tuple[float, ...]:
    texts = sequence(text)(value)
    try:
        return unique_ratios(texts)
    except PrunecalError as error:
        value.fail(str(error))


def _with_default(item: Reader[T], others: str) -> Reader[dict[str, T]]:
    """By name, with a `default` for what is not named."""

    def check(value: Value, found: dict[str, T]) -> None:
        if DEFAULT not in found:
            value.fail(f"{value.label} needs a `{DEFAULT}` for {others} that it does not name")

    return checked(mapping_of(item), check)


def _three_channels(value: Value, found: dict[str, tuple[float, ...]]) -> None:
    mean, std = found["mean"], found["std"]
    if len(mean) != CHANNELS or len(std) != CHANNELS or min(std) <= 0:
        value.fail(f"{value.label} needs {CHANNELS} means and {CHANNELS} positive deviations")


def _ascends(value: Value, found: tuple[int, ...]) -> None:
    if list(found) != sorted(set(found)):
        value.fail(f"{value.label} must ascend")


def _distinct(value: Value, found: tuple[object, ...]) -> None:
    if not found or len(set(found)) != len(found):
        value.fail(f"{value.label} must name at least one, and none twice")


def _fits_together(value: Value, recipe: Recipe) -> None:
    entries = value.mapping()
    if recipe.nesterov and not recipe.momentum:
        nesterov = entries["nesterov"]
        nesterov.fail(f"{nesterov.label} needs a momentum above 0")
    if recipe.optimiser == "sgd":
        for key in ("betas", "eps"):
            if key in entries and entries[key].name == value.name:  # one that is inherited takes no part
                entries[key].fail(f"{entries[key].label} is of `optimiser: adamw`, and this recipe's is sgd")


def _betas(value: Value) -> tuple[float, float]:
    found = sequence(number(0, _BELOW_ONE))(value)
    if len(found) != 2:  # of the gradient, and of its square
        value.fail(f"{value.label} must be two numbers, such as [0.9, 0.999]")
    return found[0], found[1]


def _in_numbers(value: Value, effects: dict[str, Tolerance]) -> None:
    for metric, effect in effects.items():
        if effect.auto:
            value.fail(f"{value.label}.{metric} is auto; it must be what matters to you, such as 0.005")


_WIDTH = number(1e-3, 64)  # a multiplier of channel counts
_BELOW_ONE = 1 - 2**-53  # the largest float that is

_RECIPE = checked(
    record(
        Recipe,
        _MISSING,
        epochs=integer(0),
        batch=integer(LEAST_BATCH),
        learning_rate=number(0),
        schedule=choice(*SCHEDULES),
        milestones=checked(sequence(integer(1)), _ascends),
        decay=number(0, 1),
        warmup=number(0),
        momentum=number(0, 1),
        weight_decay=number(0),
        nesterov=boolean,
        optimiser=optional(choice(*OPTIMISERS)),
        betas=optional(_betas),
        eps=optional(number(1e-30)),
        label_smoothing=optional(number(0, _BELOW_ONE)),
        clip_norm=optional(number(0)),
    ),
    _fits_together,
)

_SLIMMING = record(Slimming, _MISSING, scale=number(0), penalty=_with_default(number(0), "models"))

_EVALUATION = record(
    Evaluation,
    _MISSING,
    batch=integer(1),
    bins=integer(1, 100_000),
    corruptions=checked(sequence(text), _distinct),
    severities=checked(sequence(integer(1, 5)), _distinct),
    source=choice("generated", "published", "auto"),
)

_SHARE = record(Share, error=optional(number(0)), damage=optional(number(0)), value=optional(number(0)))

_NOISE = record(
    lambda freedom, paired, **shares: Noise(freedom, paired, shares),
    _MISSING,
    freedom=integer(1, 1000),
    paired=number(0, 1),
    **dict.fromkeys(KINDS, _with_default(_SHARE, "metrics")),
)
