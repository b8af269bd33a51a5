"""Effects of a layer's channels by rewritten graphs: the same numbers to 1e-5, sooner.

What is the same for all sets of a batch of pairs is computed once. Letters: B pairs, E sets of
channels, C channels of the layer. It must not know jobs, plans or where latents come from.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph import MOMENT, ORIGINAL1, ORIGINAL2, PIXEL_MEANS, SETS, TOTAL, Areas
from graftscope.graph.rewrites import CHANNELS, SHARE, ChannelEffects, channel_effects
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import (
    CHANNEL_AXES,
    TENSORS_A_RUN,
    Effects,
    Generator,
    Recording,
)
from graftscope.server.engine._graph_memory import GraphMemory
from graftscope.server.engine._memory import said
from graftscope.server.engine._sessions import Feed, Session
from graftscope.server.errors import TooLarge
from graftscope.v1 import bundle_pb2


@dataclass(frozen=True)
class RewrittenLayer:
    """A layer's lower half, rewritten.

    Attributes:
        generator: the generator.
        layer: where it is cut.
        areas: sides of the areas that maps are averaged over.
        rewrites: names of the rewrites.
    """

    generator: Generator
    layer: bundle_pb2.Layer
    areas: Areas
    rewrites: tuple[str, ...]

    def pair(
        self, recordings: tuple[Recording, Recording], cancellation: Cancellation
    ) -> dict[str, Feed]:
        """What all sets need of a batch of pairs; it stays on the device.

        Raises:
            TooLarge: of a large generator, it would take more memory than is reckoned.
        """
        first, second = recordings
        feeds: dict[str, Feed] = {
            ORIGINAL1: first.activation,
            ORIGINAL2: second.activation,
            **first.carried,
        }
        pair, run = self._sessions()
        if self.generator.is_large:
            most = TENSORS_A_RUN * self.generator.widest_bytes()
            require_room(self._key, pair.takes, run.takes, most)
        return {**feeds, **pair.run(feeds, cancellation)}

    def effects(
        self, pair: dict[str, Feed], sets: NDArray[np.bool_], cancellation: Cancellation
    ) -> Effects:
        """Sums of |hybrid - original 1| over the pairs, for every set (equation 3).

        Args:
            pair: what `pair` gave.
            sets: (E, C); each of one channel where the first linear operation is shared.
            cancellation: what may stop it.
        """
        _, run = self._sessions()
        subject = {CHANNELS: sets.argmax(axis=1)} if SHARE in self.rewrites else {SETS: sets}
        outputs = run.run({**pair, **subject}, cancellation)
        return Effects(*(outputs[name] for name in (TOTAL, MOMENT, PIXEL_MEANS)))

    @property
    def _key(self) -> str:
        rewrites = "+".join(self.rewrites)
        return f"{self.layer.name}/effects{self.areas.height}x{self.areas.width}/{rewrites}"

    def _sessions(self) -> tuple[Session, Session]:
        """Of both graphs, which are built together."""
        build = cache(self._build)
        pair = self.generator.session(f"{self._key}/pair", lambda: build().pair)
        return pair, self.generator.session(f"{self._key}/run", lambda: build().run)

    def _build(self) -> ChannelEffects:
        return channel_effects(
            ir.load(self.generator.folder.path / self.layer.downstream),
            activation=self.layer.tensor,
            channel_axis=CHANNEL_AXES[self.layer.kind],
            areas=self.areas,
            rewrites=self.rewrites,
        )


def require_room(name: str, pair: GraphMemory, run: GraphMemory, most_bytes: int) -> None:
    """Refuses what would take more than is reckoned, before it is run.

    Args:
        name: of the rewritten layer.
        pair: what is run once a batch of pairs, whose outputs are kept meanwhile.
        run: what is run for every hybrid.
        most_bytes: what is reckoned for one hybrid.

    Raises:
        TooLarge: the message says how much of how much.
    """
    taken = max(pair.sample_bytes, pair.given_bytes + run.sample_bytes)
    if taken > most_bytes:
        raise TooLarge(
            f"rewritten graphs {name!r} take {said(taken)} for one hybrid; "
            f"{said(most_bytes)} are reckoned"
        )
