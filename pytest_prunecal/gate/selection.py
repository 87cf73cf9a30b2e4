"""The gate: which cells this session measures, and what their baselines say."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prunecal.baseline import agreement
from pytest_prunecal.baseline import file as baselines
from pytest_prunecal.baseline import images as images_file
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.family import family_of
from pytest_prunecal.gate.registry import (
    check_graph,
    check_model,
    is_registered,
    lacking,
    levels_of,
    models_of,
    pruners_of,
    untuned,
)
from pytest_prunecal.study import recovery, regular_file
from pytest_prunecal.study.builtin import PRUNERS
from pytest_prunecal.study.cell import DENSE, Cell, baseline_name, canonical_order, cell_from_id, grid
from pytest_prunecal.study.given_base import Bases, GivenBase
from pytest_prunecal.study.known_cause import known_cause
from pytest_prunecal.study.metric import known

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_prunecal.baseline.file import AcceptedCell, Baseline
    from pytest_prunecal.gate.family import Family
    from pytest_prunecal.gate.options import Options
    from pytest_prunecal.study.candidate import Candidate, Candidates
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.image_results import ImageResults
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.recovery import Recovery


_UNNAMED = "the baseline names no results by image"
_PIN_AGAIN = "train it anew with --prunecal-update --prunecal-pin"


@dataclass(frozen=True)
class GateFile:
    """One model's part of the gate.

    Attributes:
        model: the model's name.
        path: its baseline file, which need not exist yet.
        name: the file as shown to people.
        baseline: what the file says; None if there is none.
        cells: the selected cells, in the order in which they are measured.
        grid: ids of all cells of the protocol's grid, selected or not.
        images: what the baseline knows of its cells image by image.
        unpaired: why it knows nothing; empty if it does.
        family: what its accepted cells say of each one's comparisons; worked out anew where it is None.
        orphans: ids of accepted cells that no pruner registered and no ratio configured can make: an update
            of the whole grid, which nothing narrows, removes them.
        left_out: why pruners of the protocol's grid are left out of it; empty if none are.
    """

    model: str
    path: Path
    name: str
    baseline: Baseline | None
    cells: tuple[Cell, ...]
    grid: frozenset[str]
    images: dict[str, ImageResults] = field(default_factory=dict)
    unpaired: str = ""
    family: Family | None = None
    orphans: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def accepted(self, cell: Cell) -> AcceptedCell | None:
        """What the baseline says of a cell."""
        return self.baseline.cells.get(cell.id) if self.baseline else None

    def recovery(self, cell: Cell, protocol: Protocol) -> dict[str, Recovery]:
        """Rules of recovery that apply to a cell; none to the dense one, which they are held against."""
        if cell.dense:
            return {}
        return self.baseline.recovery_of(cell.id, protocol) if self.baseline else protocol.recovery

    @property
    def trained(self) -> set[str]:
        """Ids of the accepted cells that start from a base network; candidates do not."""
        accepted = self.baseline.cells if self.baseline else ()
        return {cell_id for cell_id in accepted if not cell_from_id("", cell_id).candidate}

    @property
    def seeds(self) -> int:
        """Over how many seeds most of its accepted cells were measured; 1 if there are none."""
        counts = Counter(self.baseline.cells[cell_id].seeds for cell_id in self.trained if self.baseline)
        return max(counts, key=lambda seeds: (counts[seeds], seeds), default=1)


@dataclass(frozen=True)
class Narrowed:
    """How the command line narrows what is measured.

    Attributes:
        grid: whether it names pruners or ratios: only such cells are measured, and candidates that it gives.
        models: whether it names models: no others are, but for those of candidates that it gives.
        candidates: whether it gives candidates, and no models: nothing but these is measured.
    """

    grid: bool = False
    models: bool = False
    candidates: bool = False

    @property
    def any(self) -> bool:
        """Whether some cells of a model that the project knows are left out."""
        return self.grid or self.candidates


def select(
    options: Options,
    extensions: Extensions,
    protocol: Protocol,
    named: Sequence[Path],
    candidates: Candidates,
    narrowed: Narrowed,
) -> tuple[GateFile, ...]:
    """Select the gate's cells and read their baselines.

    Args:
        options: what was asked for.
        extensions: the user's own.
        protocol: whose grid is narrowed.
        named: files and folders at or below the baselines folder that the command line names.
        candidates: all that the session knows.
        narrowed: how the command line narrows the grid.

    Raises:
        PrunecalError: the selection is empty or names what is not there, or a baseline cannot be used.
    """
    folder = options.baselines / protocol.name
    if not (folder.is_dir() or options.update or options.plan or protocol.recovery):
        raise PrunecalError(
            f"there is no folder {shown(folder)} with baselines of protocol {protocol.name!r}; "
            "accept this machine's numbers with --prunecal-update, or name another folder with "
            "--prunecal-baselines=DIR"
        )
    asked = pruners_of(options, extensions) or list(protocol.pruners)
    pruners = sorted(asked, key=lambda name: canonical_order(Cell("", name, 0), protocol.pruners))
    ratios = protocol.ratios if options.ratios is None else options.ratios
    levels = levels_of({*pruners, *protocol.pruners}, extensions)
    # Whoever names ratios means the pruners that take one, and those that are named.
    taken = [one for one in pruners if one not in levels or options.ratios is None or options.pruners]
    chosen = _chosen(candidates, narrowed)
    models = () if narrowed.candidates else _models(options, extensions, folder, named, chosen)
    files = []
    for model in dict.fromkeys(
        (*models, *(one.model for one in chosen if _joins(one, models, named, narrowed)))
    ):
        path = baselines.path_of(options.baselines, protocol.name, model)
        found = baselines.read(path, shown(path)) if path.exists() else None
        gridded = model in models and is_registered(model, extensions)
        absent = _absent(found, pruners if gridded else (), extensions)
        cells = grid(model, [one for one in taken if one not in absent], ratios, levels) if gridded else []
        check_graph(model, [cell.pruner for cell in cells if cell.pruner])
        cells += [Cell(model, None, 0.0, candidate=one.name) for one in chosen if one.model == model]
        if not cells:
            unnamed = [one for one in pruners if one not in (*taken, *absent)]
            why = (
                f"; --prunecal-ratios leaves out what takes no ratio: {', '.join(unnamed)}" if unnamed else ""
            )
            raise PrunecalError(f"the grid is empty: no pruner and no dense cell is selected{why}")
        there = [one for one in protocol.pruners if one not in absent]
        whole = grid(model, there, protocol.ratios, levels) if gridded else []
        full = frozenset(cell.id for cell in whole)
        orphans = _orphans(found, options, extensions, protocol)
        file = GateFile(
            *(model, path, shown(path), found, tuple(cells), full),
            orphans=orphans,
            left_out=tuple(absent.values()),
        )
        if options.pin and gridded:
            _check_pinned_whole(file, removable=() if narrowed.any else orphans)
        metrics = known(extensions.metrics.values())
        replaced = {cell.id for cell in cells} if options.update == "all" else ()
        files.append(_checked_file(file, protocol, metrics, replaced, untuned(extensions)))
        _check_dense(files[-1], protocol, extensions)
    return tuple(files)


def _absent(found: Baseline | None, pruners: Sequence[str], extensions: Extensions) -> dict[str, str]:
    """Pruners of a grid that nobody named and nobody accepted cells of, and whose extra is not installed.

    Returns:
        By name, what it needs.

    Raises:
        PrunecalError: one has accepted cells.
    """
    absent = {name: why for name in pruners if (why := lacking(name, extensions))}
    if found is None:
        return absent
    for cell_id in found.cells:
        cell = cell_from_id("", cell_id)
        if cell.pruner in absent:
            others = ",".join(name for name in pruners if name not in absent)
            way = f" (or gate the others: --prunecal-pruners={others})" if others else ""
            raise PrunecalError(f"{found.name}: {cell_id} is accepted here: {absent[cell.pruner]}{way}")
    return absent


def _chosen(candidates: Candidates, narrowed: Narrowed) -> list[Candidate]:
    """The candidates to measure: those that the command line gives, and the others unless it names cells."""
    alone = narrowed.grid or narrowed.candidates
    return [one for one in candidates.values() if one.given or not alone]


def _joins(candidate: Candidate, models: Sequence[str], named: Sequence[Path], narrowed: Narrowed) -> bool:
    """Whether a candidate is measured although its model is not among those to gate."""
    return candidate.model in models or candidate.given or not (named or narrowed.models)


def reread(
    file: GateFile,
    text: str | None,
    protocol: Protocol,
    metrics: Mapping[str, Metric],
    replaced: Collection[str],
    untuned: Collection[str] = (),
) -> GateFile:
    """A model's part of the gate with its baseline, and what lies beside it, as they are by now.

    Args:
        file: as it was.
        text: of the baseline file; None if there is none.
        protocol: of the session.
        metrics: every metric by name.
        replaced: ids of the cells whose numbers are about to be replaced.
        untuned: names of pruners whose cells are not fine-tuned.

    Raises:
        PrunecalError: the baseline cannot be used any more.
    """
    found = None if text is None else baselines.parse(text, file.name)
    return _checked_file(replace(file, baseline=found), protocol, metrics, replaced, untuned)


def _checked_file(
    file: GateFile,
    protocol: Protocol,
    metrics: Mapping[str, Metric],
    replaced: Collection[str],
    untuned: Collection[str],
) -> GateFile:
    """Check a baseline and read what lies beside it; what is damaged may be replaced as a whole."""
    found = file.baseline
    if found is None:
        ahead = file.grid | {cell.id for cell in file.cells}
        family = family_of(None, protocol, metrics, untuned, ahead)
        return replace(file, images={}, unpaired=_UNNAMED, family=family)
    baselines.check(found, file.model, protocol)
    for rules in (found.recovery, *(cell.recovery for cell in found.cells.values())):
        recovery.check(rules, metrics)
    _check_dense_rules(found)
    left_out = [cell_id for cell_id in found.cells if cell_id not in {*replaced, *file.orphans}]
    whole = bool(replaced) and not left_out
    _check_stale(found, protocol, left_out if replaced else [], whole=whole)
    try:
        images, unpaired = _images(found, file.path, protocol, metrics)
    except PrunecalError as error:
        if not whole:
            raise
        images, unpaired = {}, str(error)
    family = family_of(found, protocol, metrics, untuned, images=images)
    return replace(file, images=images, unpaired=unpaired, family=family)


def _check_dense_rules(found: Baseline) -> None:
    """Refuse rules of recovery in the dense cell, which would be held against itself."""
    dense = found.cells.get(DENSE)
    for name, rule in ((dense.recovery if dense else None) or {}).items():
        raise PrunecalError(
            f"{rule.where}: recovery of {name}: the dense cell is what others are held against; say it at "
            "the top of the file, or in the cell that it is about"
        )


def _check_dense(file: GateFile, protocol: Protocol, extensions: Extensions) -> None:
    """Refuse rules of recovery about a candidate of a model that nothing builds."""
    if is_registered(file.model, extensions):
        return
    instead = (
        f"say `recovery: {{}}` in {file.name}"
        if file.baseline
        else "move the rule from the protocol to the baseline files of models that are built"
    )
    for cell in file.cells:
        for rule in file.recovery(cell, protocol).values():
            raise PrunecalError(
                f"{rule.where}: recovery of {file.model} {cell.id} has no dense network to compare with: no "
                f"model {file.model!r} is registered that builds one; register it (hook "
                f"pytest_prunecal_models), or {instead}"
            )


def _orphans(
    found: Baseline | None, options: Options, extensions: Extensions, protocol: Protocol
) -> tuple[str, ...]:
    pruners = {None, *PRUNERS, *extensions.pruners, *protocol.pruners}
    ratios = {0.0, *protocol.ratios, *(options.ratios or ())}
    levels = levels_of([name for name in pruners if name], extensions)
    cells = [cell_from_id("", cell_id) for cell_id in (found.cells if found else ())]

    def makes(cell: Cell) -> bool:
        if cell.candidate:
            return True  # whoever has its file can give it again
        if cell.pruner in levels:
            return cell.ratio == 0 and cell.level in (levels[cell.pruner] or ("",))
        by_ratio = cell.dense or (cell.ratio > 0 and not cell.level)
        return cell.pruner in pruners and by_ratio and cell.ratio in ratios

    return tuple(cell.id for cell in cells if not makes(cell))


def _check_pinned_whole(file: GateFile, removable: Collection[str]) -> None:
    """Refuse to renew base networks from which some cells would not be measured."""
    left_out = sorted((file.trained - set(removable) | file.grid) - {cell.id for cell in file.cells})
    if left_out:
        raise PrunecalError(
            f"{file.name}: --prunecal-pin needs the whole grid: {left_out[0]} would keep numbers of another "
            "base; name it too (--prunecal-pruners, --prunecal-ratios), or take it out of the file"
        )


def _images(
    found: Baseline, path: Path, protocol: Protocol, metrics: Mapping[str, Metric]
) -> tuple[dict[str, ImageResults], str]:
    """Read the results by image that a baseline names, or say why there are none.

    Raises:
        PrunecalError: the file is damaged, is not the one that the baseline names, or contradicts it.
    """
    if found.images is None:
        return {}, _UNNAMED
    if baselines.stale(found, protocol):
        return {}, "the baseline is of another version of the protocol"
    place = path.with_name(found.images.file)
    name = shown(place)
    content = _checked(place, name, found)
    if content is None:
        return {}, f"{name} is not there"
    cells = images_file.load(content, name)
    agreement.check(cells, found, metrics, name)
    return cells, ""


def _checked(place: Path, name: str, found: Baseline) -> bytes | None:
    """Read a file beside a baseline, whose digest the baseline names; None if it is not there."""
    try:
        content = regular_file.read(place, name, images_file.LARGEST_FILE, "delete it")
    except FileNotFoundError:
        return None
    if cause := known_cause(content):
        raise PrunecalError(f"{name}: {cause}")
    if found.images and hashlib.sha256(content).hexdigest() != found.images.sha256:
        raise PrunecalError(
            f"{name}: is not the file that {found.name} names: its sha256 differs; restore it, delete it "
            "to compare without it, or measure the whole file again with --prunecal-update"
        )
    return content


def pinned(files: Sequence[GateFile], protocol: Protocol) -> Bases:
    """Base networks that the gate's baseline files pin.

    Raises:
        PrunecalError: a file is missing, or was trained by another recipe than the protocol's.
    """
    bases: Bases = {}
    for file in files:
        for kind, base in (file.baseline.base if file.baseline else {}).items():
            path = file.path.parent / base.file
            if not path.is_file():
                raise PrunecalError(f"{file.name}: pins {base.file}, which is not beside it; {_PIN_AGAIN}")
            if base.recipe != protocol.base_fingerprint(file.model, kind):
                raise PrunecalError(
                    f"{file.name}: {base.file} was trained by another recipe than protocol {protocol.name!r} "
                    f"has now; {_PIN_AGAIN}"
                )
            bases[file.model, kind] = GivenBase(path, base.sha256)
    return bases


def _check_stale(found: Baseline, protocol: Protocol, left_out: Sequence[str], *, whole: bool) -> None:
    """Refuse numbers of another version of the protocol, unless this run replaces all of them."""
    reason = baselines.stale(found, protocol)
    if reason and not whole:
        raise PrunecalError(reason + (f"; this selection leaves out {left_out[0]}" if left_out else ""))


def _models(
    options: Options,
    extensions: Extensions,
    folder: Path,
    named: Sequence[Path],
    candidates: Sequence[Candidate],
) -> Sequence[str]:
    """Models to gate: those asked for, else those whose baseline files are named, else all in the folder."""
    asked = models_of(options, extensions)
    if asked is not None:
        return asked
    paths = [path for path in named if path.is_file()]
    if not paths or any(path.is_dir() for path in named):
        paths = sorted(folder.glob("*.yaml"))
    if not (paths or candidates):
        raise PrunecalError(f"{shown(folder)} has no baselines; say what to gate with --prunecal-models=A,B")
    models = []
    for path in dict.fromkeys(paths):
        name = shown(path)
        found = baselines.read(path, name)
        if baseline_name(found.model) != path.stem:
            raise PrunecalError(
                f"{name}: is a baseline of model {found.model!r}, so its name must be "
                f"{baseline_name(found.model)}.yaml"
            )
        if not all(cell_from_id("", cell_id).candidate for cell_id in found.cells) or not found.cells:
            check_model(found.model, extensions, f"{name}: ")
        models.append(found.model)
    return models


def shown(path: Path) -> str:
    """A path as people see it: relative to where they are, if it lies below."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return os.fspath(path)
