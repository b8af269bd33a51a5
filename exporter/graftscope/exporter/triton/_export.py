"""An export to Triton, top to bottom: read a bundle, write, check, put in place."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx_ir as ir

from graftscope.bundle import find_shipped, read_bundle
from graftscope.exporter._folder import sync
from graftscope.exporter._layer_choice import parse_layers
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import (
    ExportCallback,
    ExportProgress,
    ExportStage,
    ignore_progress,
)
from graftscope.exporter.triton._check import GRAPH_FILE, VERSION, check
from graftscope.exporter.triton._config import to_text
from graftscope.exporter.triton._folder import (
    CONFIG_FILE,
    KEPT_FILE,
    link,
    put,
    replaceable,
    require_repository,
)
from graftscope.exporter.triton._models import BundleModels, TritonModel, models_of
from graftscope.sandbox import Sandbox
from graftscope.v1 import bundle_pb2

MAX_BATCH: Final = 64
"""The most samples of a request, unless it is said otherwise."""


@dataclass(frozen=True)
class TritonPlan:
    """What is going to be written.

    Attributes:
        models: How many models.
        size_bytes: How much the repository takes on the disk, its weights once.
        copied_bytes: How much it takes where every model has weights of its own: on a file system
            without hard links, or in an object store.
    """

    models: int
    size_bytes: int
    copied_bytes: int


@dataclass(frozen=True)
class TritonRepository:
    """What was written.

    Attributes:
        directory: The repository.
        manifest: The manifest of the bundle that it was written from.
        models: The models' names, no ensemble before what it runs.
        linked: Whether models share one file of weights by hard links.
        max_batch: The most samples of a request; 0 where Triton is told of no batch, because an
            input is one number a sample.
    """

    directory: Path
    manifest: bundle_pb2.Bundle
    models: tuple[str, ...]
    linked: bool
    max_batch: int


def export_triton(
    bundle: str | Path,
    directory: str | Path,
    *,
    layers: Sequence[str] = (),
    max_batch: int = MAX_BATCH,
    overwrite: bool = False,
    on_plan: Callable[[TritonPlan], None] | None = None,
    on_progress: ExportCallback | None = None,
) -> TritonRepository:
    """Write a bundle as models of Triton Inference Server.

    Args:
        bundle: A bundle's folder, or the name of one that comes with the package.
        directory: The model repository; it may be missing, empty, or hold other models.
        layers: Which layers, as for `graftscope.exporter.export`. Empty takes all.
        max_batch: The most samples of a request, at least 1.
        overwrite: Whether models of a bundle of the same name are replaced.
        on_plan: Hears how large it becomes, before it is written.
        on_progress: Hears of every step.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
        ModelRefusedError: If the bundle's graphs ask for more than a file may.
        SourceError: If a layer is unknown, or a tensor cannot be served.
        TargetExistsError: If the folder is no model repository, or has these models already.
        ProofError: If what was written is not what Triton is told, or its ensembles do not give
            the bundle's hybrids; nothing is put in place then.
    """
    target, report = Path(directory), on_progress or ignore_progress
    if max_batch < 1:
        raise SourceError(f"max_batch {max_batch} is below 1, the least that a request may hold")
    require_repository(target)
    models = _models(bundle, layers, max_batch)
    names = tuple(models.configs)
    replaceable(target, models.generator.config.name, names, overwrite=overwrite)
    if on_plan is not None:
        on_plan(_plan(models))
    with _folder_beside(target) as folder:
        linked = _write(folder, models, report)
        total = len(models.layers)
        report(ExportProgress(ExportStage.PROVING, 0, total))
        done = iter(range(1, total + 1))
        check(
            folder,
            models,
            lambda: report(ExportProgress(ExportStage.PROVING, next(done), total)),
        )
        for path in folder.rglob("*"):
            sync(path)
        # Somebody else may have made or changed the target meanwhile.
        old = replaceable(target, models.generator.config.name, names, overwrite=overwrite)
        put(folder, target, names, old)
        sync(target)
    return TritonRepository(
        target, models.bundle.manifest, names, linked, models.generator.config.max_batch
    )


def _models(bundle: str | Path, layers: Sequence[str], max_batch: int) -> BundleModels:
    folder = Path(bundle) if Path(bundle).exists() else find_shipped(str(bundle))
    found = read_bundle(folder)
    Sandbox().require_bundle(found)
    latents = [each.name for each in found.manifest.inputs]
    chosen = parse_layers(layers).of(found.manifest.layers, latents)
    return models_of(found, chosen, max_batch)


def _plan(models: BundleModels) -> TritonPlan:
    graphs = sum(each.file.stat().st_size for each in models if each.file is not None)
    external = [models.bundle.file(name).stat().st_size for x in models for name in x.external]
    once = {name: models.bundle.file(name).stat().st_size for x in models for name in x.external}
    return TritonPlan(len(models.configs), graphs + sum(once.values()), graphs + sum(external))


def _write(folder: Path, models: BundleModels, report: ExportCallback) -> bool:
    """Write every model; tell whether weights are shared."""
    total = len(models.configs)
    weights: dict[str, Path] = {}
    linked = True
    for done, model in enumerate(models):
        report(ExportProgress(ExportStage.WRITING, done, total))
        version = folder / model.config.name / VERSION
        version.mkdir(parents=True)
        (version.parent / CONFIG_FILE).write_text(to_text(model.config), encoding="ascii")
        _write_graph(version / GRAPH_FILE, model)
        for name in model.external:
            if name in weights:
                linked &= link(weights[name], version / name)
            else:
                # Not the bundle's own file: a bundle is refused whose files have other names.
                weights[name] = version / name
                shutil.copyfile(models.bundle.file(name), version / name)
    report(ExportProgress(ExportStage.WRITING, total, total))
    return linked


def _write_graph(path: Path, model: TritonModel) -> None:
    if model.file is not None:
        shutil.copyfile(model.file, path)
    elif model.made is not None:
        path.write_bytes(ir.to_proto(model.made).SerializeToString(deterministic=True))
    else:
        # An ensemble's version is a folder without a graph; not everything that copies files keeps
        # folders that are empty.
        path.with_name(KEPT_FILE).touch()


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """Give a temporary folder on the file system of the target, from where one rename puts it.

    It is not inside of the target if it can be helped, for Triton would take it for a model there.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    # A repository may be the root of a file system, beside which lies another.
    apart = target.exists() and target.stat().st_dev != target.parent.stat().st_dev
    where = target if apart else target.parent
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=where))
    try:
        folder.chmod(0o755)  # mkdtemp's folders are their owner's alone
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
