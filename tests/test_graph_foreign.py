"""Facts about operations of other domains than ONNX's own: what they touch is no layer."""

import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from graftscope.exporter import export
from graftscope.graph import (
    HYBRIDS,
    ORIGINAL1,
    ORIGINAL2,
    SETS,
    CutError,
    ForeignLayoutError,
    NoLayersError,
    cut,
    find_layers,
    normalise,
    refuse_unfit,
    splice,
)
from onnx_cases import save
from onnx_toys import CHAIN, SKIP, above, latents, parse, run

DOMAIN = 'opset_import: ["": 20, "com.microsoft": 1, "com.microsoft.nchwc": 1]'
ADVICE = (
    ", which ONNX Runtime writes where it saves a graph that it has optimised: use the file that "
    "it was made from"
)


MAPS = ("first", "middle", "second", "last", "one", "two", "three", "joined")


def foreign(text: str, domain: str, *operations: str) -> str:
    """Return a graph in which some operations are another domain's of the same name."""
    for operation in operations:
        text = text.replace(f"= {operation}", f"= {domain}.{operation}")
    # Nothing but the file tells shapes behind such operations.
    shapes = ", ".join(f"float[batch, 4, 4, 4] {name}" for name in MAPS if f" {name} =" in text)
    text = text.replace("image) {", f"image) <{shapes}> {{")
    return text.replace('opset_import: ["": 20]', DOMAIN)


def tensors(text: str) -> list[str]:
    return [layer.tensor for layer in find_layers(normalise(parse(text)))]


def test_an_operation_is_matched_by_its_domain_too() -> None:
    assert tensors(SKIP) == ["first", "second", "joined"]
    text = foreign(SKIP.replace("middle = Conv", "middle = com.microsoft.Conv"), "")
    assert tensors(text) == ["second", "joined"]  # `first` is read by the other domain


def test_what_a_foreign_operation_makes_is_no_layer() -> None:
    text = foreign(SKIP.replace("second = Relu", "second = com.microsoft.QuickGelu"), "")
    assert tensors(text) == ["first", "joined"]


def test_an_arrangement_is_handed_on_until_an_operation_asks_for_one() -> None:
    """Every map lies between two foreign operations, though an addition makes one of them."""
    text = foreign(
        SKIP.replace("first = Relu(maps)", "first = com.microsoft.Reorder(maps)").replace(
            "joined = Add(last, first)",
            "one = Add(last, first)\n    two = Relu(one)\n    three = Relu(two)\n"
            "    joined = Add(three, two)",
        ),
        "com.microsoft",
        "Conv",
    )
    assert "two = Relu" in text
    with pytest.raises(NoLayersError):
        tensors(text)


def test_a_graph_without_other_layers_is_refused_with_the_domain_and_advice() -> None:
    text = foreign(CHAIN, "com.microsoft", "ConvTranspose", "Conv")
    with pytest.raises(NoLayersError) as refused:
        tensors(text)
    assert str(refused.value).endswith(
        "; layers may hide behind operations of domain com.microsoft (Conv, ConvTranspose)" + ADVICE
    )


def test_a_foreign_tensor_cannot_be_cut_at() -> None:
    text = foreign(SKIP.replace("second = Relu", "second = com.microsoft.QuickGelu"), "")
    with pytest.raises(CutError) as refused:
        cut(normalise(parse(text)), "second")
    assert str(refused.value) == (
        "tensor 'second' cannot be cut at: it is made or read by operations of domain "
        "com.microsoft (QuickGelu)" + ADVICE
    )


def test_maps_in_blocks_are_refused_before_anything_runs(tmp_path: Path) -> None:
    text = foreign(CHAIN, "com.microsoft.nchwc", "Conv<")
    with pytest.raises(ForeignLayoutError) as refused:
        refuse_unfit(normalise(parse(text)))
    line = str(refused.value)
    assert line.endswith("it holds operations of domain com.microsoft.nchwc (Conv)" + ADVICE)
    with pytest.raises(ForeignLayoutError):
        export(save(tmp_path / "toy.onnx", text), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def optimised(tmp_path: Path, text: str) -> Path:
    """Write a graph as ONNX Runtime saves it when it has fused operations."""
    source, saved = save(tmp_path / "plain.onnx", text), tmp_path / "fused.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(saved)
    options.log_severity_level = 3
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return saved


def hybrids(model: ir.Model, layer: str) -> NDArray[np.float32]:
    """Splice half of the channels of one sample into another."""
    halves = cut(model, layer)
    given = latents(model, 2)
    crossing = {**given, **run(above(halves), given)}
    first, second = crossing[layer][:1], crossing[layer][1:]
    carried = {name: crossing[name][:1] for name in halves.carried}
    sets = np.array([[True, True, False, False]])
    spliced = splice(halves.downstream, activation=layer)
    return run(spliced, {ORIGINAL1: first, ORIGINAL2: second, SETS: sets, **carried})[
        HYBRIDS
    ].astype(np.float32)


def test_layers_of_an_optimised_file_are_those_of_its_twin(tmp_path: Path) -> None:
    """What is left of the layers is what they were: the twin, never optimised, tells the truth."""
    text = SKIP.replace("joined = Add(last, first)", "joined = Softplus(last)").replace(
        "image = Tanh(colours)", "image = Softsign(colours)"
    )
    fused = ir.load(optimised(tmp_path, text))
    assert "com.microsoft" in {node.domain for node in fused.graph}
    exported = export(tmp_path / "fused.onnx", tmp_path / "toy")
    layers = [layer.tensor for layer in exported.manifest.layers if layer.upstream]
    twin = parse(text)
    known = {layer.tensor for layer in find_layers(normalise(twin))}
    assert layers == ["joined"]
    assert "joined" in known
    generator = tmp_path / "toy" / exported.manifest.generator
    stored = ir.external_data.load_to_model(ir.load(generator))
    found, expected = hybrids(stored, "joined"), hybrids(normalise(twin), "joined")
    assert np.abs(found - expected).max() < 1e-5
    assert any("operations of domain com.microsoft (" in note for note in exported.notes)


def test_rules_never_compare_a_bare_type() -> None:
    root = Path(__file__).parent.parent
    bare = re.compile(
        r"op_type(?! == operation)\s*(==|!=|in\b|not in|\.(starts|ends)with|\])|\[\w+\.op_type"
    )
    modules = [*(root / "exporter").rglob("*.py"), *(root / "server").rglob("*.py")]
    found = {path.name for path in modules if bare.search(path.read_text(encoding="utf-8"))}
    # Of protobuf's nodes, whose domain they ask for first.
    assert found == {"_onnx_file.py", "_operations.py"}
