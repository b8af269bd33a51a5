"""Compiled effects are those of graphs: the plain numbers, exactly 0 where nothing differs."""

import ctypes
import functools
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from graftscope.bundle import read_bundle
from graftscope.exporter import export
from graftscope.graph import (
    IMAGE1,
    MOMENT,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    normalise,
    reduce_effects,
    splice,
)
from graftscope.graph.rewrites import COMPILE, REWRITES, Elementwise, chain_above, chain_of
from graftscope.server.engine import (
    Backend,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    LayeredSets,
    Plan,
    Precision,
    PriorPairs,
    SessionPool,
    ShardEffects,
    Subject,
    can_compile,
    describe_compiler,
    shard_effects,
)
from graftscope.server.engine._plan import CompiledSize, rewritten
from graftscope.server.engine._precision import OPENVINO
from graftscope.server.errors import Cancelled, DeviceUnavailable
from graftscope.server.jobs._preparation import _gives_same_bits
from onnx_toys import parse, run

pytest.importorskip("llvmlite", reason="compiled effects need llvmlite")

from llvmlite import ir as llvm

from graftscope.server.engine.compiled import (
    Activations,
    Chain,
    ChainEffects,
    Registers,
    Stages,
    fitting,
    leading,
    registers,
)
from graftscope.server.engine.compiled._effects import PREPARE, RUN
from graftscope.server.engine.compiled._elementwise import ABOVE, BELOW, apply
from graftscope.server.engine.compiled._forward import FORWARD
from graftscope.server.engine.compiled._machine import Compiled
from graftscope.server.engine.compiled._writer import INT, POINTER, Writer

FOUND = registers()
if FOUND is None:
    pytest.skip("no code is made for this processor", allow_module_level=True)
WIDEST: Registers = FOUND
FENCES = sys.platform.startswith("linux")

# A processor runs the code for narrower registers too.
EVERY = [x for x in (Registers(8, 12), WIDEST) if x.lanes <= WIDEST.lanes]
EVERY = list(dict.fromkeys(EVERY))

Number = TypeVar("Number", np.float32, np.int64)

# Of numbers around 1: float32 sums in another order.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Layer:
    """A convolution, transposed where its stride is 2 or it is turned, and what follows it."""

    outputs: int
    kernel: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    turned: bool = False
    then: tuple[str, ...] = ("Relu",)
    normalised: bool = False


@dataclass(frozen=True)
class Case:
    """A chain and what it is asked."""

    inputs: tuple[int, int, int]
    layers: tuple[Layer, ...]
    pairs: int = 3


TANH = ("Tanh",)
UP = Layer(3, (5, 5), (2, 2, 2, 2), 2, padding=1)
CASES = {
    "one convolution": Case((5, 7, 7), (Layer(3, (3, 3), (1, 1, 1, 1), then=TANH),)),
    "twice as large": Case(
        (5, 7, 9), (replace(UP, outputs=6), Layer(3, (3, 3), (1, 1, 1, 1), then=("Sigmoid",)))
    ),
    "kernel 4, normalised": Case(
        (4, 8, 8),
        (
            Layer(9, (4, 4), (1, 1, 1, 1), 2, then=("LeakyRelu",), normalised=True),
            Layer(3, (5, 5), (2, 2, 2, 2), then=()),
        ),
    ),
    "turned at stride 1": Case(
        (5, 6, 17), (Layer(7, (5, 3), (2, 1, 2, 1), turned=True), Layer(1, (1, 1), then=TANH))
    ),
    "ends twice as large": Case(
        (6, 5, 16), (Layer(2, (3, 3), (1, 1, 1, 1)), replace(UP, then=("Clip", "Tanh")))
    ),
    "three layers": Case(
        (3, 4, 4),
        (
            replace(UP, outputs=13),
            replace(UP, outputs=5, then=("Clip", "Relu")),
            Layer(4, (3, 3), (1, 1, 1, 1), then=("Identity", "Tanh")),
        ),
    ),
    # Geometry that nobody would choose.
    "kernel larger than the image": Case((3, 2, 3), (Layer(3, (7, 9), (3, 4, 3, 4), then=TANH),)),
    "without padding": Case((2, 9, 11), (Layer(3, (3, 5)), Layer(2, (5, 3), then=TANH))),
    "uneven padding, dilated": Case(
        (2, 6, 8), (Layer(3, (3, 3), (4, 0, 1, 3), dilation=2), Layer(3, (2, 2), (0, 1, 1, 0)))
    ),
    "one pixel, one channel, one pair": Case((1, 1, 1), (Layer(1, (1, 1), then=()),), pairs=1),
    "one pixel grows": Case((2, 1, 1), (Layer(3, (4, 4), stride=2, then=TANH),), pairs=1),
    "one row, a column more than fills a register": Case(
        (2, 1, 17), (Layer(25, (1, 3), (0, 1, 0, 1)), Layer(3, (1, 1), then=TANH))
    ),
    "as many taps as there may be": Case((2, 4, 5), (Layer(1, (3, 31), (1, 15, 1, 15)),)),
    "33 columns": Case((2, 3, 33), (Layer(4, (3, 3), (1, 1, 1, 1)), replace(UP, then=TANH))),
}


