"""Facts about the names that `graftscope.graph.find_layers` gives."""

import onnx_ir as ir
import pytest

from graftscope.graph import find_layers
from onnx_toys import CHAIN, SKIP, parse


def names(text: str, scopes: dict[str, list[str]]) -> list[str]:
    """Return layers' names where nodes, by their output's name, come from these modules."""
    model = parse(text)
    for node in model.graph:
        path = scopes.get(str(node.outputs[0].name))
        if path is not None:
            node.metadata_props["pkg.torch.onnx.name_scopes"] = str(["", *path, "operation"])
    return [layer.name for layer in find_layers(model)]


def stage(path: str) -> list[str]:
    """Return a path's modules: 'a.b.c' lies in 'a.b', which lies in 'a'."""
    parts = path.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def test_a_layer_is_named_after_its_stage_not_after_the_activation_function() -> None:
    scopes = {"first": stage("fc.activation"), "second": stage("deconv1.activation")}
    assert names(CHAIN, scopes) == ["fc", "deconv1"]


def test_modules_around_every_layer_are_left_out() -> None:
    scopes = {"first": stage("generator.fc.relu"), "second": stage("generator.deconv1.relu")}
    assert names(CHAIN, scopes) == ["fc", "deconv1"]


def test_numbers_in_a_sequence_keep_the_sequences_name() -> None:
    scopes = {"first": stage("net.main.2"), "second": stage("net.main.5")}
    assert names(CHAIN, scopes) == ["main.2", "main.5"]


def test_two_layers_of_one_stage_are_told_apart() -> None:
    scopes = {
        "first": stage("fc"),
        "second": stage("block.inner"),
        "joined": stage("block"),
    }
    assert names(SKIP, scopes) == ["fc", "block.inner", "block"]


def test_the_last_layer_of_a_module_has_its_name_and_others_are_numbered() -> None:
    scopes = {"first": stage("fc"), "second": stage("block"), "joined": stage("block")}
    assert names(SKIP, scopes) == ["fc", "block_2", "block"]


def test_a_layer_behind_a_shared_activation_is_named_after_the_module_before_it() -> None:
    scopes = {"flat": stage("net.fc"), "first": stage("net.relu")}
    scopes |= {"up": stage("net.deconv1"), "scaled": stage("net.norm"), "second": stage("net.relu")}
    assert names(CHAIN, scopes) == ["fc", "norm"]


def test_a_sum_in_a_block_keeps_the_blocks_name_where_another_layer_is_in_it_too() -> None:
    scopes = {"flat": stage("fc"), "maps": stage("fc"), "first": stage("fc")}
    scopes |= {
        "middle": stage("block.conv1"),
        "second": stage("block"),
        "last": stage("block.conv2"),
    }
    assert names(SKIP, {**scopes, "joined": stage("block")}) == ["fc", "block_2", "block"]


def test_an_operation_between_modules_belongs_to_the_module_before_it() -> None:
    scopes = {"flat": stage("fc"), "maps": [], "first": [], "second": stage("deconv1")}
    assert names(CHAIN, scopes) == ["fc", "deconv1"]


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        ("/main/2/Relu_output_0", "main.2.Relu"),
        ("onnx::Relu_17", "onnx_Relu_17"),
        ("..", "layer"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_are_fit_for_files(tensor: str, expected: str) -> None:
    model = parse(CHAIN)
    rename(model, "first", tensor)
    assert find_layers(model)[0].name == expected


def test_names_that_differ_in_case_alone_are_numbered() -> None:
    model = parse(CHAIN)
    rename(model, "first", "SECOND")
    assert [layer.name for layer in find_layers(model)] == ["SECOND", "second_2"]


def rename(model: ir.Model, old: str, new: str) -> None:
    for node in model.graph:
        for value in node.outputs:
            if value.name == old:
                value.name = new
