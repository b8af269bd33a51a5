"""Samples and hybrids of several callers in few runs.

Each pair may have an intervention of its own: swaps at one layer go through a graph that takes a
set E for every image, so that both originals and the hybrid of every pair come out of one run.
Interventions of any other form share the runs of their form. It must not know jobs, gRPC or who
asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import TypeAlias, cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph import DONORS, FIRST, HYBRIDS, SAMPLES, SETS, splice_samples
from graftscope.server.engine._batching import Kind
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._edits import Intervention, plain_swap
from graftscope.server.engine._generator import (
    CHANNEL_AXES,
    LARGE_BYTES,
    Generator,
    Latents,
    Recording,
)
from graftscope.server.engine._intervention_forms import (
    Donors,
    Feeds,
    Form,
    slots_of,
    stacked_slots,
)
from graftscope.v1 import bundle_pb2

DrawPairs: TypeAlias = Callable[[], tuple[Latents, Latents]]
"""Gives the latents of some pairs, by input's name, each (B, ...)."""

# Pairs a run: more are hardly faster on a CPU, and let others wait for longer.
_MOST_PAIRS = 16
_IMAGES_A_PAIR = 3

# Samples a run: fewer where a tensor of one of them is large.
_BATCH = 32
_BATCH_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Hybrids:
    """Both originals and the hybrid of every pair, each (B, c, H, W), in the generator's range."""

    original1: NDArray[np.float32]
    original2: NDArray[np.float32]
    hybrid: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Graft:
    """An intervention on some pairs.

    Attributes:
        intervention: at least one edit.
        draw: gives the pairs.
    """

    intervention: Intervention
    draw: DrawPairs


@dataclass(frozen=True, eq=False)
class Drawn:
    """An intervention with the latents of its pairs, by input's name, each (B, ...)."""

    intervention: Intervention
    latents1: Latents
    latents2: Latents

    def __len__(self) -> int:
        return len(next(iter(self.latents1.values())))


Grafting: TypeAlias = Kind[Graft, Drawn, Hybrids]


def grafting(generator: Generator, intervention: Intervention) -> Grafting:
    """What an intervention can be made together with: swaps at its layer, or others of its form."""
    layer = swapped_layer(generator, intervention)
    if layer is None:
        return grafting_by_form(generator, intervention)
    return generator.memo.get(f"swaps/{layer.name}", lambda: _swapping(generator, layer))


def swapped_layer(generator: Generator, intervention: Intervention) -> bundle_pb2.Layer | None:
    """The layer of a swap that goes through `swapped_images`; None for any other intervention."""
    edit = plain_swap(intervention)
    if edit is None:
        return None
    layer = generator.layer(edit.layer)
    # One pair's images by themselves where they are large.
    return layer if _swaps_a_run(generator, layer) else None


def _swapping(generator: Generator, layer: bundle_pb2.Layer) -> Grafting:
    return Kind(
        ("swap", generator, layer.name),
        _swaps_a_run(generator, layer),
        _drawn,
        lambda drawn, cancellation: _swap(generator, layer, drawn, cancellation),
        partial(generator.is_open, *filter(None, [layer.upstream]), f"{layer.name}/samples"),
    )


def grafting_by_form(generator: Generator, intervention: Intervention) -> Grafting:
    """The same through the general path, also where there is a faster one."""
    form = Form.of(generator, intervention)
    layers = [generator.layer(edit.layer) for edit in intervention]
    return Kind(
        ("assign", form),
        min(_MOST_PAIRS, _images_a_run(generator, layers)),
        _drawn,
        lambda drawn, cancellation: _assign(form, drawn, cancellation),
        partial(form.is_open, intervention),
    )


