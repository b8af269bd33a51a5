"""A conditional generator in ONNX with layers of every kind, and its forward pass in numpy.

The numpy pass is written down a second time, in float64 and with a hook at every layer, so that
interventions have a truth that shares nothing with graphs, sessions or cuts.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from safetensors.numpy import save_file

from graftscope.bundle import digest, file_sha256, manifest_to_json, read_bundle
from graftscope.graph import LayerKind, cut, find_layers, normalise
from graftscope.server.engine import (
    ORIGINAL2,
    Cancellation,
    Device,
    Donor,
    Edit,
    Generator,
    Hybrids,
    Intervention,
    SessionPool,
    grafting,
)
from graftscope.server.engine._samples_and_hybrids import Drawn
from graftscope.v1 import bundle_pb2
from onnx_toys import parse

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
conditional (float[batch, 8] z, int64[batch] label, float[batch, 1, 4, 4] noise,
             float[batch, 4] t, float[batch, 4] w, float[batch, 4] v)
        => (float[batch, 3, 4, 4] image) {
    embedded = Gather(table, label)
    joined = Concat<axis = 1>(z, embedded, t, w, v)
    flat = Gemm(joined, w_in)
    hidden = Relu(flat)
    long = Gemm(hidden, w_long)
    sequence = Reshape(long, shape_tokens)
    mixed = MatMul(sequence, w_mix)
    tokens = Relu(mixed)
    painted = MatMul(tokens, w_paint)
    squares = Reshape(painted, shape_maps)
    first = Relu(squares)
    middle = Conv<pads = [1, 1, 1, 1]>(first, w_one)
    again = Gemm(z, w_style)
    style = Reshape(again, shape_style)
    styled = Mul(middle, style)
    noisy = Add(styled, noise)
    second = Relu(noisy)
    colours = Conv<pads = [1, 1, 1, 1]>(second, w_out)
    image = Tanh(colours)
}
"""

LAYERS = ("z", "hidden", "tokens", "first", "second")
"""One of each kind, from the latents to the image; each is named as its tensor."""
CHANNELS = {"z": 8, "hidden": 16, "tokens": 5, "first": 3, "second": 4}

Array = NDArray[Any]
Assigned = dict[str, Any]
Latents = Mapping[str, Array]
Hook = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_KINDS = {
    LayerKind.VECTOR: bundle_pb2.LAYER_KIND_VECTOR,
    LayerKind.TOKENS: bundle_pb2.LAYER_KIND_TOKENS,
    LayerKind.MAP: bundle_pb2.LAYER_KIND_MAP,
}
_SHAPES = {
    "table": (5, 4),
    "w_in": (24, 16),
    "w_long": (16, 12),
    "w_mix": (4, 5),
    "w_paint": (5, 16),
    "w_one": (4, 3, 3, 3),
    "w_style": (8, 4),
    "w_out": (3, 4, 3, 3),
}
_RANDOM = np.random.default_rng(5)
WEIGHTS = {
    name: (_RANDOM.standard_normal(shape) * 0.4).astype(np.float32)
    for name, shape in _SHAPES.items()
}
FIXED_T = _RANDOM.standard_normal((1, 4)).astype(np.float32)
STORED = {name: _RANDOM.standard_normal((6, 4)).astype(np.float32) for name in "wv"}


