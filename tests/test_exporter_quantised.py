"""Quantised generators of every form: layers as in float32, numbers as in the file."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from graftscope.bundle import read_bundle
from graftscope.exporter import export
from graftscope.exporter._sessions import CpuSession
from graftscope.graph import GraphError, normalise
from graftscope.graph.quantised import dequantise
from onnx_toys import CHAIN, SKIP, parse
from whole_graphs import (
    Array,
    activation,
    bundle_activation,
    bundle_hybrids,
    bundle_image,
    engine_influence,
    hybrids,
    layer_of,
    whole_image,
)

CLOSE = 1e-5
"""Sums of whole numbers against those of float32; no number here lies so close to an edge."""

FORMS = ("qdq", "qlinear", "dynamic", "dynamic-by-channel")
POOLED = SKIP.replace(
    "colours = Conv<pads = [1, 1, 1, 1]>(joined, w_out)",
    """pooled = GlobalAveragePool(joined)
    near = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(joined)
    shares = Softmax<axis = 1>(near)
    weighted = Mul(shares, pooled)
    chosen = Where(mask, weighted, near)
    colours = Conv<pads = [1, 1, 1, 1]>(chosen, w_out)""",
)
MASK = np.arange(16).reshape(1, 1, 4, 4) % 3 == 0
NETWORKS = {"chain": CHAIN, "skip": SKIP}
TRIED = [*(("skip", form) for form in FORMS), ("chain", "qdq")]
TENSORS = {
    "qdq": {"first": "first_DequantizeLinear_Output", "second": "second_DequantizeLinear_Output"},
    "qlinear": {"maps": "maps_quantized", "middle": "middle_quantized"},
}
"""Where the file of the network with a skip connection has its layers."""


class Latents(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime leaves it untyped
    """What scales are measured with."""

    def __init__(self) -> None:
        self._batches: Iterator[dict[str, Array]] = iter([drawn(seed, 1) for seed in range(16)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def drawn(seed: int, batch: int = 3) -> dict[str, Array]:
    return {"z": np.random.default_rng(seed).standard_normal((batch, 8)).astype(np.float32)}


def quantised(folder: Path, network: str, form: str) -> Path:
    """Write a network in a quantised form."""
    plain, path = folder / f"{network}.onnx", folder / f"{network}-{form}.onnx"
    onnx.save(ir.to_proto(parse(NETWORKS[network])), plain)
    if form.startswith("dynamic"):
        quantize_dynamic(plain, path, weight_type=QuantType.QInt8, per_channel=form != "dynamic")
        return path
    kind = QuantFormat.QDQ if form == "qdq" else QuantFormat.QOperator
    quantize_static(
        plain,
        path,
        Latents(),
        quant_format=kind,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=form == "qdq",
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every network in every form, and the bundles."""
    path = tmp_path_factory.mktemp("quantised")
    logging.disable(logging.WARNING)  # the quantiser advises a preparation that changes no number
    try:
        for network, form in TRIED:
            export(quantised(path, network, form), path / f"{network}-{form}")
        for network in NETWORKS:
            export(path / f"{network}.onnx", path / network)
    finally:
        logging.disable(logging.NOTSET)
    return path


@pytest.mark.parametrize(("network", "form"), TRIED)
def test_layers_are_those_of_the_network_in_float32(network: str, form: str, folder: Path) -> None:
    described = [
        [(each.kind, each.channels, each.height, each.width) for each in bundle.manifest.layers]
        for bundle in (read_bundle(folder / network), read_bundle(folder / f"{network}-{form}"))
    ]
    assert described[0] == described[1]


@pytest.mark.parametrize(("network", "form"), TRIED)
def test_images_are_the_files_own_with_and_without_optimisation(
    network: str, form: str, folder: Path
) -> None:
    latents = drawn(1, 4)
    rows = [{"z": latents["z"][i : i + 1]} for i in range(4)]
    truth = np.concatenate([whole_image(folder / f"{network}-{form}.onnx", row) for row in rows])
    path = folder / f"{network}-{form}"
    for optimised in (False, True):
        session = CpuSession(path / "generator.onnx", optimised=optimised)
        assert np.abs(session.run(latents)["image"] - truth).max() < CLOSE
    assert np.abs(bundle_image(folder / network, latents) - truth).max() > 100 * CLOSE