def downstream(case: Case) -> ir.Model:
    """The case's graph, with random weights."""
    chance, nodes, constants = np.random.default_rng(3), list[onnx.NodeProto](), {}
    value, channels = "a", case.inputs[0]

    def constant(name: str, array: NDArray[np.generic]) -> str:
        constants[name] = array.astype(np.float32)
        return name

    for i, layer in enumerate(case.layers):
        turned = layer.turned or layer.stride > 1
        both = (layer.outputs, channels)
        kernel = chance.standard_normal((*(both[::-1] if turned else both), *layer.kernel))
        kernel /= np.sqrt(channels * layer.kernel[0] * layer.kernel[1])
        bias = constant(f"b{i}", chance.standard_normal(layer.outputs) / 4)
        node = helper.make_node(
            "ConvTranspose" if turned else "Conv",
            [value, constant(f"k{i}", kernel), bias],
            [value := f"c{i}"],
            pads=layer.pads,
            strides=[layer.stride] * 2,
            dilations=[layer.dilation] * 2,
        )
        if layer.padding:
            node.attribute.append(helper.make_attribute("output_padding", [layer.padding] * 2))
        nodes.append(node)
        if layer.normalised:
            four = [constant(f"n{i}{x}", chance.uniform(0.5, 1.5, layer.outputs)) for x in range(4)]
            nodes.append(helper.make_node("BatchNormalization", [value, *four], [value := f"n{i}"]))
        for j, name in enumerate(layer.then):
            limits = [constant("low", np.array(-0.5)), constant("high", np.array(0.7))]
            inputs = [value, *(limits if name == "Clip" else [])]
            nodes.append(helper.make_node(name, inputs, [value := f"e{i}{j}"]))
        channels = layer.outputs
    first = helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ["batch", *case.inputs])
    last = helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "toy", [first], [last], weights),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    return normalise(ir.from_proto(shape_inference.infer_shapes(model)))


def originals(case: Case) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two batches; both have the same in the last channel."""
    chance = np.random.default_rng(4)
    both = chance.standard_normal((2, case.pairs, *case.inputs)).astype(np.float32)
    both[1, :, -1] = both[0, :, -1]
    return both[0], both[1]


def plain(model: ir.Model, case: Case) -> dict[str, NDArray[np.float64]]:
    """The sums for every channel alone, by the plain path."""
    first, second = originals(case)
    (image1,) = run(model.clone(), {"a": first}).values()
    graph = reduce_effects(splice(model.clone(), activation="a", channel_axis=1))
    sets = np.eye(case.inputs[0], dtype=np.bool_)
    sums = run(graph, {ORIGINAL1: first, ORIGINAL2: second, IMAGE1: image1, SETS: sets})
    return {name: np.asarray(value, np.float64) for name, value in sums.items()}


def chain(case: Case, chosen: Registers) -> Chain:
    """The case's chain, which can be compiled."""
    found = fitting(chain_of(downstream(case), "a"), chosen)
    assert found is not None
    return found