def forward(latents: Latents, hooks: Mapping[str, Hook] | None = None) -> NDArray[np.float64]:
    """Images (B, 3, 4, 4); every layer passes through its hook."""
    hooks = hooks or {}
    weights = {name: value.astype(np.float64) for name, value in WEIGHTS.items()}

    def at(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
        return hooks[name](value) if name in hooks else value

    z = at("z", latents["z"].astype(np.float64))
    noise = at("noise", latents["noise"].astype(np.float64))
    embedded = weights["table"][latents["label"].astype(np.int64)]
    others = [latents[name].astype(np.float64) for name in "twv"]
    hidden = at("hidden", _relu(np.concatenate([z, embedded, *others], axis=1) @ weights["w_in"]))
    sequence = (hidden @ weights["w_long"]).reshape(-1, 3, 4)
    tokens = at("tokens", _relu(sequence @ weights["w_mix"]))
    first = at("first", _relu((tokens @ weights["w_paint"]).reshape(-1, 3, 4, 4)))
    style = (z @ weights["w_style"])[:, :, None, None]
    second = at("second", _relu(_convolve(first, weights["w_one"]) * style + noise))
    return np.asarray(np.tanh(_convolve(second, weights["w_out"])))


def activation(layer: str, latents: Latents) -> NDArray[np.float64]:
    """What a layer holds while a sample is generated."""
    held: list[NDArray[np.float64]] = []

    def keep(value: NDArray[np.float64]) -> NDArray[np.float64]:
        held.append(value)
        return value

    forward(latents, {layer: keep})
    return held[0]


def write_conditional(folder: Path) -> Path:
    """Writes the bundle `conditional`: every kind of layer and every distribution."""
    folder.mkdir()
    shapes = {
        "shape_tokens": np.array([-1, 3, 4]),
        "shape_maps": np.array([-1, 3, 4, 4]),
        "shape_style": np.array([-1, 4, 1, 1]),
    }
    model = normalise(parse(TEXT, **WEIGHTS, **shapes))
    manifest = bundle_pb2.Bundle(
        format=2,
        name="conditional",
        generator="generator.onnx",
        inputs=_inputs(),
        image=bundle_pb2.Image(channels=3, height=4, width=4, low=-1.0, high=1.0),
    )
    for layer in find_layers(model, latents=("z", "noise"), constant=("t",)):
        halves = cut(model, layer.tensor)
        entry = manifest.layers.add(
            name=layer.name,
            kind=_KINDS[layer.kind],
            channels=layer.channels,
            height=layer.height,
            width=layer.width,
            tensor=layer.tensor,
            carried=halves.carried,
            downstream="generator.onnx",
        )
        if halves.upstream is not None:
            entry.upstream, entry.downstream = (f"{layer.name}.{x}.onnx" for x in ("up", "down"))
            ir.save(halves.upstream, folder / entry.upstream)
            ir.save(halves.downstream, folder / entry.downstream)
    ir.save(model, folder / "generator.onnx")
    save_file({"t": FIXED_T}, folder / "fixed.safetensors")
    save_file(STORED, folder / "stored.safetensors")
    return _seal(manifest, folder)


def conditional_generator(folder: Path) -> Generator:
    """The bundle on the CPU."""
    return Generator(read_bundle(folder), SessionPool(Device.CPU, 64))


def _inputs() -> list[bundle_pb2.Input]:
    kind = bundle_pb2.Input
    normal = bundle_pb2.Normal()
    stored = bundle_pb2.Stored(file="stored.safetensors", count=6)
    truncated = bundle_pb2.TruncatedNormal(threshold=0.7)
    fixed = bundle_pb2.Fixed(file="fixed.safetensors")
    return [
        kind(name="z", datatype="FP32", shape=[8], truncated_normal=truncated),
        kind(name="label", datatype="INT64", classes=bundle_pb2.Classes(count=5)),
        kind(name="noise", datatype="FP32", shape=[1, 4, 4], normal=normal, noise=True),
        kind(name="t", datatype="FP32", shape=[4], fixed=fixed),
        kind(name="w", datatype="FP32", shape=[4], stored=stored),
        kind(name="v", datatype="FP32", shape=[4], stored=stored),
    ]


def _seal(manifest: bundle_pb2.Bundle, folder: Path) -> Path:
    for path in sorted(folder.iterdir()):
        manifest.files.add(name=path.name, sha256=file_sha256(path))
    manifest.digest = digest(manifest)
    (folder / "manifest.json").write_text(manifest_to_json(manifest))
    return folder


def _relu(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(value, 0.0)


def _convolve(maps: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """3 x 3, padded by 1: (B, C, H, W) and (D, C, 3, 3) to (B, D, H, W)."""
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.asarray(np.einsum("bchwij,dcij->bdhw", windows, kernel))


def swap(donor: Donor[Array] = ORIGINAL2) -> Assigned:
    """A swap's fields of an edit; and so the next ones."""
    return {"action": "swap", "donor": donor}


def constant(value: float | Array) -> Assigned:
    return {"action": "constant", **_amount(value)}


def mean_over_prior() -> Assigned:
    return {"action": "prior_mean"}


def scale(factor: float) -> Assigned:
    return {"action": "scale", "number": factor}


def add(value: float | Array) -> Assigned:
    return {"action": "add", **_amount(value)}


def blend(weight: float, donor: Donor[Array] = ORIGINAL2) -> Assigned:
    return {"action": "blend", "number": weight, "donor": donor}


def stored(latents: Latents) -> Donor[Array]:
    return Donor("latents", latents)


def _amount(value: float | Array) -> Assigned:
    return {"array": value} if isinstance(value, np.ndarray) else {"number": value}


def assign(
    generator: Generator, intervention: Intervention, latents1: Latents, latents2: Latents
) -> Hybrids:
    """Makes an intervention on original 1, by whichever path is the fastest."""
    drawn = Drawn(intervention, latents1, latents2)
    return grafting(generator, intervention).run([drawn], Cancellation())[0]


def hybridize(
    generator: Generator,
    layer: bundle_pb2.Layer,
    chosen: NDArray[np.bool_],
    latents1: Latents,
    latents2: Latents,
) -> Hybrids:
    """Gives original 1 the chosen channels, (C,), of original 2."""
    channels = tuple(np.flatnonzero(chosen).tolist())
    return assign(generator, (Edit(layer.name, channels, **swap()),), latents1, latents2)
