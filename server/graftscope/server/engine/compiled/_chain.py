"""A chain of stages, cut into blocks, and where in memory what it reads and gives lies.

It must not know how code is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graftscope.graph.rewrites import Stage
from graftscope.server.engine.compiled._blocks import Blocks, Registers

# Beyond it code grows long, and takes long to compile: taps of a row, and stages.
_MOST_COLUMNS = 32
_MOST_STAGES = 8

# The same on every processor, so that the same plan divides the same work.
_LEAST_WIDTH = 16

SUM_LANES = 16
"""Partial sums of a map, whatever the processor, so that their bits do not depend on it."""


@dataclass(frozen=True, eq=False)
class Stages:
    """Stages, and where what they need lies, in elements.

    Attributes:
        stages: at least one, each reads what the one before gives.
        registers: of the processor.
    """

    stages: Sequence[Stage]
    registers: Registers

    @cached_property
    def blocks(self) -> list[Blocks]:
        """Of every stage."""
        return [*(Blocks(x, self.registers) for x in self.stages[:-1]), self._last]

    @property
    def _last(self) -> Blocks:
        return Blocks(self.stages[-1], self.registers, filled=False)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """Of all stages."""
        return np.concatenate([blocks.packed for blocks in self.blocks])

    @cached_property
    def weight_offsets(self) -> list[int]:
        """Where each stage's begin."""
        return _begins([blocks.packed.size for blocks in self.blocks])

    @property
    def channels(self) -> int:
        """C."""
        return self.stages[0].inputs[0]

    @cached_property
    def buffer_offsets(self) -> list[int]:
        """Of the working memory: what each stage reads, and more; then its size.

        What a stage reads has room for the outputs that fill the last block of the one before.
        """
        sizes = [self.channels * self.blocks[0].source.size]
        for before, blocks in zip(self.blocks, self.blocks[1:], strict=False):
            sizes.append(before.output_blocks * before.shape[0] * blocks.source.size)
        return _begins([*sizes, *self._more, 0])

    @property
    def _more(self) -> list[int]:
        return []


@dataclass(frozen=True, eq=False)
class Chain(Stages):
    """Stages from a cut to the image; its working memory has a plane of zeros too, and a row."""

    @property
    def _last(self) -> Blocks:
        return Blocks(self.stages[-1], self.registers, whole=True)

    @property
    def _more(self) -> list[int]:
        colours, _, across = self.image
        return [self.blocks[0].source.size, colours * across]

    @property
    def image(self) -> tuple[int, int, int]:
        """Colours, rows, and elements of a row."""
        colours, height, _ = self.stages[-1].outputs
        return colours, height, -(-self.blocks[-1].across // SUM_LANES) * SUM_LANES

    @cached_property
    def pair_offsets(self) -> list[int]:
        """Of a pair: its first sums, its differences and original 1's image; then its size."""
        first, (colours, height, across) = self.blocks[0], self.image
        differences = self.channels * first.source.size
        return _begins([first.kept_size, differences, colours * height * across, 0])

    @property
    def multiplications(self) -> int:
        """Of a hybrid: the first stage reads its own channel only."""
        first, *others = (stage.multiplications for stage in self.stages)
        return first // self.channels + sum(others)

    @property
    def pair_bytes(self) -> int:
        """What is prepared of a pair."""
        return self.pair_offsets[-1] * np.dtype(np.float32).itemsize


def _begins(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:i]) for i in range(len(sizes))]


def fitting(stages: Sequence[Stage], registers: Registers) -> Chain | None:
    """The chain; None where there is no stage, or code for one would be too long."""
    if not 1 <= len(stages) <= _MOST_STAGES:
        return None
    colours, stride = stages[-1].outputs[0], stages[-1].convolution.stride[0]
    if colours * stride > registers.sums:
        return None
    chain = Chain(stages, registers)
    return chain if _is_short(chain) else None


def leading(stages: Sequence[Stage], registers: Registers) -> Stages | None:
    """The last of some stages, which read wide rows; None where the very last reads narrow ones.

    Code fills registers with a row's columns; where rows are short, matrix products are faster.
    """
    narrow = [i for i, stage in enumerate(stages) if stage.inputs[2] < _LEAST_WIDTH]
    last = stages[max([0, len(stages) - _MOST_STAGES, *(i + 1 for i in narrow)]) :]
    found = Stages(last, registers)
    return found if last and _is_short(found) else None


def _is_short(stages: Stages) -> bool:
    return max(len(blocks.columns) for blocks in stages.blocks) <= _MOST_COLUMNS
