"""All ways of one comparison: of each, its fastest variant, or why it is not there."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from benchmarks.machine import Machine
from benchmarks.options import Pace
from benchmarks.progress import say
from benchmarks.setting import NotHere, Setting
from benchmarks.ways import engine, halves, pyvene_hooks, torch_compile, torch_hooks, torch_split
from benchmarks.ways._way import Way, fastest

LAST, PLAIN = "channels_last", "contiguous"
WORDS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}

ENGINE = "graftscope"
# PyTorch on the network as it is, by hooks: what everything is compared with.
HOOKS = ("torch, hooks", "torch.compile, hooks")


class _TorchVariants(Protocol):
    def __call__(
        self,
        setting: Setting,
        dtype: torch.dtype,
        layout: str,
        cores: int,
        batches: Sequence[int],
    ) -> list[Way]: ...


@dataclass(frozen=True, eq=False)
class Contender:
    """One row.

    Attributes:
        name: the way.
        dtype: float32 or bfloat16.
        way: its fastest variant; None where there is none.
        note: how that variant runs, or why there is none.
    """

    name: str
    dtype: torch.dtype
    way: Way | None
    note: str

    def __str__(self) -> str:
        """The way and its precision."""
        return f"{self.name}, {WORDS[self.dtype]}"


@dataclass(frozen=True, eq=False)
class Contest:
    """Finds the fastest variant of every way, one after another.

    Attributes:
        setting: what all compute.
        machine: whose processor it is.
        executor: of as many threads as there are cores.
        cores: that every way may use.
        pace: for how long variants are tried.
        brief: whether float32 alone is compared, and nothing is compiled by other libraries.
    """

    setting: Setting
    machine: Machine
    executor: ThreadPoolExecutor
    cores: int
    pace: Pace
    brief: bool = False

    def contenders(self) -> list[Contender]:
        """Every way that the generator allows, this engine last."""
        wide, narrow = torch.float32, torch.bfloat16
        ways = self._hooks(wide) if self.brief else self._torch_ways(wide, narrow)
        mine = {wide: "fp32"} if self.brief else {wide: "fp32", narrow: "bf16"}
        return [
            *(way() for way in ways if self.setting.model.network is not None),
            self._best("ONNX halves, numpy splice", wide, self._halves),
            *(
                self._best(ENGINE, x, partial(engine.variants, self.setting, word, self.cores))
                for x, word in mine.items()
            ),
        ]

    def _hooks(self, dtype: torch.dtype) -> list[Callable[[], Contender]]:
        variants = torch_hooks.variants
        return [partial(self._torch, HOOKS[0], variants, dtype, layout) for layout in (PLAIN, LAST)]

    def _torch_ways(self, wide: torch.dtype, narrow: torch.dtype) -> list[Callable[[], Contender]]:
        compiled = [wide, narrow] if self.pace.compiles_bfloat16 else [wide]
        return [
            *self._hooks(wide),
            *self._hooks(narrow),
            *(partial(self._torch, HOOKS[1], torch_compile.variants, x, LAST) for x in compiled),
            *(
                partial(self._torch, "torch, split by hand", torch_split.variants, x, LAST)
                for x in (wide, narrow)
            ),
            partial(self._torch, "pyvene", pyvene_hooks.variants, wide, LAST),
        ]

    def _halves(self) -> list[Way]:
        return halves.variants(self.setting, self.cores, self.pace.batches)

    def _torch(
        self, name: str, variants: _TorchVariants, dtype: torch.dtype, layout: str
    ) -> Contender:
        compiles = variants is torch_compile.variants
        batches = self.pace.compile_batches if compiles else self.pace.batches

        def make() -> list[Way]:
            if dtype is torch.bfloat16 and not self.machine.has_bfloat16:
                raise NotHere("not run: the processor has no bfloat16 and would emulate it")
            return variants(self.setting, dtype, layout, self.cores, batches)

        return self._best(name, dtype, make)

    def _best(self, name: str, dtype: torch.dtype, variants: Callable[[], list[Way]]) -> Contender:
        try:
            ways = variants()
        except NotHere as reason:
            return Contender(name, dtype, None, str(reason))
        way = ways[0] if len(ways) == 1 else fastest(ways, self.executor, self.pace.probe_s)
        say(f"  {name}, {WORDS[dtype]}: {way.name}")
        return Contender(name, dtype, way, way.name)
