"""The pure pieces of the benchmark: counts, fits, tables, what the profiler's files say."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import linregress

from benchmarks import influence_tables, leaving_out, markdown, served
from benchmarks.arithmetic import Needed, multiply_adds, needed_below
from benchmarks.figures import Exponent, Spread, exponent
from benchmarks.influence import deviation
from benchmarks.machine import field_of
from benchmarks.profiled import last_runs, node_times, short_name, weight_shapes
from benchmarks.roofline import MEMORY, TRANSCENDENTAL, Speeds, times
from benchmarks.rows import BFLOAT16, Row, best_hooks
from benchmarks.setting import RESIDUAL, opened
from benchmarks.ways._way import Loop
from block_toys import block
from graftscope.bundle import read_bundle, shipped
from graftscope.server.engine import Plan
from graftscope.training.architecture import VAE_CELEBA


def taps(size: int, kernel: int) -> int:
    """Multiply-adds of a transposed convolution between one channel and one other, one by one."""
    pixels, offsets = range(size), range(kernel)
    return sum(1 for _ in product(pixels, pixels, offsets, offsets))


def needed_at(level: str) -> float:
    bundle = read_bundle(shipped()["vae-celeba"])
    layer = next(x for x in bundle.manifest.layers if x.level == level)
    model = ir.load(bundle.path / layer.downstream)
    return needed_below(model, layer.tensor, layer.channels).hybrid


@pytest.mark.parametrize("level", ["coarse", "intermediate", "fine", "image"])
def test_a_hybrid_needs_one_channels_share_of_the_first_operation_and_all_that_follows(
    level: str,
) -> None:
    layers = VAE_CELEBA.layers
    at = [x.level for x in layers].index(level)
    channels = [*(x.channels for x in layers[at:]), VAE_CELEBA.image_channels]
    sizes = [x.size for x in layers[at:]]
    full = [
        taps(size, VAE_CELEBA.kernel_size) * given * made
        for size, (given, made) in zip(sizes, pairwise(channels), strict=True)
    ]
    assert needed_at(level) == pytest.approx(full[0] / channels[0] + sum(full[1:]))


def test_the_intermediate_level_of_the_celeba_vae_needs_eighteen_million() -> None:
    assert needed_at("intermediate") == pytest.approx(18.2e6, rel=0.01)


def test_the_residual_decoder_is_cut_where_table_1s_vae_is() -> None:
    with opened(RESIDUAL, workers=1) as model:
        found = {x.level: (x.channels, x.height) for x in model.generator.manifest.layers}
        assert model.levels() == [x.level for x in VAE_CELEBA.layers]
        # PyTorch's ways hook the module that the layer is called by.
        assert model.network is not None
        for level in model.levels():
            model.network.get_submodule(model.generator.layer(level).name)
    assert {x.level: (x.channels, x.size) for x in VAE_CELEBA.layers}.items() <= found.items()


def test_arithmetic_adds_up_in_the_limit_and_memory_moves_meanwhile() -> None:
    speeds = Speeds(multiply_adds=1e9, functions={"Tanh": 1e8}, bytes=1e9)
    needs = Needed(2e6, 0, 0, {"Tanh": 3e5}, moved_bytes=1e6, set_bytes=0)
    found = times(needs, speeds)
    assert (found.multiply_s, found.transcendental_s, found.memory_s) == (2e-3, 3e-3, 1e-3)
    assert (found.hybrid_s, found.binds) == (5e-3, TRANSCENDENTAL)
    assert times(needs, replace(speeds, bytes=1e8)).binds == MEMORY
    assert times(needs, replace(speeds, bytes=1e8)).hybrid_s == 1e-2


def test_the_image_level_of_a_vae_needs_a_tanh_a_value_and_moves_what_is_kept() -> None:
    bundle = read_bundle(shipped()["vae-celeba"])
    layer = next(x for x in bundle.manifest.layers if x.level == "image")
    model = ir.load(bundle.path / layer.downstream)
    found = needed_below(model, layer.tensor, layer.channels)
    assert found.transcendentals == {"Tanh": 3 * 64 * 64}
    # A channel of both originals, the last convolution of original 1, its image, the map's sums.
    assert found.moved_bytes == 4 * (2 * 64 * 64 + 2 * 3 * 64 * 64 + 4 * 64 * 64)


def test_behind_a_normalisation_a_group_is_needed_and_of_an_upsampling_its_small_image() -> None:
    model, activation, _ = block("a residual block that upsamples first")
    found = needed_below(model, activation, channels=8)
    side, small = 8 * 8, 4 * 4
    last = side * 6 * 3 * 9
    # A quarter of the weights' taps fall on the same place: 16 of 36 products are left.
    body, shortcut = small * 8 * 6 * 16, small * 8 * 6
    # One of two groups of four channels, and one channel of the shortcut's eight.
    assert found.hybrid == last + body / 2 + shortcut / 8
    assert found.pair == body + shortcut
    assert found.unshared == last + side * 8 * 6 * 9 + side * 8 * 6
    # SiLU on one group, before it is upsampled; tanh on the image.
    assert found.transcendentals == {"Sigmoid": small * 8 / 2, "Tanh": 3 * side}


def test_a_first_operation_behind_a_reshape_is_shared_too() -> None:
    model = flat_head()
    found = needed_below(model, "maps", channels=2)
    assert (found.hybrid, found.pair, found.unshared) == (8 * 5 / 2 + 5 * 3, 8 * 5, 8 * 5 + 5 * 3)


def flat_head() -> ir.Model:
    """Maps (B, 2, 2, 2), flattened, through two matrix products."""
    weights = [np.ones(shape, np.float32) for shape in ((8, 5), (5, 3))]
    nodes = [
        helper.make_node("Flatten", ["maps"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w0"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "w1"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 2, 2, 2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(weights)],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))


@pytest.mark.parametrize(
    ("operation", "inputs", "outputs", "count"),
    [
        ("Conv", [(2, 4, 8, 8), (6, 4, 3, 3)], [(2, 6, 8, 8)], 2 * 6 * 64 * 4 * 9),
        ("FusedConv", [(2, 4, 8, 8), (6, 1, 3, 3)], [(2, 6, 8, 8)], 2 * 6 * 64 * 9),
        ("ConvTranspose", [(2, 4, 8, 8), (4, 6, 5, 5)], [(2, 6, 16, 16)], 2 * 4 * 64 * 6 * 25),
        ("Gemm", [(7, 10), (20, 10)], [(7, 20)], 7 * 20 * 10),
        ("MatMul", [(3, 7, 10), (3, 10, 20)], [(3, 7, 20)], 3 * 7 * 20 * 10),
        ("Relu", [(2, 4, 8, 8), (1,)], [(2, 4, 8, 8)], 0),
    ],
)
def test_multiply_adds_follow_from_shapes(
    operation: str,
    inputs: list[tuple[int, ...]],
    outputs: list[tuple[int, ...]],
    count: int,
) -> None:
    assert multiply_adds(operation, inputs, outputs) == count


def test_a_power_law_gives_its_exponent_without_error() -> None:
    found = exponent([1, 2, 4, 8], [3 * x**1.5 for x in (1, 2, 4, 8)])
    assert found.slope == pytest.approx(1.5)
    assert found.stderr == pytest.approx(0, abs=1e-7)


def test_the_exponents_standard_error_is_that_of_a_regression_of_logarithms() -> None:
    causes, costs = [1.0, 2, 4, 8, 16], [1.1, 1.9, 4.3, 7.6, 16.9]
    line = linregress(np.log(causes), np.log(costs))
    found = exponent(causes, costs)
    assert (found.slope, found.stderr) == pytest.approx((line.slope, line.stderr))


def test_two_points_give_an_exponent_of_unknown_error() -> None:
    found = exponent([1, 2], [1, 4])
    assert found.slope == pytest.approx(2)
    assert found.stderr is None
    assert markdown.power(found) == "2.00"


def test_ratios_are_taken_within_a_round() -> None:
    # Both halve their speed in the second round: the ratio knows nothing of it.
    assert Spread.of_ratios([200, 100, 200], [100, 50, 100]) == Spread(2, 2, 2)


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert markdown.table(["way", "rate"], [["engine", "4,200"], ["x", "1"]]) == (
        "| way    |  rate |\n|:-------|------:|\n| engine | 4,200 |\n| x      |     1 |"
    )


def test_numbers_are_told_with_what_counts_of_them() -> None:
    assert markdown.spread(Spread(4213.4, 0.123456, 99.96)) == "4,213 (0.123-100)"
    assert markdown.power(Exponent(0.987, 0.012)) == "0.99 ± 0.01"


ROWS = [
    Row("torch, hooks, float32", "batch 8", (100, 50), 0.0, (400, 200)),
    Row("torch.compile, hooks, float32", "batch 32", (110, 56), 0.0, (400, 200)),
    Row("torch, split by hand, float32", "batch 32", (500, 500), 0.0, (400, 200)),
    Row("pyvene, float32", "not installed"),
    Row("graftscope, float32", "a plan", (220, 112), 0.0, (400, 200)),
]


def test_the_reference_is_the_fastest_of_torch_on_the_whole_network() -> None:
    found = best_hooks(ROWS)
    assert found is not None
    assert found.note == "batch 32"
    assert best_hooks(ROWS[3:]) is None
    assert best_hooks(ROWS, BFLOAT16) is None


NEEDS = vars(Needed(18.2e6, 1.0, 31e6, {"Tanh": 12_288.0}, 160e3, 200e3))


def test_the_influence_table_has_ratios_limits_and_reasons() -> None:
    level = {
        "channels": 4,
        "layer_channels": 4,
        "needs": NEEDS,
        "rows": [vars(row) for row in ROWS],
    }
    text = influence_tables.table({"vae": {"fine": level}, "dcgan": {"skipped": "no file"}})
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "2.00 (2.00-2.00)" in lines["vae, fine"]
    assert "2.00 (2.00-2.00)" in lines["graftscope, float32"]
    assert "56 %" in lines["graftscope, float32"]
    assert "not installed" in lines["pyvene, float32"]
    assert "limit, float32" in lines
    assert "18.20 M multiply-adds" in text
    assert "12,288 transcendental functions" in text
    assert "Skipped: no file." in text


def test_without_a_torch_network_one_sentence_says_so() -> None:
    level = {
        "channels": 4,
        "layer_channels": 4,
        "needs": NEEDS,
        "rows": [vars(ROWS[-1])],
    }
    text = influence_tables.table({"dcgan": {"fine": level}})
    assert text.count("nothing of PyTorch") == 1


def test_each_rewrite_is_left_out_once() -> None:
    found = leaving_out.plans(Plan(8, 4, "CPUExecutionProvider", ("fold", "share")))
    assert {name: plan.rewrites for name, plan in found.items()} == {
        "all": ("fold", "share"),
        "fold": ("share",),
        "share": ("fold",),
        "none": (),
    }


def test_without_a_rewrite_the_time_is_told_as_a_multiple_of_that_with_all() -> None:
    rows = [{"name": "all", "microseconds": (2, 4)}, {"name": "share", "microseconds": (3, 6)}]
    text = leaving_out.table({"fine": {"plan": "a plan", "rows": rows}})
    assert "| all but share |" in text
    assert "1.50 (1.50-1.50)" in text


def test_maps_deviate_as_a_share_of_the_largest_influence() -> None:
    reference = np.array([[[2.0, 1.0]], [[0.0, 0.0]]])
    maps = np.array([[[2.0, 1.1]], [[0.0, 0.0]]])
    assert deviation(maps, reference, torch.float32) == pytest.approx(0.05)


def test_in_bfloat16_individual_influences_count_not_pixels() -> None:
    reference = np.array([[[2.0, 1.0]], [[0.0, 0.0]]])
    maps = np.array([[[2.1, 0.93]], [[0.0, 0.0]]])
    assert deviation(maps, reference, torch.bfloat16) == pytest.approx(0.01)


class Counted:
    """A splicer whose effect tells the pair and the channel."""

    def begin(self, rows: slice) -> None:
        self.rows = rows

    def effect(self, channel: int) -> NDArray[np.float32]:
        pairs = range(self.rows.start, self.rows.stop)
        return np.full((1, 1), sum(pairs) + 100 * channel * len(pairs), np.float32)


def test_a_loop_takes_every_channel_of_every_pair_once() -> None:
    maps = Loop(Counted(), channels=3, pairs=32, batch=8).maps(3)
    assert maps[:, 0, 0].tolist() == [15.5, 115.5, 215.5]


def test_a_loops_steps_go_on_where_the_last_one_ended() -> None:
    splicer = Counted()
    loop = Loop(splicer, channels=2, pairs=32, batch=16)
    assert [loop.step() for _ in range(3)] == [16, 16, 16]
    assert splicer.rows == slice(16, 32)


def test_a_processor_is_told_by_its_first_entry() -> None:
    lines = ["model name\t: Fast 9000", "flags\t\t: avx2 amx_bf16", "model name\t: Other"]
    assert field_of(lines, "model name") == "Fast 9000"
    assert field_of(lines, "flags").split() == ["avx2", "amx_bf16"]
    assert field_of(lines, "bugs") == ""


def run_at(ts: int) -> dict[str, object]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": 90}


def node_at(ts: int) -> dict[str, object]:
    shapes = {
        "input_type_shape": [{"float": [2, 4, 8, 8]}, {"float": [6]}],
        "output_type_shape": [{"float": [2, 6, 8, 8]}],
    }
    details = {"op_name": "Conv", **shapes}
    return {"cat": "Node", "name": "up_kernel_time", "ts": ts, "dur": 50, "args": details}


def test_of_a_profile_the_last_runs_count() -> None:
    events = [run_at(0), node_at(10), run_at(100), node_at(110), run_at(200), node_at(210)]
    assert [x["ts"] for x in last_runs(events, 1 / 3)] == [200, 210]
    assert last_runs(events, 1.0) == events


def test_a_graph_is_named_without_digest_and_rewrites() -> None:
    assert short_name("ab12/fc/effects1x1/fold+share/run") == "fc/effects1x1/run"
    assert short_name("ab12/fc.upstream.onnx") == "fc.upstream.onnx"


def test_a_nodes_weights_are_known_though_the_profiler_leaves_them_out() -> None:
    kernel = numpy_helper.from_array(np.ones((6, 4, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="up")
    weights = weight_shapes(helper.make_model(helper.make_graph([node], "g", [], [], [kernel])))
    (found,) = node_times("half", [node_at(0), run_at(0)], weights)
    assert (found.graph, found.node, found.shape) == ("half", "up", (2, 6, 8, 8))
    assert found.seconds == pytest.approx(50e-6)
    assert found.multiply_adds == 2 * 6 * 64 * 4 * 9


def test_servings_figures_stand_one_a_row() -> None:
    spread = {"median": 1.5, "low": 1.0, "high": 2.0}
    found = {"layer": "x", "latency": {"above_ms": spread}, "turns": {"with": {"p50_ms": 3.0}}}
    text = served.table(found)
    assert "| latency: above ms" in text
    assert "1.50 (1.00-2.00)" in text
    assert "| turns: with p50 ms" in text
