"""Candidates that options and conftest.py files give, checked as far as that takes no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.registry import check_model, is_registered
from pytest_prunecal.study import candidate_file, paths
from pytest_prunecal.study.candidate import Candidate, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_prunecal.gate.options import Options
    from pytest_prunecal.study.candidate import Candidates
    from pytest_prunecal.study.extensions import Extensions

_MODEL = re.compile(r"[A-Za-z_][\w.-]*")
_BUILDER = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def candidates_of(options: Options, extensions: Extensions, root: Path) -> Candidates:
    """All candidates that a session knows, whether or not it measures them.

    Args:
        options: what was asked for.
        extensions: the user's own.
        root: pytest's root directory, below which relative paths of a conftest.py lie.

    Raises:
        PrunecalError: one cannot be measured, as far as its name and the head of its file tell.
    """
    found: Candidates = {}
    for candidate, what in (*_by_option(options), *_by_hook(extensions, root)):
        key = candidate.model, candidate.name
        if key in found:
            raise PrunecalError(
                f"{what}: {candidate.model}:{candidate.name} is given by an option, too; give it once"
            )
        known = is_registered(candidate.model, extensions)
        if ":" in candidate.model:
            check_model(candidate.model, extensions, f"{what}: ")
        elif not known and not _MODEL.fullmatch(candidate.model):
            raise PrunecalError(
                f"{what}: {candidate.model!r} cannot name a model; use letters, digits, . _ and -"
            )
        candidate_file.check(candidate, registered=known)
        found[key] = candidate
    strangers = [path for path in options.trust if path not in {one.path for one in found.values()}]
    if strangers:
        raise PrunecalError(f"--prunecal-trust={strangers[0]}: no candidate has this file")
    return found


def _by_option(options: Options) -> Iterator[tuple[Candidate, str]]:
    for given in options.candidate:
        trusted = given.path in options.trust
        yield (
            Candidate(given.model, given.name, given.path, trusted, given.given),
            f"--prunecal-candidate={given.text}",
        )


def _by_hook(extensions: Extensions, root: Path) -> Iterator[tuple[Candidate, str]]:
    for key, source in extensions.candidates.items():
        what = f"conftest.py adds candidate {key!r}"
        model, _, name = str(key).rpartition(":")
        if not model:
            raise PrunecalError(f"{what}; write MODEL:NAME, such as 'resnet20:v2'")
        check_name(name, what)
        if isinstance(source, str) and _BUILDER.fullmatch(source):
            yield Candidate(model, name, source), what
        elif isinstance(source, (str, Path)):
            path = paths.written(str(source), root, what)
            if (there := paths.found(path, what)) != "a file":
                raise PrunecalError(
                    f"{what}: {f'{path} is {there}' if there else f'there is no file {path}'}"
                )
            yield Candidate(model, name, path), what
        elif callable(source):
            yield Candidate(model, name, source), what
        else:
            raise PrunecalError(f"{what} as {source!r}; give a path, or what builds it")