@functools.cache
def effects_of(case: Case, chosen: Registers = WIDEST) -> ChainEffects:
    """The case's code; it is compiled once."""
    return ChainEffects(chain(case, chosen))


@pytest.mark.parametrize("name", CASES)
def test_compiled_sums_are_those_of_the_plain_path_to_the_bit_on_every_width(name: str) -> None:
    case = CASES[name]
    (one, two), expected = originals(case), plain(downstream(case), case)
    channels, found = np.arange(case.inputs[0])[::-1], []
    for chosen in EVERY:
        effects = effects_of(case, chosen)
        found.append(effects.run(effects.prepare(one, two), channels))
    for sums in found:
        for title, value, first in (
            (TOTAL, sums.total, found[0].total),
            (MOMENT, sums.moment, found[0].moment),
            (PIXEL_MEANS, sums.pixel_means, found[0].pixel_means),
        ):
            wanted = expected[title][channels]
            np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE * case.pairs)
            np.testing.assert_array_equal(value, first)
        # Where both originals are the same, nothing is left at all.
        assert not sums.total[0].any()
        assert not sums.pixel_means[0].any()
        assert case.inputs[0] == 1 or sums.total[1].any()


@pytest.mark.parametrize("name", CASES)
def test_stages_above_a_cut_give_what_the_graph_gives(name: str) -> None:
    case = CASES[name]
    given, _ = originals(case)
    (expected,) = run(downstream(case), {"a": given}).values()
    stages, found = chain_above(downstream(case)), list[NDArray[np.float32]]()
    assert stages[0].source == "a"
    for chosen in EVERY:
        own, code = Stages(stages, chosen), Activations(Stages(stages, chosen))
        found.append(code.run(given))
        wanted = np.asarray(expected, np.float64)
        np.testing.assert_allclose(found[-1].astype(np.float64), wanted, rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(found[-1], found[0])
        for at_end in (False, True) if FENCES else ():
            fenced = Fenced(at_end=at_end)
            buffer = fenced.filled(np.zeros(own.buffer_offsets[-1], np.float32))
            result = fenced.array(found[-1].shape, np.float32)
            weights, image = (fenced.filled(x) for x in (own.weights, given))
            code.call(FORWARD, [len(given)], [weights, image, result, buffer])
            assert fenced.is_whole
            np.testing.assert_array_equal(result, found[-1])


def test_a_channel_has_the_same_bits_whichever_are_asked_for_with_it() -> None:
    case = CASES["twice as large"]
    one, two = originals(case)
    effects = effects_of(case)
    prepared = effects.prepare(one, two)
    every, some = (effects.run(prepared, np.array(x)) for x in ([0, 1, 2, 3, 4], [3, 0, 3]))
    np.testing.assert_array_equal(some.total, every.total[[3, 0, 3]])
    np.testing.assert_array_equal(some.pixel_means, every.pixel_means[[3, 0, 3]])


def test_what_lies_otherwise_in_memory_gives_the_same() -> None:
    case = CASES["twice as large"]
    one, two = originals(case)
    effects = effects_of(case)
    turned = [np.asfortranarray(x) for x in (one, two)]
    reversed_ = [x[..., ::-1].copy()[..., ::-1] for x in (one, two)]
    expected = effects.prepare(one, two).values
    for first, second in (turned, reversed_):
        np.testing.assert_array_equal(effects.prepare(first, second).values, expected)


def test_activations_and_channels_that_the_code_was_not_made_for_are_refused() -> None:
    case = CASES["one convolution"]
    one, two = originals(case)
    effects = effects_of(case)
    with pytest.raises(ValueError, match=r"activations are \(3, 5, 7, 6\)"):
        effects.prepare(one[..., :6], two)
    with pytest.raises(ValueError, match=r"activations are .* and \(2, 5, 7, 7\)"):
        effects.prepare(one, two[:2])
    prepared = effects.prepare(one, two)
    for channel in (-1, 5):
        with pytest.raises(ValueError, match="channels must be from 0 to 4"):
            effects.run(prepared, np.array([0, channel]))
    with pytest.raises(ValueError, match="another chain"):
        effects.run(replace(prepared, values=prepared.values[:, 1:]), np.array([0]))


class Fenced:
    """Arrays that end, or begin, where memory does that nobody may touch.

    A read or a write beyond would end the process; what lies around in the same page is compared.
    """

    def __init__(self, *, at_end: bool) -> None:
        self._at_end = at_end
        self._maps: list[tuple[NDArray[np.uint8], slice]] = []

    def array(self, shape: Sequence[int], kind: type[Number]) -> NDArray[Number]:
        """An array of 0xAB bytes, which are no sensible numbers."""
        page, size = mmap.PAGESIZE, int(np.prod(shape)) * np.dtype(kind).itemsize
        room = -(-size // page) * page
        memory = np.frombuffer(mmap.mmap(-1, room + 2 * page), np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        start = memory.ctypes.data
        inside = memory[page : page + room]
        inside[:] = 0xAB
        for fence in (start, start + page + room):
            assert libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), 0) == 0
        own = slice(room - size, room) if self._at_end else slice(0, size)
        self._maps.append((inside, own))
        return inside[own].view(kind).reshape(shape)

    def filled(self, values: NDArray[Number]) -> NDArray[Number]:
        """The same values, fenced."""
        fenced = self.array(values.shape, values.dtype.type)
        fenced[...] = values
        return fenced

    @property
    def is_whole(self) -> bool:
        """Whether nothing around the arrays has changed."""
        for inside, own in self._maps:
            around = np.concatenate([inside[: own.start], inside[own.stop :]])
            if (around != 0xAB).any():
                return False
        return True


@pytest.mark.skipif(not FENCES, reason="fences are made by mprotect")
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_nothing_beyond_any_array_is_read_or_written(name: str, at_end: bool) -> None:
    case = CASES[name]
    (one, two), expected = originals(case), plain(downstream(case), case)
    numbers = np.arange(case.inputs[0])
    for chosen in EVERY:
        own, fenced = chain(case, chosen), Fenced(at_end=at_end)
        code = effects_of(case, chosen)
        _, height, across = own.image
        weights, first, second = (fenced.filled(x) for x in (own.weights, one, two))
        channels = fenced.filled(numbers)
        prepared = fenced.array((case.pairs, own.pair_offsets[-1]), np.float32)
        buffer = fenced.filled(np.zeros(own.buffer_offsets[-1], np.float32))
        maps = [
            fenced.filled(np.zeros((len(numbers), height, across), np.float32)) for _ in range(2)
        ]
        sums = fenced.array((len(numbers), case.pairs), np.float32)
        code.call(PREPARE, [case.pairs], [weights, first, second, prepared, buffer])
        counts = [case.pairs, len(numbers)]
        code.call(RUN, counts, [weights, prepared, channels, buffer, *maps, sums])
        assert fenced.is_whole
        width = own.stages[-1].outputs[2]
        mean = maps[0][:, :, :width] * case.pairs
        np.testing.assert_allclose(mean, expected[TOTAL], rtol=0, atol=TOLERANCE * case.pairs)


def values_of(
    operation: Elementwise, given: NDArray[np.float32], chosen: Registers
) -> NDArray[np.float32]:
    """What an elementwise operation makes of these, of which there are whole vectors."""
    module = llvm.Module("toy")
    writer = Writer(module, "apply", (INT, POINTER, POINTER), chosen.lanes)
    count, source, target = writer.arguments
    with writer.loop(count) as number:
        place = writer.times(number, chosen.lanes)
        value = apply(writer, operation, writer.load(writer.at(source, place)))
        writer.store(value, writer.at(target, place))
    writer.end()
    result = np.empty_like(given)
    types = ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
    code = Compiled(module, chosen)
    code.function("apply", *types)(
        len(given) // chosen.lanes, given.ctypes.data, result.ctypes.data
    )
    return result


def test_tanh_and_the_logistic_function_are_those_of_double_precision() -> None:
    sweep = np.concatenate(
        [np.linspace(-20, 20, 400_000), np.geomspace(1e-30, 1, 80_000), [-np.inf, np.inf] * 8]
    ).astype(np.float32)
    exact = np.tanh(sweep.astype(np.float64))
    logistic = 1 / (1 + np.exp(-sweep.astype(np.float64)))
    for chosen in EVERY:
        tanh = values_of(Elementwise("Tanh"), sweep, chosen)
        ulp = np.abs(tanh - exact) / np.spacing(np.abs(exact).astype(np.float32))
        assert ulp.max() < 6
        assert np.abs(tanh - exact).max() < 3.2e-7
        assert np.abs(tanh).max() <= 1
        sigmoid = values_of(Elementwise("Sigmoid"), sweep, chosen)
        assert np.abs(sigmoid - logistic).max() < 1.7e-7
        assert sigmoid.min() >= 0


def test_the_powers_of_tanh_are_those_that_the_tool_fits() -> None:
    path = Path(__file__).parents[1] / "tools" / "tanh.py"
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    printed = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=True, env=one_thread
    )
    for line, powers in zip(printed.stdout.splitlines(), (ABOVE, BELOW), strict=True):
        np.testing.assert_allclose(np.array(line.split()[1:], float), powers, rtol=1e-4)


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (Elementwise("Relu"), [np.nan, 0.0, 0.0, 3.0]),
        (Elementwise("LeakyRelu", (0.25,)), [np.nan, -1.0, 0.0, 3.0]),
        (Elementwise("Clip", (-2.0, 1.0)), [np.nan, -2.0, 0.0, 1.0]),
        (Elementwise("Identity"), [np.nan, -4.0, 0.0, 3.0]),
    ],
)
def test_other_elementwise_operations_are_exact(
    operation: Elementwise, wanted: list[float]
) -> None:
    given = np.tile(np.array([np.nan, -4.0, 0.0, 3.0], np.float32), 4)
    for chosen in EVERY:
        np.testing.assert_array_equal(values_of(operation, given, chosen), wanted * 4)
    for name in ("Tanh", "Sigmoid"):
        assert np.isnan(values_of(Elementwise(name), given, WIDEST)[0])