@pytest.mark.parametrize("form", FORMS)
def test_hybrids_are_those_of_the_file_by_hand(form: str, folder: Path) -> None:
    originals, file = (drawn(1), drawn(2)), folder / f"skip-{form}.onnx"
    names = TENSORS.get(form, {"first": "first", "second": "second"})
    for name, tensor in names.items():
        layer = layer_of(folder / f"skip-{form}", name)
        found = bundle_hybrids(folder / f"skip-{form}", layer, (0, 2), originals)
        slow = hybrids(file, tensor, (0, 2), originals)
        assert np.abs(found - slow).max() < CLOSE
        assert np.abs(slow - bundle_image(folder / f"skip-{form}", originals[0])).max() > 0.01


def test_a_layer_is_the_activation_in_steps_of_its_scale(folder: Path) -> None:
    z, path = drawn(1), folder / "skip-qlinear.onnx"
    numbers = {each.name: each for each in onnx.load(path).graph.initializer}
    scale, zero = (
        onnx.numpy_helper.to_array(numbers[f"middle_{x}"]) for x in ("scale", "zero_point")
    )
    whole = activation(path, "middle_quantized", z).astype(np.float64)
    layer = layer_of(folder / "skip-qlinear", "middle")
    found = bundle_activation(folder / "skip-qlinear", layer, z)
    assert np.abs(found - (whole - zero) * scale).max() < 1e-6
    assert found.min() == 0  # the rounding is the nonlinearity too


def test_a_layer_that_is_rounded_to_its_own_range_is_the_activation_before(folder: Path) -> None:
    z = drawn(1)
    layer = layer_of(folder / "skip-dynamic", "second")
    rows = [{"z": z["z"][i : i + 1]} for i in range(3)]
    truth = np.concatenate(
        [activation(folder / "skip-dynamic.onnx", "second", row) for row in rows]
    )
    assert np.abs(bundle_activation(folder / "skip-dynamic", layer, z) - truth).max() < CLOSE


def test_influence_is_that_of_a_slow_loop_over_the_file(folder: Path) -> None:
    originals = drawn(3), drawn(4)
    maps = engine_influence(folder / "skip-qdq", layer_of(folder / "skip-qdq", "second"), originals)
    path, tensor = folder / "skip-qdq.onnx", "second_DequantizeLinear_Output"
    image = whole_image(path, originals[0])
    for channel in range(4):
        expected = np.abs(hybrids(path, tensor, (channel,), originals) - image).mean(axis=(0, 1))
        assert np.abs(maps[channel] - expected).max() < CLOSE


def test_samples_do_not_share_a_measured_scale(folder: Path) -> None:
    one, large = drawn(1, 1), {"z": 50 * drawn(2, 1)["z"]}
    both = {"z": np.concatenate([one["z"], large["z"]])}
    path = folder / "skip-dynamic"
    alone, together = bundle_image(path, one), bundle_image(path, both)
    assert np.abs(together[:1] - alone).max() < CLOSE
    in_file = whole_image(folder / "skip-dynamic.onnx", both)
    assert np.abs(in_file[:1] - alone).max() > 100 * CLOSE


def test_what_is_allowed_is_stated(folder: Path) -> None:
    provenance = read_bundle(folder / "skip-qdq").manifest.provenance
    stated = provenance.agreement
    assert stated.source_found < CLOSE
    assert stated.source_usual == stated.halves_usual == 1e-5
    assert stated.halves_allowed > 0.01  # a single step, in so small a network
    assert list(provenance.changes) == [
        "quantised: computed in float32; 7 tensors are rounded to the steps of the source's scales"
    ]


