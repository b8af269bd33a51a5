"""What a report starts from instead of computing it: files of influence maps and of modules.

It must not know how a report is drawn, nor speak to a server.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from graftscope.client.arrays import Flag, Names
from graftscope.client.cli._request_options import Given
from graftscope.client.errors import InputError, UsageError
from graftscope.client.values import (
    MAPS,
    InfluenceResult,
    InfluenceTask,
    LayersResult,
    Method,
    ModulesResult,
    ModulesTask,
    Precision,
)

Found = TypeVar("Found", InfluenceResult, ModulesResult)

METHODS = tuple(method for method in Method if not method.needs_products)
"""A report explains templates, which say where channels act: methods that group by just that."""

_OF_GIVEN_ORIGINALS = {
    "images": "--originals PATH",
    "latents": "--latents1 and --latents2",
    "image_pairs": "--originals PATH",
}


@dataclass(frozen=True)
class GivenOptions:
    """Files of what was computed before."""

    maps: Annotated[
        Sequence[str] | None,
        Names(1),
        Flag(
            "--maps",
            "FILE.npz,...",
            "Influence maps as `graftscope influence` wrote them, one file for each layer, "
            "instead of computing them. Everything else is computed with the same model and "
            "the pairs that follow.",
            MAPS,
        ),
    ] = None
    modules: Annotated[
        Sequence[str] | None,
        Names(1),
        Flag(
            "--modules",
            "FILE.npz,...",
            "Modules as `graftscope modules --maps` found them in those maps, instead of "
            "finding them; for layers without a file, modules are found.",
            MAPS,
        ),
    ] = None


@dataclass(frozen=True, eq=False)
class Before:
    """What was computed before.

    Args:
        path: The first file of maps, for messages.
        maps: By their layers' names, in the order of the page; all of the same pairs.
        modules: That were found in them, likewise.
    """

    path: Path
    maps: Mapping[str, InfluenceResult]
    modules: Mapping[str, ModulesResult] = field(default_factory=dict)

    @property
    def first(self) -> InfluenceResult:
        """The maps of the page's first layer."""
        return next(iter(self.maps.values()))

    @property
    def is_whole(self) -> bool:
        """Whether modules of every layer are known."""
        return set(self.modules) == set(self.maps)

    def task(self, drawn: Given[InfluenceTask], originals: object) -> InfluenceTask:
        """Make the task that would compute the first maps, or more of their kind.

        Args:
            drawn: What was said of it.
            originals: Where its pairs come from.
        """
        maps = self.first
        return drawn(
            model=maps.source.model,
            layer=maps.layer,
            originals=originals,
            pairs=maps.pairs,
            seed=maps.seed,
            first=maps.first,
            share=maps.share,
            precision=maps.execution.precision or Precision.FP32,
            uncorrected=not maps.corrected_pairs,
            stratified=maps.stratified,
        )


def read_before(options: GivenOptions) -> Before | None:
    """Read what was computed before; None if no file was named.

    Raises:
        UsageError: If there are modules without maps.
        NotFoundError: If a file is not there.
        InputError: If a file holds something else, or files do not belong together.
    """
    if options.maps is None:
        if options.modules is not None:
            raise UsageError(
                "--modules goes with --maps: give the maps that the modules were found in as well"
            )
        return None
    files = _by_layer(options.maps, _read_maps)
    for path, maps in files.values():
        _check_maps(path, maps)
    _check_same_pairs(files.values())
    before = {layer: maps for layer, (_, maps) in files.items()}
    paths = {layer: path for layer, (path, _) in files.items()}
    modules = _by_layer(options.modules or (), _read_modules)
    for layer, (path, found) in modules.items():
        _check_modules(path, found, before.get(layer), paths.get(layer))
    first = next(iter(paths.values()))
    return Before(first, before, {layer: found for layer, (_, found) in modules.items()})


def refuse_beside(
    before: Before,
    model: str | None,
    layers: Sequence[str] | None,
    dry_run: bool,
    drawn: Given[InfluenceTask],
    grouping: Given[ModulesTask],
) -> None:
    """Refuse what files say already.

    Raises:
        UsageError: If an option says it again.
    """
    if model is not None or layers is not None:
        raise UsageError(
            "--maps already names the model and its layers: leave out --model, --layer"
        )
    if dry_run:
        raise UsageError("--dry-run estimates the cost of computing maps: leave out --maps")
    if said := [option for option in drawn.options() if option != "--fix"]:
        raise UsageError(f"{said[0]} is of maps that are computed: leave out --maps, or it")
    if before.is_whole and (said := grouping.options()):
        raise UsageError(f"{said[0]} is of modules that are found: leave out --modules, or it")
    left_open = [name for name in before.first.fixed if name not in (drawn["fix"] or {})]
    if left_open:
        raise UsageError(
            f"{before.path} comes from samples with a fixed {left_open[0]}, but does not hold "
            f"its value: give it with --fix {left_open[0]}=VALUE"
        )


