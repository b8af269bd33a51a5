"""From options to what a verb works with: a client, originals, channels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import (
    Latents,
    check_writable,
    module_labels,
    naming,
    read_array,
    read_npz,
    typed,
)
from graftscope.client.arrays import latents as checked_latents
from graftscope.client.calls import TLS, ServerChoice, read_token
from graftscope.client.cli._output import note, tell_large
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._shared_options import ChannelOptions, OriginalsOptions, ServerOptions
from graftscope.client.errors import InputError, MissingExtraError, UsageError
from graftscope.client.models import Layer, Model
from graftscope.client.values import Encoded, ImagePairs, Images, LatentPairs, Originals, Prior
from graftscope.client.words import counted

_Kind = TypeVar("_Kind")

_NAMED_SKIPPED = 5

_OPTIONS = {"address": "--server", "bundles": "--bundle"}
"""Options that are called otherwise than in Python."""


@contextmanager
def opened(options: ServerOptions) -> Iterator[Client]:
    """Give a client of the server that the options name."""
    with unopened(options, Client) as client:
        yield client


def unopened(options: ServerOptions, kind: Callable[..., _Kind], token: str | None = None) -> _Kind:
    """Make a client of the server that the options name, of either kind; it is not entered.

    Args:
        options: Which server.
        kind: `Client` or `AsyncClient`.
        token: What it shows, instead of that of the options.
    """
    bundles = options.bundle or None
    choice = ServerChoice(options.server, bundles, options.workers, options.device, options.state)
    choice.refuse_idle(lambda name: _OPTIONS.get(name, f"--{name}"))
    tls = TLS(options.ca, options.cert, options.key)
    return kind(
        options.server,
        bundles=bundles,
        workers=options.workers,
        device=options.device,
        state=options.state,
        timeout_s=options.timeout,
        token=token or (options.token_file and read_token(options.token_file)),
        tls=None if tls == TLS() else tls,
    )


def check_target(out: Path | None, *suffixes: str, option: str = "--out") -> None:
    """Make sure, before any work, that what an option names can be written.

    Raises:
        InputError: If its name ends otherwise.
        OutputError: If it cannot be written.
    """
    if out is None:
        return
    if out.suffix not in suffixes:
        raise InputError(f"{option} {out}: its name must end in {' or '.join(suffixes)}")
    check_writable(out)


def check_drawing(out: Path | None, option: str) -> None:
    """Refuse before the work, not after it, what cannot be drawn.

    Raises:
        MissingExtraError: If the library that draws is not installed.
    """
    check_target(out, ".png", option=option)
    if out is not None and find_spec("matplotlib") is None:
        raise MissingExtraError(
            f"{option} needs matplotlib, which is not installed;"
            " install it with: pip install 'graftscope[report]'"
        )


def chosen_originals(
    options: OriginalsOptions, model: Model, asked: Given[Any], *, takes_second: bool = True
) -> Originals | None:
    """Find where the pairs of originals come from.

    Args:
        options: What was said of it.
        model: Whose images or latents.
        asked: The request, whose number of pairs must be left open where latents are all of them.
        takes_second: Whether values are taken from original 2; else it may be left out.

    Raises:
        UsageError: If options contradict each other, or one of two is missing.
    """
    if options.latents1 is None and options.latents2 is None:
        return named_originals(options.originals, model)
    if options.latents1 is None or (options.latents2 is None and takes_second):
        raise UsageError("--latents1 and --latents2 go together: a pair needs both originals")
    said = asked.options("pairs", "seed", "stratified")
    said += [] if options.originals is None else ["--originals"]
    if said:
        raise UsageError(
            f"--latents1 and --latents2 already give all the pairs: leave out {said[0]}"
        )
    second = options.latents2
    return LatentPairs(
        read_latents(options.latents1, model),
        None if second is None else read_latents(second, model),
    )


def image_pairs(
    image1: Path | None,
    image2: Path | None,
    originals: OriginalsOptions,
    asked: Given[Any],
    model: Model,
    takes_second: bool,
) -> Originals | None:
    """Read pairs of photographs, if they were given.

    Raises:
        UsageError: If one of two is missing, or other originals are named too.
    """
    if image1 is None and image2 is None:
        return None
    if image1 is None or (image2 is None and takes_second):
        raise UsageError("--image1 and --image2 go together: a pair needs both originals")
    if originals != OriginalsOptions() or asked.options("pairs", "seed"):
        raise UsageError(
            "--image1 and --image2 already give all the pairs: leave out other originals"
        )
    second = None if image2 is None else read_pictures(image2, model)
    return ImagePairs(read_pictures(image1, model), second)


def named_originals(name: str | None, model: Model) -> Originals | None:
    """Find where the pairs come from by what `--originals` says; None for the default."""
    match name:
        case None:
            return None
        case "prior":
            return Prior()
        case "encoded":
            return Encoded()
        case _:
            return Images(read_pictures(Path(name), model))


def some_pictures(path: Path, model: Model, most: int, seed: int) -> NDArray[np.uint8]:
    """Read as many real images at most, taken at random from all that there are."""
    # Pillow takes a while to import.
    from graftscope.client.pictures import image_names

    names = image_names(path)
    order = np.random.default_rng(seed).permutation(len(names))[:most]
    taken = {names[each] for each in order.tolist()}
    return read_pictures(path, model, taken.__contains__)


def read_pictures(
    path: Path, model: Model, chosen: Callable[[str], bool] = lambda name: True
) -> NDArray[np.uint8]:
    """Read real images for a model; those that cannot be read are told of.

    Args:
        path: An image, a folder or a zip.
        model: Whose image's size they get.
        chosen: Tells by an image's name whether it is wanted.
    """
    # Pillow takes a while to import.
    from graftscope.client.pictures import read_images

    read = read_images(path, model.image, chosen)
    if read.skipped:
        named = "; ".join(read.skipped[:_NAMED_SKIPPED])
        more = len(read.skipped) - _NAMED_SKIPPED
        note(
            f"skipped {len(read.skipped)} of {len(read.skipped) + len(read.images)} images: {named}"
            + (f"; and {more} more" if more > 0 else "")
        )
    tell_large(f"{counted(len(read.images), 'image')} to send", read.images.nbytes)
    return read.images


def read_latents(path: Path, model: Model) -> Latents:
    """Read latents: arrays by the names of the model's inputs.

    Which inputs may be left out is for the server to say: noise may, and what is fixed.

    Raises:
        InputError: If there is none at all.
    """
    arrays = read_npz(path)
    latents = {each.name: arrays[each.name] for each in model.inputs if each.name in arrays}
    if not latents:
        held = ", ".join(arrays) or "no arrays"
        raise InputError(
            f"{path} has no array {model.inputs[0].name!r}, which is an input of model"
            f" {model.name!r}; it has: {held}"
        )
    with naming(path):
        return checked_latents("latents", latents)


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read the labels of a file of modules.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it has none, or not such ones.
    """
    labels = read_array(path, "labels")
    with naming(path):
        return module_labels(labels)


def spread_labels(labels: NDArray[np.integer], path: Path, layer: Layer) -> NDArray[np.integer]:
    """Give labels to every channel of a layer, where they are of some, and the file says which.

    Args:
        labels: Those of the file.
        path: The file.
        layer: Which its channels are of.

    Returns:
        (C,) labels, -1 for channels that the file says nothing of; otherwise those of the file.
    """
    channels = read_npz(path).get("channels")
    if channels is None or channels.shape != labels.shape or len(labels) >= layer.channels:
        return labels
    numbers = typed("channels", channels, np.dtype(np.int64))
    if not np.isin(numbers, np.arange(layer.channels)).all():
        return labels
    spread = np.full(layer.channels, -1)
    spread[numbers] = labels
    return spread


def chosen_channels(
    options: ChannelOptions,
) -> tuple[tuple[int, ...] | None, NDArray[np.integer] | None]:
    """Read the channels, or the labels of modules, that the options name; neither may be named."""
    if options.channels is not None and options.modules is not None:
        raise UsageError("give either --channels or --modules")
    labels = None if options.modules is None else read_labels(options.modules)
    channels = None if options.channels is None else tuple(options.channels)
    return channels, labels
