"""One protocol entry, such as `dataset: {name: digits, size: 16}`, to one `Dataset`."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.study.builtin import DATASETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

RESERVED = ("name", "train", "test")


def load(
    spec: Mapping[str, object],
    root: Path | None,
    extra: Mapping[str, Callable[..., Dataset]] | None = None,
) -> Dataset:
    """Loads the data set that a protocol names.

    Args:
        spec: `name`, the loader's own options, and optionally `train: N` and `test: N`, which keep the first
            N images of either part (`Dataset.subset`).
        root: The user's data directory (`--prunecal-data`), or None.
        extra: The user's own loaders by name, each `(root, **options) -> Dataset`. Its parameters after
            `root` are its options; one named like an entry of `RESERVED` cannot be reached.

    Returns:
        The data set, checked.

    Raises:
        PrunecalError: If the name is unknown or missing, a user's loader takes a built-in name, an option is
            unknown or missing, or the data is not there or not as it should be.
    """
    name = spec.get("name")
    loader = _loader(name, extra or {})
    options = {str(key): value for key, value in spec.items() if key not in RESERVED}
    _check_options(str(name), loader, options)
    dataset: object = loader(root, **options)
    if not isinstance(dataset, Dataset):
        raise PrunecalError(
            f"data set {name!r}: its loader returned a {type(dataset).__name__}, wanted a Dataset"
        )
    if spec.get("train") is None and spec.get("test") is None:
        return dataset
    # `subset` checks the numbers, so what YAML holds goes there as it is.
    return dataset.subset(spec.get("train"), spec.get("test"))  # type: ignore[arg-type]


def _loader(name: object, extra: Mapping[str, Callable[..., Dataset]]) -> Callable[..., Dataset]:
    shadowed = sorted(DATASETS.keys() & extra.keys())
    if shadowed:
        # `quick` must mean the same everywhere, whatever a conftest.py offers.
        raise PrunecalError(f"data set {shadowed[0]!r} is built in: give your own another name")
    if not isinstance(name, str):
        raise PrunecalError(f"a data set needs a name, one of: {', '.join(sorted({*DATASETS, *extra}))}")
    if name in extra:
        return extra[name]
    if name not in DATASETS:
        raise PrunecalError(f"unknown data set {name!r}; there are: {', '.join(sorted({*DATASETS, *extra}))}")
    module, _, function = DATASETS[name].partition(":")
    loader: Callable[..., Dataset] = getattr(import_module(module), function)
    return loader


def _check_options(name: str, loader: Callable[..., Dataset], options: Mapping[str, object]) -> None:
    parameters = list(inspect.signature(loader).parameters.values())[1:]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    unknown = sorted(options.keys() - named.keys())
    if unknown and not takes_any:
        valid = ", ".join(dict.fromkeys([*named, "train", "test"]))
        plural = "s" if len(unknown) > 1 else ""
        raise PrunecalError(f"data set {name!r}: unknown option{plural} {', '.join(unknown)}; valid: {valid}")
    needed = [
        parameter.name
        for parameter in named.values()
        if parameter.default is parameter.empty and parameter.name not in options
    ]
    if needed:
        plural = "s" if len(needed) > 1 else ""
        raise PrunecalError(f"data set {name!r}: needs the option{plural} {', '.join(needed)}")
