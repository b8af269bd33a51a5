"""What all ways with PyTorch share: layout, precision, threads, batches.

PyTorch gets what serves it best: every batch size, with all cores inside an operation and with
single-threaded loops side by side. The fastest counts.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.setting import Setting
from benchmarks.ways._way import Loop, Splicer, Step, Way


@dataclass(frozen=True)
class Form:
    """How a network is run.

    Attributes:
        dtype: of weights and activations.
        layout: channels_last or contiguous.
        batch: pairs at once.
        loops: how many go side by side.
        threads: inside an operation, in each loop.
    """

    dtype: torch.dtype
    layout: str
    batch: int
    loops: int
    threads: int

    def __str__(self) -> str:
        """In words."""
        threads = f"{self.loops} x {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.layout}, batch {self.batch}, {threads}"


class Originals:
    """Both latents of every pair, in a form's precision."""

    def __init__(self, setting: Setting, form: Form) -> None:
        self._both = [
            torch.from_numpy(latents["z"]).to(form.dtype)
            for latents in (setting.first, setting.second)
        ]

    def of(self, rows: slice) -> list[Tensor]:
        """Latents of originals 1 and 2 of some pairs, (B, Z)."""
        return [latents[rows] for latents in self._both]


def forms(dtype: torch.dtype, layout: str, cores: int, batches: Sequence[int]) -> list[Form]:
    """The forms worth a try: one loop with all cores in an operation, and a loop a core."""
    shapes = sorted({(1, cores), (cores, 1)})
    return [Form(dtype, layout, batch, *shape) for shape in shapes for batch in batches]


def own_network(setting: Setting, form: Form) -> nn.Module:
    """A copy in a form's layout and precision: `to` changes a module in place."""
    last = form.layout == "channels_last"
    network = copy.deepcopy(setting.network).to(form.dtype)
    # torch's own annotations leave this argument out.
    return network.to(  # type: ignore[no-any-return, call-overload]
        memory_format=torch.channels_last if last else torch.contiguous_format
    )


def way(setting: Setting, form: Form, splicer: Callable[[Setting, Form], Splicer]) -> Way:
    """A splicer of its own for every loop that goes side by side."""
    loops = [
        Loop(splicer(setting, form), setting.channels, setting.pairs, form.batch)
        for _ in range(form.loops)
    ]
    return Way(str(form), loops[0].maps, [_threaded(loop, form.threads) for loop in loops])


def map_sum(hybrid: Tensor, image1: Tensor) -> Tensor:
    """Two images (B, c, H, W) to the sum over pairs of their map, (H, W) in float32."""
    return (hybrid - image1).abs().mean(dim=1, dtype=torch.float32).sum(dim=0)


def recorded(network: nn.Module, module: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """A module's output while an image is generated, and the image."""
    kept: list[Tensor] = []
    with module.register_forward_hook(lambda _, __, output: kept.append(output)):
        image: Tensor = network(z)
    return kept[0], image


def _threaded(loop: Loop, threads: int) -> Step:
    def step() -> int:
        # torch keeps this number for every thread of its own.
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return loop.step()

    return step
