"""Sets of hybrids in files: a folder, in which an export can be continued, or one `.npz`."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import (
    Source,
    check_writable,
    file_name,
    prepare_folder,
    read_array,
    read_bytes,
    write_bytes,
    write_npz,
)
from graftscope.client.errors import InputError
from graftscope.client.hybrid_sets._making import SetMaker
from graftscope.client.hybrid_sets._rows import to_csv, to_line
from graftscope.client.hybrid_sets._wanted import HybridSet, Recipe
from graftscope.client.models import Model

RECIPE, LINES, TABLE, MODULES, IMAGES = (
    *("recipe.json", "table.jsonl", "table.csv", "modules.npz"),
    "images",
)
"""What a set's folder holds."""

ImagesCallback: TypeAlias = Callable[[int, int], None]
"""Hears of how many images there are, of how many."""


def export_hybrids(
    client: Client,
    out: str | Path,
    wanted: HybridSet,
    on_progress: ImagesCallback | None = None,
) -> int:
    """Make a labelled set of hybrids and write it.

    A folder gets ``images/*.png`` of the generator's own size; ``table.csv`` and ``table.jsonl``
    with a row an image: its pair, its kind, and for each module the original that it comes from,
    with that one's class where the generator takes a class; ``modules.npz``, the channels of each
    module; and ``recipe.json``, which says what decides the images. The same call continues
    an export that was interrupted, and ends in the same files. ``FILE.npz`` holds the same in
    arrays, and begins anew: `images` (N, H, W, c) uint8, `table` (N,) the lines of
    ``table.jsonl``, `labels` (C,).

    Args:
        client: Of a server that has the model.
        out: The folder, or ``FILE.npz``.
        wanted: Which hybrids.
        on_progress: Hears of how many images there are, of how many.

    Returns:
        How many images this call made; the others were there.

    Raises:
        InputError: If the folder holds something else, or a set of another recipe.
        OutputError: If a file cannot be written.
        NotFoundError: If the server does not have the model, or the classifier.
    """
    model = client.model(wanted.model)
    recipe = wanted.recipe(model)
    place = file_name(out)
    if place.suffix != ".npz":
        check_recipe(place, recipe)
    maker = SetMaker(client, wanted, model)
    maker.ask_classifier()
    heard = on_progress or (lambda done, total: None)
    if place.suffix == ".npz":
        return _export_arrays(check_writable(place), maker, wanted, model, heard)
    _begin(place, recipe, wanted, model)
    return _export_folder(place, maker, wanted, model, heard)


def check_recipe(folder: Path, recipe: Recipe) -> None:
    """Refuse a folder that holds something else, or a set of another recipe.

    Raises:
        InputError: If it does.
    """
    held = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if held <= {MODULES, IMAGES} and not folder.is_file():
        return  # Nothing, or what goes before the recipe.
    if not (folder / RECIPE).is_file():
        raise InputError(
            f"{folder} holds something else than a set of hybrids: name a new or an empty folder"
        )
    try:
        found = json.loads(read_bytes(folder / RECIPE))
    except ValueError as error:
        raise InputError(f"{folder / RECIPE} is damaged: {error}") from error
    if found == recipe:
        return
    given = found if isinstance(found, dict) else {}
    differ = [name for name in {**recipe, **given} if recipe.get(name) != given.get(name)]
    said = "; ".join(f"{name} {given.get(name)}, not {recipe.get(name)}" for name in differ)
    raise InputError(f"{folder} holds a set of another recipe ({said}): name another folder")


def _begin(folder: Path, recipe: Recipe, wanted: HybridSet, model: Model) -> None:
    check_recipe(folder, recipe)
    prepare_folder(folder / IMAGES)
    if not _holds(folder / MODULES, wanted.labels):
        source = Source(model.name, model.digest, model.layer(wanted.layer).name, "")
        write_npz(folder / MODULES, {"labels": wanted.labels}, source.to_comment())
    # Last: a folder with a recipe has all that goes before the images.
    write_bytes(folder / RECIPE, (json.dumps(recipe, indent=2) + "\n").encode())


def _holds(path: Path, labels: NDArray[np.integer]) -> bool:
    """Whether a file has these labels; it may say more of them."""
    return path.is_file() and np.array_equal(read_array(path, "labels"), labels)


def _export_folder(
    folder: Path, maker: SetMaker, wanted: HybridSet, model: Model, heard: ImagesCallback
) -> int:
    lines = _known_lines(folder / LINES)
    layer = model.layer(wanted.layer).name
    made = done = 0
    heard(0, wanted.images)
    with (folder / LINES).open("a", encoding="utf-8") as table:
        for pairs in maker.calls():
            names = [row.file for row in maker.rows(pairs)]
            if not all(name in lines and _is_there(folder, name) for name in names):
                for each in maker.made(pairs):
                    write_bytes(folder / IMAGES / each.row.file, each.png)
                    lines[each.row.file] = to_line(each.row, wanted.seed, layer)
                # After the images: a line promises that its file is whole.
                table.writelines(f"{lines[name]}\n" for name in names)
                table.flush()
                made += len(names)
            done += len(names)
            heard(done, wanted.images)
    ordered = [lines[row.file] for pairs in maker.calls() for row in maker.rows(pairs)]
    write_bytes(folder / LINES, "".join(f"{line}\n" for line in ordered).encode())
    write_bytes(folder / TABLE, to_csv(ordered).encode())
    return made


def _known_lines(path: Path) -> dict[str, str]:
    """The lines of an interrupted export by their files' names; the last may be half a line."""
    if not path.is_file():
        return {}
    *whole, _ = read_bytes(path).decode().split("\n")
    path.write_bytes("".join(f"{line}\n" for line in whole).encode())
    return {json.loads(line)["file"]: line for line in whole}


def _is_there(folder: Path, name: str) -> bool:
    return (folder / IMAGES / name).is_file()


def _export_arrays(
    path: Path, maker: SetMaker, wanted: HybridSet, model: Model, heard: ImagesCallback
) -> int:
    # Pillow takes a while to import.
    from PIL import Image

    def pixels() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for pairs in maker.calls():
            for each in maker.made(pairs):
                line = to_line(each.row, wanted.seed, layer)
                array = np.asarray(Image.open(BytesIO(each.png)))
                yield line, array if array.ndim == 3 else array[..., np.newaxis]

    layer = model.layer(wanted.layer).name
    image = model.image
    images = np.empty((wanted.images, image.height, image.width, image.channels), np.uint8)
    lines = []
    heard(0, wanted.images)
    for at, (line, array) in enumerate(pixels()):
        images[at] = array
        lines.append(line)
        heard(at + 1, wanted.images)
    source = Source(model.name, model.digest, layer, "")
    held = {"images": images, "table": np.array(lines), "labels": wanted.labels}
    write_npz(path, held, source.to_comment())
    return len(lines)
