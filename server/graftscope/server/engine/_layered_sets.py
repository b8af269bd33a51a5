"""Every channel of several layers in one pass: originals are generated once for all layers.

It must not know jobs, gRPC or workers.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph import upper_half
from graftscope.graph.rewrites import SUBPIXEL, rewrite
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import Effects, Generator, Latents, Recording, recorded
from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import CompiledSize, Plan, choose_plan, rewritten
from graftscope.server.engine._precision import Backend
from graftscope.server.engine._subjects import Batch, ChannelSets
from graftscope.v1 import bundle_pb2


@dataclass(frozen=True, eq=False)
class LayeredSets:
    """Swaps of single channels at several layers; the maps of one layer follow those before it.

    Attributes:
        generator: the generator.
        parts: each layer's channels, at least one layer.
        products: whether products of effects are wanted too, between layers as well.
    """

    generator: Generator
    parts: tuple[ChannelSets, ...]
    products: bool = False

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def only(self, rows: NDArray[np.int64]) -> "LayeredSets":
        """As `Subject`; at a layer of which there is none, originals are not recorded."""
        own = [rows[(rows >= x.start) & (rows < x.stop)] - x.start for x in self.rows]
        parts = zip(self.parts, own, strict=True)
        return replace(self, parts=tuple(part.only(some) for part, some in parts if len(some)))

    @property
    def shape(self) -> Hashable:
        """As `Subject`."""
        return tuple(part.shape for part in self.parts)

    @property
    def rows(self) -> tuple[range, ...]:
        """The indices of each layer's maps."""
        counts = [len(part) for part in self.parts]
        ends = accumulate(counts)
        return tuple(range(end - count, end) for end, count in zip(ends, counts, strict=True))

    def plan(self) -> Plan:
        """As `Subject`: common to all layers, of a size that suits the deepest."""
        deepest = min((part.layer for part in self.parts), key=lambda x: x.height * x.width)
        return choose_plan(self.generator, deepest, self._most_sets, one_pair=self.products)

    def candidates(self, backends: Sequence[Backend]) -> tuple[Plan, ...]:
        """As `Subject`: plain, compiled where every layer can be, and with all rewrites."""
        plain = (self.plan().on(backend) for backend in backends)
        compiled = CompiledSize.largest([part.compiled_size for part in self.parts])
        return tuple(
            x
            for plan in plain
            for x in rewritten(self.generator, plan, single=True, compiled=compiled)
            if not x.rewrites or SUBPIXEL in x.rewrites
        )

    def kinds(self, plan: Plan) -> list[tuple[range, int]]:
        """As `Subject`: a layer's runs are alike."""
        return [
            (rows[: min(plan.sets, len(rows))], -(-len(rows) // plan.sets)) for rows in self.rows
        ]

    def record(
        self, source: PairSource, pairs: range, plan: Plan, cancellation: Cancellation
    ) -> Batch:
        """As `Subject`: each original once for all layers."""
        generator = self.generator.on(plan.backend)
        firsts, seconds = (
            self._record(generator, latents, plan, cancellation)
            for latents in source.latents(pairs)
        )
        recordings = tuple(zip(firsts, seconds, strict=True))
        return _LayersBatch(self, generator, recordings, plan, cancellation)

    @property
    def _most_sets(self) -> int:
        return max(len(part) for part in self.parts)

    def _record(
        self, generator: Generator, latents: Latents, plan: Plan, cancellation: Cancellation
    ) -> list[Recording]:
        """What each layer holds; a layer that is an input of the generator has nothing above it."""
        computed = [part.layer for part in self.parts if part.layer.upstream]
        if not computed:
            return [
                generator.record(part.layer, latents, cancellation, plan.rewrites)
                for part in self.parts
            ]
        tensors = _crossing(computed, latents)
        purpose = "&".join([*tensors, *plan.rewrites])
        upper = generator.session(f"upper/{purpose}", lambda: _upper(generator, tensors, plan))
        outputs = upper.run(latents, cancellation)
        crossing = {**{name: upper.place(array) for name, array in latents.items()}, **outputs}
        return [recorded(part.layer, latents, crossing) for part in self.parts]


def _crossing(layers: Sequence[bundle_pb2.Layer], latents: Latents) -> list[str]:
    """The tensors that cross the cuts at these layers and are computed, each once."""
    names = (name for layer in layers for name in (layer.tensor, *layer.carried))
    return [name for name in dict.fromkeys(names) if name not in latents]


def _upper(generator: Generator, tensors: Sequence[str], plan: Plan) -> ir.Model:
    whole = ir.load(generator.folder.file(generator.manifest.generator))
    return rewrite(upper_half(whole, tensors), plan.rewrites)


@dataclass(eq=False)
class _LayersBatch:
    """It holds what one layer's runs need, and changes when the next layer's turn comes."""

    subject: LayeredSets
    generator: Generator
    recordings: tuple[tuple[Recording, Recording], ...]
    plan: Plan
    cancellation: Cancellation
    _at: int = -1
    _batch: Batch | None = None

    def effects(self, some: range) -> Effects:
        """As `Batch`; a run that spans two layers is made in two."""
        return Effects.joined([self._of(i, within) for i, within in self._divided(some)])

    def _divided(self, some: range) -> list[tuple[int, range]]:
        """Which of each layer's own sets are among some of all."""
        found = []
        for i, rows in enumerate(self.subject.rows):
            start, stop = max(some.start, rows.start), min(some.stop, rows.stop)
            if start < stop:
                found.append((i, range(start - rows.start, stop - rows.start)))
        return found

    def _of(self, at: int, some: range) -> Effects:
        if at != self._at or self._batch is None:
            part, recordings = self.subject.parts[at], self.recordings[at]
            self._batch = None  # Two layers' never lie side by side.
            self._batch = part.batch(self.generator, recordings, self.plan, self.cancellation)
            self._at = at
        return self._batch.effects(some)
