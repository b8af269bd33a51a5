"""Facts about the file that holds every weight once."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graftscope.exporter._files import INLINE_LIMIT_BYTES, WEIGHTS_FILE, write_graphs
from graftscope.exporter._sessions import CpuSession
from graftscope.graph import cut, find_layers
from onnx_toys import CHAIN, SKIP, latents, parse, run


def external(path: Path) -> dict[str, dict[str, str]]:
    """Return where a graph says that its larger weights lie."""
    model = onnx.load(path, load_external_data=False)
    return {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.external_data
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a graph, its halves, and another graph that shares a weight."""
    model = parse(CHAIN)
    halves = cut(model, find_layers(model)[0].tensor)
    assert halves.upstream is not None
    graphs = {"whole.onnx": model, "up.onnx": halves.upstream, "down.onnx": halves.downstream}
    write_graphs(tmp_path, {**graphs, "other.onnx": parse(SKIP)})
    return tmp_path


def test_what_graphs_share_is_stored_once(folder: Path) -> None:
    large = {"w_fc": 8 * 64, "w_up": 4 * 6 * 16, "w_out": 3 * 6 * 9}
    other = {"w_one": 4 * 4 * 9, "w_two": 4 * 4 * 9, "w_out": 3 * 4 * 9}
    elements = sum(large.values()) + sum(other.values())
    assert 0 <= (folder / WEIGHTS_FILE).stat().st_size - 4 * elements < 64 * 6
    places = [external(folder / name)["w_fc"] for name in ("whole.onnx", "up.onnx", "other.onnx")]
    assert places[0] == places[1] == places[2]


def test_every_place_is_relative_and_aligned(folder: Path) -> None:
    for path in folder.glob("*.onnx"):
        for place in external(path).values():
            assert place["location"] == WEIGHTS_FILE
            assert int(place["offset"]) % 64 == 0


def test_small_tensors_stay_in_their_graph(folder: Path) -> None:
    model = onnx.load(folder / "whole.onnx", load_external_data=False)
    inline = {tensor.name for tensor in model.graph.initializer if not tensor.external_data}
    assert inline == {"shape_fc", "gain", "shift", "mean", "variance"}
    assert INLINE_LIMIT_BYTES > 6 * 4


def test_what_was_written_computes_what_was_given(folder: Path) -> None:
    model = parse(CHAIN)
    given = latents(model, 2)
    session = CpuSession(folder / "whole.onnx", optimised=False)
    np.testing.assert_array_equal(session.run(given)["image"], run(model, given)["image"])


def test_the_same_graphs_are_the_same_bytes(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    write_graphs(other, {"other.onnx": parse(SKIP)})
    again = tmp_path_factory.mktemp("again")
    write_graphs(again, {"other.onnx": parse(SKIP)})
    for path in other.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_a_tensors_name_is_no_part_of_its_content(tmp_path: Path) -> None:
    shared = np.ones((4, 4, 3, 3), np.float32)
    model = parse(SKIP, w_one=shared, w_two=shared)
    write_graphs(tmp_path, {"skip.onnx": model})
    places = external(tmp_path / "skip.onnx")
    assert places["w_one"] == places["w_two"]
    assert isinstance(model.graph.initializers["w_one"].const_value, ir.ExternalTensor)