def _swaps_a_run(generator: Generator, layer: bundle_pb2.Layer) -> int:
    return min(_MOST_PAIRS, _images_a_run(generator, [layer]) // _IMAGES_A_PAIR)


def _images_a_run(generator: Generator, layers: Sequence[bundle_pb2.Layer]) -> int:
    """As many as stay near the size of a core's cache; at least one."""
    places = min(layer.height * layer.width for layer in layers)
    return max(1, LARGE_BYTES // generator.widest_bytes(places))


def _drawn(graft: Graft) -> Drawn:
    return Drawn(graft.intervention, *graft.draw())


def _swap(
    generator: Generator,
    layer: bundle_pb2.Layer,
    drawn: Sequence[Drawn],
    cancellation: Cancellation | None,
) -> list[Hybrids]:
    """Original 1, original 2 and the hybrid of every pair, from one run over both originals."""
    count = sum(map(len, drawn))  # N pairs
    samples = stacked([x.latents1 for x in drawn] + [x.latents2 for x in drawn])  # (2 N, ...)
    recording = generator.record(layer, samples, cancellation)
    sets = np.zeros((_IMAGES_A_PAIR * count, layer.channels), dtype=np.bool_)
    for rows, each in zip(_rows(drawn), drawn, strict=True):
        channels = list(each.intervention[0].channels)
        sets[2 * count + rows.start : 2 * count + rows.stop, channels] = True
    first, second = np.arange(count), np.arange(count, 2 * count)
    images = swapped_images(
        generator,
        layer,
        recording,
        np.concatenate([first, second, first]),
        np.concatenate([first, second, second]),
        sets,
        cancellation,
    )
    return _split(images, drawn)


def swapped_images(
    generator: Generator,
    layer: bundle_pb2.Layer,
    recording: Recording,
    first: NDArray[np.int64],
    donors: NDArray[np.int64],
    sets: NDArray[np.bool_],
    cancellation: Cancellation | None,
) -> NDArray[np.float32]:
    """(N, c, H, W), each made from two of the samples that were recorded.

    Args:
        generator: the generator.
        layer: where they were recorded, and where channels are swapped.
        recording: of all samples.
        first: (N,) which of them has the other channels.
        donors: (N,) which of them has the channels of the set.
        sets: (N, C) the set of each image.
        cancellation: what may stop it.
    """
    feeds = {
        SAMPLES: recording.activation,
        FIRST: first,
        DONORS: donors,
        SETS: sets,
        **recording.carried,
    }
    session = generator.session(f"{layer.name}/samples", lambda: _by_samples(generator, layer))
    return cast(NDArray[np.float32], session.run(feeds, cancellation)[HYBRIDS].numpy())


def _by_samples(generator: Generator, layer: bundle_pb2.Layer) -> ir.Model:
    downstream = ir.load(generator.folder.file(layer.downstream))
    axis = CHANNEL_AXES[layer.kind]
    return splice_samples(downstream, activation=layer.tensor, channel_axis=axis)


def _assign(form: Form, drawn: Sequence[Drawn], cancellation: Cancellation | None) -> list[Hybrids]:
    """The same through a form's graph, whose places and values are fed pair by pair."""
    latents1, latents2 = (
        stacked([x.latents1 for x in drawn]),
        stacked([x.latents2 for x in drawn]),
    )
    above1, above2 = (form.above(x, cancellation) for x in (latents1, latents2))
    donors = Donors(form.generator, latents2, cancellation)
    slots = [
        slots_of(each.intervention, donors, rows)
        for rows, each in zip(_rows(drawn), drawn, strict=True)
    ]
    nothing = form.nothing(drawn[0].intervention)
    made: list[tuple[Feeds, Feeds]] = [
        (above1, nothing),
        (above2, nothing),
        (above1, stacked_slots(slots, [len(x) for x in drawn])),
    ]
    images = [form.images(above, places, cancellation).numpy() for above, places in made]
    return [Hybrids(*(x[rows] for x in images)) for rows in _rows(drawn)]


def _split(images: NDArray[np.float32], drawn: Sequence[Drawn]) -> list[Hybrids]:
    """(3 N, c, H, W), all pairs of the first kind first, to what each asked for."""
    by_kind = images.reshape(_IMAGES_A_PAIR, -1, *images.shape[1:])
    return [Hybrids(*by_kind[:, rows]) for rows in _rows(drawn)]


def _rows(drawn: Sequence[Drawn]) -> list[slice]:
    """Where the pairs of each lie among all."""
    ends = list(accumulate(map(len, drawn), initial=0))
    return [slice(start, end) for start, end in pairwise(ends)]


def stacked(latents: Sequence[Latents]) -> Latents:
    """One after the other, each (B, ...) by input's name."""
    if len(latents) == 1:
        return latents[0]
    return {name: np.concatenate([x[name] for x in latents]) for name in latents[0]}


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, (B, c, H, W) in the generator's own range, and what they were made from."""

    latents: Latents
    images: NDArray[np.float32]


Sampling: TypeAlias = Kind[Callable[[], Latents], Latents, Samples]


def sampling(generator: Generator) -> Sampling:
    """Samples of a generator; a task gives the latents, by input's name, each (B, ...)."""
    return Kind(
        ("generate", generator),
        samples_a_run(generator),
        lambda draw: draw(),
        lambda drawn, cancellation: _generate(generator, drawn, cancellation),
        partial(generator.is_open, generator.manifest.generator),
    )


def samples_a_run(generator: Generator) -> int:
    """How many samples go into one run."""
    return max(1, min(_BATCH, _BATCH_BYTES // generator.widest_bytes()))


def _generate(
    generator: Generator, drawn: Sequence[Latents], cancellation: Cancellation
) -> list[Samples]:
    stacked = {name: np.concatenate([x[name] for x in drawn]) for name in drawn[0]}
    images = generator.generate(stacked, cancellation)
    ends = list(accumulate((len(next(iter(x.values()))) for x in drawn), initial=0))
    return [
        Samples(latents, images[start:end])
        for latents, (start, end) in zip(drawn, pairwise(ends), strict=True)
    ]