def test_a_half_that_is_no_plain_chain_is_not_compiled() -> None:
    plain_stage = Layer(3, (3, 3), (1, 1, 1, 1))
    toy = Case((4, 6, 6), (plain_stage,))
    good = ir.to_proto(downstream(toy))
    assert chain_of(ir.from_proto(good), "a")
    skip = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        toy (float[batch, 4, 6, 6] a) => (float[batch, 4, 6, 6] image) {
            b = Relu(a)
            image = Add(a, b)
        }
        """
    )
    assert chain_of(normalise(skip), "a") == ()
    # Extents that are stated and are not those of the operation: what is stated may be a lie.
    for axis, extent in ((1, 2), (2, 7), (3, 5)):
        lie = onnx.ModelProto.FromString(good.SerializeToString())
        for value in (*lie.graph.value_info, *lie.graph.output):
            shape = value.type.tensor_type.shape.dim
            if len(shape) == 4 and value.name != "a":
                shape[axis].dim_value = extent
        assert chain_of(ir.from_proto(lie), "a") == ()
    for other in (
        Case((4, 6, 6), (replace(plain_stage, then=("Softplus",)),)),
        Case((4, 6, 6), (replace(plain_stage, stride=3, outputs=3),)),
    ):
        assert chain_of(downstream(other), "a") == ()


def test_code_that_would_grow_too_long_is_not_written() -> None:
    narrow, wide = (Case((2, 2, 2), (Layer(1, (1, k), (0, k // 2, 0, k // 2)),)) for k in (31, 33))
    assert fitting(chain_of(downstream(narrow), "a"), WIDEST)
    assert fitting(chain_of(downstream(wide), "a"), WIDEST) is None
    for colours, layers in ((25, 1), (3, 9)):
        case = Case((2, 2, 2), (Layer(2, (1, 1)),) * (layers - 1) + (Layer(colours, (1, 1)),))
        assert fitting(chain_of(downstream(case), "a"), WIDEST) is None
    assert fitting((), WIDEST) is None


def test_only_stages_that_read_wide_rows_are_compiled_above_a_cut() -> None:
    case = Case((3, 2, 8), (replace(UP, outputs=4), replace(UP, outputs=5), UP))
    stages = chain_above(downstream(case))
    found = leading(stages, WIDEST)
    assert found is not None
    assert [x.inputs[2] for x in found.stages] == [16, 32]
    assert leading(stages[:1], WIDEST) is None
    assert leading((), WIDEST) is None


DECODER = """
<ir_version: 10, opset_import: ["": 20]>
decoder (float[batch, 6] z) => (float[batch, 3, 32, 32] image) {
    flat = Gemm(z, w_fc)
    maps = Reshape(flat, shape_fc)
    first = Relu(maps)
    up1 = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(first, w_up1)
    second = Relu(up1)
    up2 = ConvTranspose<strides = [2, 2], pads = [2, 2, 2, 2], output_padding = [1, 1]>(
        second, w_up2)
    scaled = BatchNormalization(up2, gain, shift, mean, variance)
    third = Relu(scaled)
    colours = Conv<pads = [1, 1, 1, 1]>(third, w_out)
    image = Tanh(colours)
}
"""


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """A generator whose last layer lies behind rows of 16 columns."""
    chance, folder = np.random.default_rng(1), tmp_path_factory.mktemp("decoder")
    shapes = {"w_fc": (6, 256), "w_up1": (4, 5, 4, 4), "w_up2": (5, 6, 5, 5), "w_out": (3, 6, 3, 3)}
    weights = {x: chance.standard_normal(y).astype(np.float32) / 3 for x, y in shapes.items()}
    model = parse(DECODER, shape_fc=np.array([-1, 4, 8, 8]), **weights)
    ir.save(model, folder / "decoder.onnx")
    export(folder / "decoder.onnx", folder / "bundle")
    return Generator(read_bundle(folder / "bundle"), SessionPool(Device.CPU, 16))


def every_channel(generator: Generator, shape: tuple[int, int], map_size: int = 0) -> ChannelSets:
    """Each alone, of the last layer of so many channels and columns."""
    layers = [x for x in generator.manifest.layers if (x.channels, x.width) == shape]
    sets = np.eye(shape[0], dtype=np.bool_)
    return ChannelSets(generator, layers[-1], sets, generator.areas(map_size))


def sums_of(subject: Subject, plan: Plan, pairs: range = range(4)) -> ShardEffects:
    source = PriorPairs(subject.generator, seed=1)
    return shard_effects(subject, plan, source, pairs, Cancellation())


@pytest.mark.parametrize("shape", [(4, 8), (5, 16), (6, 32)])
def test_a_shard_of_a_bundle_is_the_plain_one(decoder: Generator, shape: tuple[int, int]) -> None:
    every = every_channel(decoder, shape)
    plain_plan, compiled_plan, *_ = every.candidates([decoder.backend])
    assert compiled_plan.rewrites == (*REWRITES, COMPILE)
    found, wanted = (sums_of(every, replace(x, batch=2)) for x in (compiled_plan, plain_plan))
    np.testing.assert_allclose(found.moments.mean, wanted.moments.mean, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found.pixel_means, wanted.pixel_means, rtol=0, atol=TOLERANCE)
    # Channels that go on alone have the same bits, and so has a shard in any thread.
    some = np.array([0, 2])
    alone = sums_of(every.only(some), replace(compiled_plan, batch=2))
    np.testing.assert_array_equal(alone.moments.mean, found.moments.mean[some])
    with ThreadPoolExecutor(4) as executor:
        again = executor.map(lambda _: sums_of(every, replace(compiled_plan, batch=2)), range(4))
        for sums in again:
            np.testing.assert_array_equal(sums.moments.mean, found.moments.mean)
            np.testing.assert_array_equal(sums.moments.m2, found.moments.m2)
            np.testing.assert_array_equal(sums.pixel_means, found.pixel_means)
    above = decoder.memo.get(f"{every.layer.name}/compiled from", lambda: "nobody asked")
    assert bool(above) == (shape == (6, 32))


def test_several_layers_are_compiled_where_each_can_be(decoder: Generator) -> None:
    parts = every_channel(decoder, (5, 16)), every_channel(decoder, (6, 32))
    subject = LayeredSets(decoder, parts)
    plain_plan, compiled_plan, *_ = subject.candidates([decoder.backend])
    assert COMPILE in compiled_plan.rewrites
    found, wanted = (sums_of(subject, replace(x, batch=2)) for x in (compiled_plan, plain_plan))
    np.testing.assert_allclose(found.moments.mean, wanted.moments.mean, rtol=0, atol=TOLERANCE)


def test_sets_of_several_channels_areas_and_other_precisions_are_not_compiled(
    decoder: Generator,
) -> None:
    single, bf16 = every_channel(decoder, (6, 32)), Backend(OPENVINO, Precision.BF16)
    for subject, backend in (
        (replace(single, sets=single.sets | single.sets[::-1]), decoder.backend),
        (every_channel(decoder, (6, 32), map_size=16), decoder.backend),
        (single, bf16),
    ):
        assert not any(COMPILE in x.rewrites for x in subject.candidates([backend]))


def test_compiled_code_is_stopped_between_runs(decoder: Generator) -> None:
    subject = every_channel(decoder, (6, 32))
    plan = subject.candidates([decoder.backend])[1]
    cancellation = Cancellation()
    batch = subject.record(PriorPairs(decoder, seed=1), range(2), plan, cancellation)
    batch.effects(range(1))
    cancellation.cancel()
    with pytest.raises(Cancelled):
        batch.effects(range(1))
    with pytest.raises(Cancelled):
        subject.record(PriorPairs(decoder, seed=1), range(2), plan, cancellation)


def test_compiled_code_is_counted_and_closed_with_sessions(decoder: Generator) -> None:
    pool = SessionPool(Device.CPU, 16)
    generator = Generator(decoder.folder, pool)
    subject = every_channel(generator, (6, 32))
    plan = subject.candidates([generator.backend])[1]
    before, held = sums_of(subject, plan), pool.held_bytes
    assert held > 2 * 4 * 2**20  # Above the cut and below it.
    assert pool.close_idle(2 * held) == held
    assert not len(pool)
    # What was closed is made anew when it is asked for.
    np.testing.assert_array_equal(sums_of(subject, plan).moments.mean, before.moments.mean)


def test_without_the_compiler_there_are_other_plans_and_a_stored_one_is_refused(
    decoder: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, source = every_channel(decoder, (6, 32)), PriorPairs(decoder, seed=1)
    plan = subject.candidates([decoder.backend])[1]
    assert can_compile()
    assert _gives_same_bits(plan, decoder)
    assert describe_compiler() == "llvmlite"
    # As Python itself marks a package that is not to be found.
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    assert not can_compile()
    # So a job that was stopped is begun anew, with another plan.
    assert not _gives_same_bits(plan, decoder)
    assert "pip install 'graftscope[compile]'" in describe_compiler()
    plans = subject.candidates([decoder.backend])
    assert plans
    assert not any(COMPILE in x.rewrites for x in plans)
    with pytest.raises(DeviceUnavailable, match="cannot be compiled on this machine"):
        subject.record(source, range(2), plan, Cancellation())


def test_a_run_of_compiled_code_stays_within_its_memory_and_its_time(decoder: Generator) -> None:
    plain_plan = every_channel(decoder, (6, 32)).plan()
    small, wide = CompiledSize(2**19, 2**20), CompiledSize(2**24, 2**31)
    for size, batch, sets in ((small, 32, 32), (wide, 1, 1)):
        plan = rewritten(decoder, plain_plan, single=True, compiled=size)[1]
        assert (plan.batch, plan.sets) == (batch, sets)
    too_large = rewritten(decoder, plain_plan, single=True, compiled=CompiledSize(2**24 + 1, 1))
    for plans in (too_large, rewritten(decoder, plain_plan, single=False, compiled=small)):
        assert not any(COMPILE in x.rewrites for x in plans)
    assert CompiledSize.largest([small, wide]) == wide
    assert CompiledSize.largest([small, None]) is None