def check_originals(before: Before, given: object) -> None:
    """Insist on the originals of maps whose originals no file holds.

    Raises:
        UsageError: If they are not given, or given where the maps' own are known.
    """
    of = before.first.originals
    if of in _OF_GIVEN_ORIGINALS and given is None:
        raise UsageError(
            f"{before.path} comes from originals that it does not hold ({of}): give the same "
            f"ones with {_OF_GIVEN_ORIGINALS[of]}"
        )
    if of not in _OF_GIVEN_ORIGINALS and given is not None:
        raise UsageError(f"{before.path} says where its pairs come from ({of}): leave out options")


def _by_layer(
    names: Iterable[str], read: Callable[[Path], Mapping[str, Found]]
) -> dict[str, tuple[Path, Found]]:
    files: dict[str, tuple[Path, Found]] = {}
    for name in names:
        for layer, found in read(Path(name)).items():
            if layer in files:
                raise InputError(f"{name} and {files[layer][0]} are both of layer {layer!r}")
            files[layer] = (Path(name), found)
    return files


def _read_maps(path: Path) -> Mapping[str, InfluenceResult]:
    """Read one layer's maps, or those of several that were written under one name."""
    if not path.exists() and list(path.parent.glob(f"{path.stem}.*{path.suffix}")):
        return LayersResult.load(path).layers
    maps = InfluenceResult.load(path)
    return {maps.layer: maps}


def _read_modules(path: Path) -> Mapping[str, ModulesResult]:
    found = ModulesResult.load(path)
    if found.source is None:
        raise InputError(
            f"{path} does not say which maps its modules were found in: find them again"
        )
    return {found.source.layer: found}


def _check_maps(path: Path, maps: InfluenceResult) -> None:
    if maps.seed is None or maps.first is None or not maps.model:
        raise InputError(
            f"{path} does not say which pairs its maps are of, as earlier versions did not: compute"
            " them anew, which the server that did answers at once"
        )
    if maps.subject != "channels":
        raise InputError(f"{path} holds maps of {maps.subject}; a report is of channels")


def _check_same_pairs(files: Iterable[tuple[Path, InfluenceResult]]) -> None:
    (first, expected), *others = files
    for path, maps in others:
        if _told(maps) != _told(expected):
            raise InputError(
                f"the maps of one report are of one model and the same pairs: {first} is of"
                f" {_told(expected)}, and {path} of {_told(maps)}"
            )


def _told(maps: InfluenceResult) -> str:
    """Which model and pairs maps are of, and how they were computed."""
    share = f", sharing {', '.join(maps.share)}" if maps.share else ""
    fixed = f", fixed {', '.join(maps.fixed)}" if maps.fixed else ""
    spread = ", stratified" if maps.stratified else ""
    # By a rule, layers of one job may stop after different numbers of the same pairs.
    stop = maps.stopping
    pairs = f"{maps.pairs:,} pairs" if stop is None else f"{stop.max_pairs:,} pairs or {stop.until}"
    return (
        f"{maps.source.model}@{maps.source.model_digest[:12]}, {pairs} of seed"
        f" {maps.seed} from {maps.first} ({maps.originals}{share}{fixed}{spread}) in"
        f" {maps.execution.precision}{', corrected' if maps.corrected_pairs else ''}"
    )


def _check_modules(
    path: Path, found: ModulesResult, maps: InfluenceResult | None, of: Path | None
) -> None:
    if maps is None:
        raise InputError(f"{path} is of {found.source}, of which there are no --maps")
    if found.source != maps.source:
        raise InputError(
            f"{path} was found in {found.source} ({found.source and found.source.operation}), and"
            f" {of} is {maps.source} ({maps.operation})"
        )
    if found.method not in METHODS or not found.seeds:
        raise InputError(
            f"{path} says no seed, or modules by {found.method or 'a method that it does not say'};"
            f" a report is of modules by {', '.join(METHODS)}: find them anew"
        )
    if len(found.labels) != len(maps.maps) or found.templates.shape[1:] != maps.map_shape:
        raise InputError(
            f"{path} has labels of {len(found.labels)} channels and templates of"
            f" {found.templates.shape[1:]}, and {of} has maps {maps.maps.shape}"
        )
