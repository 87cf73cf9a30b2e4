"""What a measurement is a function of: told from files and versions, before anything is imported or measured.

Two sessions that would find other numbers must never agree on an identity; two that agree may use each
other's measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_prunecal.lab.datasets.files import files_of, published_digest, published_folder
from pytest_prunecal.store.environment import conditions
from pytest_prunecal.study import extras, onnx_file
from pytest_prunecal.study.builtin import GRAPH_PRUNERS, MODELS, PRUNERS
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.pruner import Pruner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_prunecal.lab.setup import Setup
    from pytest_prunecal.store.sources import Sources
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.extensions import Extensions
    from pytest_prunecal.study.protocol import Protocol


@dataclass(frozen=True)
class Identity:
    """What all measurements of a session have in common; a file that cannot be read raises OSError.

    Attributes:
        setup: what the session measures with.
        device: `cpu`, or the name of the GPU.
        data: digest of the test and training images, and of published corrupted ones.
        sources: reads files.
    """

    setup: Setup
    device: str
    data: str
    sources: Sources

    def of(self, cell: Cell, seeds: int, *, one_base: bool = False) -> str:
        """Digest of all that the measurement of a cell over some seeds depends on.

        Args:
            cell: the cell.
            seeds: how many.
            one_base: whether all start from the first one's base network.
        """
        setup, protocol = self.setup, self.setup.protocol
        given = {kind: base for (model, kind), base in setup.bases.items() if model == cell.model}
        return digest(
            {
                "cell": [cell.model, cell.id],
                "seeds": [seeds, setup.pin or (one_base and seeds > 1)],
                "protocol": [protocol.name, protocol.threads, protocol.measuring],
                "candidate": self._candidate(cell),
                "dense": asks_dense(cell, setup),
                "bases": {kind: [base.sha256, self._file(base.path)] for kind, base in given.items()},
                "data": self.data,
                "code": self._code(cell),
                "plugin": self.sources.of_package(),
                "conditions": conditions(self.device),
            }
        )

    def _candidate(self, cell: Cell) -> object:
        """What a candidate is: the bytes of its files and what runs them, or the code that builds it."""
        if not cell.candidate:
            return None
        found, own = self.setup.candidates[cell.model, cell.candidate], self.setup.extensions
        if found.path is None:
            return self.sources.of_code(found.source, own.registrars)
        files = [("", found.path)]
        if not onnx_file.is_onnx(found.path):
            return self.sources.of_files(files)
        others = onnx_file.parts(found.path, found.shown)
        files += [(part.relative_to(found.path.parent).as_posix(), part) for part in others]
        return [self.sources.of_files(files), extras.versions("onnx")]

    def _file(self, path: Path) -> str:
        return self.sources.of_files([("", path)])

    def _model(self, name: str) -> object:
        """The code of a model; None for a candidate's that nothing builds."""
        own = self.setup.extensions
        return self.sources.of_code(model_entry(name, own), own.registrars) if is_known(name, own) else None

    def _code(self, cell: Cell) -> dict[str, Any]:
        """Whatever of the user's own takes part in a cell."""
        own = self.setup.extensions
        code: dict[str, Any] = {
            "model": self._model(cell.model),
            "metrics": own_metrics(own, self.sources),
            "files": declared(own, self.sources),
            "plugins": self.sources.of_files(own.plugins),
        }
        if cell.pruner is not None:
            entry = pruner_entry(cell.pruner, own)
            row: list[object] = [entry.slimming, entry.tunes] if isinstance(entry, Pruner) else []
            row += [told] if (told := conditions_of(cell, own)) else []
            function = entry.prune if isinstance(entry, Pruner) else entry
            code["pruner"] = [self.sources.of_code(function, own.registrars), *row]
            if cell.pruner in GRAPH_PRUNERS and cell.model not in MODELS:
                code["graph"] = self.sources.of_code("torch_pruning:DependencyGraph")  # its version
        return code


def asks_dense(cell: Cell, setup: Setup) -> bool:
    """Whether a cell is measured beside the plain dense network, which it may not start from.

    Cells that start from it always are. Of a pruner that is registered by a text, nobody knows before it is
    imported.
    """
    if setup.recovery or cell.dense:
        return not cell.dense
    entry = None if cell.pruner is None else pruner_entry(cell.pruner, setup.extensions)
    return isinstance(entry, Pruner) and not entry.slimming


def is_known(name: str, extensions: Extensions) -> bool:
    """Whether something builds a model of this name."""
    return name in MODELS or name in extensions.models or ":" in name


def model_entry(name: str, extensions: Extensions) -> str | Callable[..., Any]:
    """How a model is registered: the user's own, built in, or `package.module:callable` itself."""
    return extensions.models.get(name) or MODELS.get(name, name)


def pruner_entry(name: str, extensions: Extensions) -> Pruner | str:
    """How a pruner is registered: its row, built in or the user's own, or where that is."""
    return extensions.pruners.get(name) or PRUNERS[name]


def conditions_of(cell: Cell, extensions: Extensions) -> dict[str, str]:
    """By name, what besides `environment.conditions` the numbers of a cell depend on: what its extra adds."""
    entry = pruner_entry(cell.pruner, extensions) if cell.pruner else None
    if not isinstance(entry, Pruner) or not entry.extra:
        return {}
    provider = {"provider": extras.ONNX_PROVIDER} if entry.extra == "onnx" else {}
    return {**extras.versions(entry.extra), **provider}


def own_metrics(extensions: Extensions, sources: Sources) -> dict[str, list[object]]:
    """By name, whatever of the user's own metrics their numbers depend on."""
    return {
        name: [
            metric.where,
            metric.paired,
            metric.quotient,
            sources.of_code(metric.function, extensions.registrars),
        ]
        for name, metric in extensions.metrics.items()
    }


def declared(extensions: Extensions, sources: Sources) -> str:
    """Digest of the files that the user says are read; raises OSError if one cannot be."""
    files = [
        (path.relative_to(place.parent).as_posix(), path)
        for place in extensions.files
        for path in ([place] if place.is_file() else sorted(place.rglob("*")))
        if path.is_file()
    ]
    return sources.of_files(files)


def data_of(protocol: Protocol, root: Path | None, sources: Sources) -> str | None:
    """Digest of the files that a protocol's data are read from; None where only loading them can tell.

    Raises:
        OSError: a file cannot be read.
    """
    files = files_of(protocol.dataset, root)
    if files is None:
        return None
    folder = None
    if protocol.evaluation.source != "generated":
        folder = published_folder(root, str(protocol.dataset["name"]))
    corrupted = published_digest(folder, protocol.evaluation.corruptions) if folder else "generated"
    return digest([sources.of_files(files), corrupted])
