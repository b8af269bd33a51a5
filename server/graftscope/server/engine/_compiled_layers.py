"""Effects of a layer's channels by compiled code, where what follows the cut is a plain chain.

It takes llvmlite, an extra. Where that is missing, or the chain is none, graphs compute the same.
Letters: B pairs, E sets of one channel, C channels of the layer. It must not know jobs or plans.
"""

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph import upper_half
from graftscope.graph.rewrites import chain_above, chain_of, rewrite
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import (
    CHANNEL_AXES,
    Effects,
    Generator,
    Latents,
    Recording,
    recorded,
)
from graftscope.server.engine._plan import CompiledSize
from graftscope.server.errors import DeviceUnavailable
from graftscope.v1 import bundle_pb2

if TYPE_CHECKING:
    from graftscope.server.engine.compiled import (
        Activations,
        Chain,
        ChainEffects,
        Prepared,
        Stages,
    )

_PACKAGE = "llvmlite"
_INSTALL = "pip install 'graftscope[compile]'"


def can_compile() -> bool:
    """Whether this machine can run a plan that compiles."""
    if not _is_installed():
        return False
    # An extra, and slow to import.
    from graftscope.server.engine.compiled import registers

    return registers() is not None


def describe_compiler() -> str:
    """A few words on whether there is a compiler, and how to get one; it is not loaded yet."""
    return "llvmlite" if _is_installed() else f"not installed ({_INSTALL})"


def _is_installed() -> bool:
    return importlib.util.find_spec(_PACKAGE) is not None


@dataclass(frozen=True)
class CompiledLayer:
    """A layer's lower half, compiled.

    Attributes:
        generator: the generator.
        layer: where it is cut.
    """

    generator: Generator
    layer: bundle_pb2.Layer

    @property
    def size(self) -> CompiledSize | None:
        """What a run takes; None where this machine cannot compile, or not this layer."""
        if not _is_installed():
            return None
        return self.generator.memo.get(f"{self.layer.name}/compiled", self._size)

    def record(
        self, latents: Latents, rewrites: tuple[str, ...], cancellation: Cancellation
    ) -> Recording:
        """As `Generator.record`; the last stages above the cut are compiled too, where they can be.

        Args:
            latents: (B, ...) by the input's name.
            rewrites: of what comes before them.
            cancellation: what may stop it.

        Raises:
            DeviceUnavailable: nothing can be compiled here; the plan was made elsewhere.
        """
        self._check()
        start = self.generator.memo.get(f"{self.layer.name}/compiled from", self._start)
        if not start:
            return self.generator.record(self.layer, latents, cancellation, rewrites)
        purpose = f"{self.layer.upstream}/{start}/{'+'.join(rewrites)}"
        upper = self.generator.session(purpose, lambda: self._before(start, rewrites))
        above = self.generator.keep(f"{self.layer.name}/compiled above", self._compiled_above)
        given = upper.run(latents, cancellation)[start].numpy()
        cancellation.check()
        crossing = {self.layer.tensor: upper.place(above.run(given))}
        return recorded(self.layer, latents, crossing)

    def pair(
        self, recordings: tuple[Recording, Recording], cancellation: Cancellation
    ) -> "Prepared":
        """What all channels need of a batch of pairs.

        Raises:
            DeviceUnavailable: nothing can be compiled here; the plan was made elsewhere.
            Cancelled: it was stopped.
        """
        self._check()
        cancellation.check()
        first, second = (recording.activation.numpy() for recording in recordings)
        return self._effects().prepare(first, second)

    def effects(
        self, prepared: "Prepared", sets: NDArray[np.bool_], cancellation: Cancellation
    ) -> Effects:
        """Sums of |hybrid - original 1| over the pairs, for every set (equation 3).

        Args:
            prepared: what `pair` gave.
            sets: (E, C), each of one channel.
            cancellation: what may stop it.
        """
        cancellation.check()
        sums = self._effects().run(prepared, sets.argmax(axis=1))
        return Effects(sums.total, sums.moment, sums.pixel_means)

    def _effects(self) -> "ChainEffects":
        return self.generator.keep(f"{self.layer.name}/compiled", self._compiled)

    def _check(self) -> None:
        if not can_compile():
            raise DeviceUnavailable(
                f"layer {self.layer.name!r} cannot be compiled on this machine, as the job's plan "
                f"has it, which was made elsewhere: {_INSTALL}, or ask again for another plan"
            )

    def _compiled(self) -> "ChainEffects":
        chain = self._chain()
        if chain is None:
            raise DeviceUnavailable(
                f"layer {self.layer.name!r} cannot be compiled for this processor, as the job's "
                "plan has it, which was made elsewhere; ask again for another plan"
            )
        from graftscope.server.engine.compiled import ChainEffects

        return ChainEffects(chain)

    def _start(self) -> str:
        """The tensor from which on what comes above the cut is compiled; empty where nothing is."""
        stages = self._stages_above()
        start = stages.stages[0].source if stages is not None else ""
        # Rewriting may have made it.
        known = {x.name for node in self._upstream().graph for x in node.outputs} if start else ()
        return start if start in known else ""

    def _compiled_above(self) -> "Activations":
        from graftscope.server.engine.compiled import Activations

        stages = self._stages_above()
        assert stages is not None
        return Activations(stages)

    def _stages_above(self) -> "Stages | None":
        from graftscope.server.engine.compiled import stages_for

        if not self.layer.upstream or self.layer.carried:
            return None
        return stages_for(chain_above(self._upstream()))

    def _before(self, start: str, rewrites: tuple[str, ...]) -> ir.Model:
        return rewrite(upper_half(self._upstream(), [start]), rewrites)

    def _upstream(self) -> ir.Model:
        return ir.load(self.generator.folder.path / self.layer.upstream)

    def _size(self) -> CompiledSize | None:
        chain = self._chain()
        return None if chain is None else CompiledSize(chain.pair_bytes, chain.multiplications)

    def _chain(self) -> "Chain | None":
        # An extra, and slow to import.
        from graftscope.server.engine.compiled import chain_for

        if CHANNEL_AXES[self.layer.kind] != 1:
            return None
        downstream = ir.load(self.generator.folder.path / self.layer.downstream)
        return chain_for(chain_of(downstream, self.layer.tensor))