def test_weights_in_steps_alone_are_weights(tmp_path: Path) -> None:
    text = CHAIN.replace(
        "flat = Gemm(z, w_fc)",
        "weights = DequantizeLinear(w_whole, w_scale)\n    flat = Gemm(z, weights)",
    )
    whole = np.random.default_rng(0).integers(-127, 128, (8, 64)).astype(np.int8)
    constants: dict[str, Array] = {"w_whole": whole, "w_scale": np.array(0.01, np.float32)}
    onnx.save(ir.to_proto(parse(text, **constants)), tmp_path / "toy.onnx")
    manifest = export(tmp_path / "toy.onnx", tmp_path / "toy").manifest
    assert [layer.name for layer in manifest.layers] == ["z", "first", "second"]
    assert not manifest.provenance.HasField("agreement")
    z = drawn(1)
    truth = whole_image(tmp_path / "toy.onnx", z)
    assert np.abs(bundle_image(tmp_path / "toy", z) - truth).max() < CLOSE


def test_what_cannot_be_told_apart_by_sample_is_named(tmp_path: Path) -> None:
    text = CHAIN.replace(
        "flat = Gemm(z, w_fc)",
        """whole, scale, zero = DynamicQuantizeLinear(z)
        moved = Cast<to = 1>(whole)
        flat = Gemm(moved, w_fc)""",
    )
    onnx.save(ir.to_proto(parse(text)), tmp_path / "toy.onnx")
    with pytest.raises(GraphError, match=r"'moved' .* reads what 'whole' .* rounds to measured"):
        export(tmp_path / "toy.onnx", tmp_path / "toy")


def pooled(folder: Path) -> onnx.ModelProto:
    """Quantise a network that pools, selects, and takes shares."""
    plain, path = folder / "plain.onnx", folder / "toy.onnx"
    onnx.save(ir.to_proto(parse(POOLED, mask=MASK)), plain)
    logging.disable(logging.WARNING)
    try:
        quantize_static(
            plain,
            path,
            Latents(),
            quant_format=QuantFormat.QOperator,
            extra_options={"ForceQuantizeNoInputCheck": True},  # else it drops a Where's inputs
        )
    finally:
        logging.disable(logging.NOTSET)
    return onnx.load(path)


def test_what_pools_selects_and_takes_shares_computes_as_in_the_file(tmp_path: Path) -> None:
    kinds = {node.op_type for node in pooled(tmp_path).graph.node}
    assert kinds >= {
        "QLinearAveragePool",
        "QLinearGlobalAveragePool",
        "QLinearSoftmax",
        "QLinearWhere",
    }
    found = export(tmp_path / "toy.onnx", tmp_path / "toy")
    assert not [note for note in found.notes if "com.microsoft" in note]
    z = drawn(1)
    rows = [{"z": z["z"][i : i + 1]} for i in range(3)]
    truth = np.concatenate([whole_image(tmp_path / "toy.onnx", row) for row in rows])
    assert np.abs(bundle_image(tmp_path / "toy", z) - truth).max() < CLOSE


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("QLinearGlobalAveragePool", {"channels_last": 1}, "has channels_last = 1; allowed is 0"),
        ("QLinearAveragePool", {"channels_last": 1}, "has channels_last = 1; allowed is 0"),
        ("QLinearSoftmax", {"opset": 12}, "sums over all axes from 1 on; allowed is the last"),
    ],
)
def test_what_is_arranged_in_another_way_is_named(
    tmp_path: Path, kind: str, changed: dict[str, int], message: str
) -> None:
    model = pooled(tmp_path)
    (node,) = (each for each in model.graph.node if each.op_type == kind)
    kept = [each for each in node.attribute if each.name not in changed]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(*each) for each in changed.items())])
    graph = normalise(ir.from_proto(model))
    with pytest.raises(GraphError, match=f"^node '.*' .com.microsoft::{kind}. .*{message}"):
        dequantise(graph)


def test_an_operation_on_whole_numbers_that_is_not_known_is_named(tmp_path: Path) -> None:
    model = pooled(tmp_path)
    (node,) = (each for each in model.graph.node if each.op_type == "QLinearGlobalAveragePool")
    node.op_type = "QLinearReduceMean"
    del node.attribute[:]
    node.attribute.extend(
        [onnx.helper.make_attribute("axes", [2, 3]), onnx.helper.make_attribute("keepdims", 1)]
    )
    graph = normalise(ir.from_proto(model))
    with pytest.raises(GraphError, match=r"com.microsoft::QLinearReduceMean.* is not known here"):
        dequantise(graph)
