"""Effects of swapping channels by code that is compiled for this processor (`llvmlite`).

    chain = chain_for(chain_of(downstream, activation))
    effects = ChainEffects(chain)
    prepared = effects.prepare(activations1, activations2)
    sums = effects.run(prepared, np.arange(channels))

Graphs in ONNX Runtime write every hybrid to memory several times between their operations; where
little is multiplied, that is where the time goes. Here a hybrid's image exists row by row. It must
not know sessions, bundles or jobs.
"""

from collections.abc import Sequence

from graftscope.graph.rewrites import Stage
from graftscope.server.engine.compiled._activations import Activations
from graftscope.server.engine.compiled._blocks import Registers
from graftscope.server.engine.compiled._chain import Chain, Stages, fitting, leading
from graftscope.server.engine.compiled._chain_effects import ChainEffects, ChainSums, Prepared
from graftscope.server.engine.compiled._machine import registers

__all__ = [
    "Activations",
    "Chain",
    "ChainEffects",
    "ChainSums",
    "Prepared",
    "Registers",
    "Stages",
    "chain_for",
    "fitting",
    "leading",
    "registers",
    "stages_for",
]


def chain_for(stages: Sequence[Stage]) -> Chain | None:
    """What can be compiled for this processor; None where nothing can."""
    found = registers()
    return None if found is None else fitting(stages, found)


def stages_for(stages: Sequence[Stage]) -> Stages | None:
    """The last of some stages above a cut that can be compiled, and should be; None for none."""
    found = registers()
    return None if found is None else leading(stages, found)
