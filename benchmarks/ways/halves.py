"""The bundle's ONNX halves with a splice in numpy: what works without PyTorch and this engine."""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.setting import Setting
from benchmarks.ways._way import Loop, Way


class Halves:
    """Two sessions of ONNX Runtime's CPU provider.

    Args:
        setting: what is computed.
        threads: inside an operation.
    """

    def __init__(self, setting: Setting, threads: int) -> None:
        layer, folder = setting.layer, setting.model.folder
        self._setting, self._layer = setting, layer
        self._downstream = _session(folder / layer.downstream, threads)
        self._upstream = _session(folder / layer.upstream, threads)

    def begin(self, rows: slice) -> None:
        """As `Splicer`."""
        first, second = (
            {name: array[rows] for name, array in latents.items()}
            for latents in (self._setting.first, self._setting.second)
        )
        wanted = [self._layer.tensor, *self._layer.carried]
        kept = dict(zip(wanted, self._upstream.run(wanted, first), strict=True))
        self._donor = self._upstream.run([self._layer.tensor], second)[0]
        self._kept, self._carried = kept.pop(self._layer.tensor), kept
        self._image1 = self._image(self._kept)

    def effect(self, channel: int) -> NDArray[np.float32]:
        """As `Splicer`."""
        spliced = self._kept.copy()
        spliced[:, channel] = self._donor[:, channel]
        effect: NDArray[np.float32] = np.abs(self._image(spliced) - self._image1)
        return np.asarray(effect.mean(axis=1).sum(axis=0))

    def _image(self, activation: NDArray[np.float32]) -> NDArray[np.float32]:
        feeds = {self._layer.tensor: activation, **self._carried}
        image: NDArray[np.float32] = self._downstream.run(None, feeds)[0]
        return image


def variants(setting: Setting, cores: int, batches: Sequence[int]) -> list[Way]:
    """Every batch size and division of the cores."""
    shapes = sorted({(1, cores), (cores, 1)})
    return [_way(setting, batch, loops, threads) for loops, threads in shapes for batch in batches]


def _way(setting: Setting, batch: int, loops: int, threads: int) -> Way:
    made = [
        Loop(Halves(setting, threads), setting.channels, setting.pairs, batch) for _ in range(loops)
    ]
    name = f"batch {batch}, {loops} x {threads} thread{'s' if threads > 1 else ''}"
    return Way(name, made[0].maps, [loop.step for loop in made])


def _session(path: object, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
