"""Each rewrite keeps a graph's numbers and takes away what it is there to take away."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from block_toys import BLOCKS, FALL_BACK, block
from block_toys import CHANNELS as CHANNELS_OF_BLOCKS
from block_toys import HALVES as BLOCK_HALVES
from graftscope.graph import (
    IMAGE1,
    MOMENT,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    Areas,
    GraphError,
    cut,
    find_layers,
    normalise,
    reduce_effects,
    splice,
)
from graftscope.graph.rewrites import CHANNELS, REWRITES, SHARE, channel_effects, rewrite
from graftscope.graph.rewrites._defer import phase_kernel
from graftscope.graph.rewrites._nodes import weights
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, latents, parse, run

PAIRS = 3
# Of numbers around 1: float32 sums in another order.
TOLERANCE = 2e-5

Arrays = dict[str, NDArray[np.generic]]

# kernel, stride, zeros before and after, output_padding, input and output side
TRANSPOSED = {
    "paper": (5, 2, (2, 2), 1, 4, 8),
    "dcgan": (4, 2, (1, 1), 0, 4, 8),
    "first of a dcgan": (4, 1, (0, 0), 0, 1, 4),
    "stride 1": (5, 1, (2, 2), 0, 6, 6),
    "stride 3": (5, 3, (1, 1), 0, 3, 9),
    "kernel as long as the stride": (2, 2, (0, 0), 0, 4, 8),
    "uneven padding": (4, 2, (2, 0), 0, 4, 8),
    "uneven phases": (3, 2, (0, 0), 0, 4, 9),
    "kernel shorter than the stride": (1, 2, (0, 0), 1, 4, 8),
}
UNEVEN = ("uneven phases", "kernel shorter than the stride")


def transposed(case: str, channels: int = 20) -> ir.Model:
    """A transposed convolution, a nonlinearity, a convolution to three colours."""
    kernel, stride, (before, after), more, side, output = TRANSPOSED[case]
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    up (float[batch, 6, {side}, {side}] a) => (float[batch, 3, {output}, {output}] image) {{
        wide = ConvTranspose<strides = [{stride}, {stride}], output_padding = [{more}, {more}],
            pads = [{before}, {before}, {after}, {after}],
            kernel_shape = [{kernel}, {kernel}]>(a, w_wide, b_wide)
        active = LeakyRelu<alpha = 0.1>(wide)
        colours = Conv<pads = [2, 2, 2, 2]>(active, w_last, b_last)
        image = Tanh(colours)
    }}
    """
    chance = np.random.default_rng(4)

    def drawn(*shape: int) -> NDArray[np.float32]:
        values = chance.standard_normal(shape, dtype=np.float32)
        return values / np.float32(np.sqrt(np.prod(shape[1:])))

    return normalise(
        parse(
            text,
            w_wide=drawn(6, channels, kernel, kernel),
            b_wide=drawn(channels, 1)[:, 0],
            w_last=drawn(3, channels, 5, 5),
            b_last=drawn(3, 1)[:, 0],
        )
    )


def counts(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def kernels(model: ir.Model) -> list[NDArray[np.generic]]:
    """Of all convolutions."""
    found = [weights(node.inputs[1]) for node in model.graph if node.op_type == "Conv"]
    return [kernel for kernel in found if kernel is not None]


def images_of(model: ir.Model, inputs: Arrays) -> NDArray[np.float32]:
    (image,) = run(model, inputs).values()
    return np.asarray(image, np.float32)


@pytest.mark.parametrize("channels", [3, 20])
@pytest.mark.parametrize("case", TRANSPOSED)
@pytest.mark.parametrize("names", [["subpixel"], ["subpixel", "defer"], REWRITES], ids="+".join)
def test_transposed_convolutions_in_phases_give_the_same_image(
    case: str, names: list[str], channels: int
) -> None:
    model = transposed(case, channels)
    inputs = latents(model, PAIRS)
    found = rewrite(transposed(case, channels), names)
    np.testing.assert_allclose(
        images_of(found, inputs), images_of(model, inputs), rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize("case", TRANSPOSED)
def test_no_strided_transposed_convolution_is_left_but_uneven_ones(case: str) -> None:
    left = counts(rewrite(transposed(case), ["subpixel"]))["ConvTranspose"]
    assert left == (case in (*UNEVEN, "first of a dcgan"))


def test_each_phase_has_only_its_own_taps() -> None:
    model = rewrite(transposed("paper", channels=16), ["subpixel"])
    shapes = sorted(kernel.shape for kernel in kernels(model))
    assert [shape[2:] for shape in shapes[1:]] == [(2, 2), (2, 3), (3, 2), (3, 3)]


def test_few_outputs_are_convolved_all_phases_at_once() -> None:
    assert counts(rewrite(transposed("paper", channels=3), ["subpixel"]))["Conv"] == 2


def test_the_last_interleaving_comes_behind_the_last_convolution() -> None:
    model = rewrite(transposed("paper"), ["subpixel", "defer"])
    assert counts(model)["DepthToSpace"] == 1
    producer = model.graph.outputs[0].producer()
    assert producer is not None
    assert producer.op_type == "DepthToSpace"
    # Phases are convolved one by one and added: nothing copies them together.
    assert counts(model)["Concat"] == 0


@pytest.mark.parametrize(("size", "before"), [(3, 1), (5, 2), (4, 1), (1, 0)])
def test_a_phase_kernel_does_on_phases_what_the_kernel_does_on_the_image(
    size: int, before: int
) -> None:
    chance = np.random.default_rng(0)
    kernel = chance.standard_normal((2, 3, size, size)).astype(np.float32)
    image = chance.standard_normal((3, 8, 8))
    expected = _convolve(image, kernel, before)
    result, (rows, _) = phase_kernel(kernel, (before, before), 2)
    found = _convolve(_phases(image), result, -rows.start)
    np.testing.assert_allclose(found[:, :4, :4], _phases(expected)[:, :4, :4], atol=1e-9)


def _convolve(
    image: NDArray[np.float64], kernel: NDArray[np.float32], before: int
) -> NDArray[np.float64]:
    """As many outputs as inputs, zeros around."""
    side, size = image.shape[1], kernel.shape[2]
    wide = np.pad(image, ((0, 0), (before, size), (before, size)))
    result = np.zeros((len(kernel), side, side))
    for i in range(size):
        for j in range(size):
            part = wide[:, i : i + side, j : j + side]
            result += np.einsum("oc,chw->ohw", kernel[:, :, i, j].astype(np.float64), part)
    return result


def _phases(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([image[:, r::2, c::2] for r in (0, 1) for c in (0, 1)])


@pytest.mark.parametrize("operation", ["Conv", "ConvTranspose"])
def test_batch_normalisation_is_folded_into_the_convolution_before_it(operation: str) -> None:
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    normed (float[batch, 4, 5, 5] a) => (float[batch, 6, 5, 5] image) {{
        wide = {operation}<pads = [1, 1, 1, 1]>(a, w)
        normal = BatchNormalization(wide, gain, shift, mean, variance)
        image = Relu(normal)
    }}
    """
    shape = (4, 6, 3, 3) if operation == "ConvTranspose" else (6, 4, 3, 3)
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    model, other = (normalise(parse(text, w=weights)) for _ in range(2))
    inputs = latents(model, PAIRS)
    found = rewrite(other, ["fold"])
    assert counts(found)["BatchNormalization"] == 0
    np.testing.assert_allclose(
        images_of(found, inputs), images_of(model, inputs), rtol=0, atol=TOLERANCE
    )


def test_a_normalisation_whose_input_is_read_elsewhere_stays() -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    normed (float[batch, 4, 5, 5] a) => (float[batch, 6, 5, 5] image) {
        wide = Conv<pads = [1, 1, 1, 1]>(a, w)
        normal = BatchNormalization(wide, gain, shift, mean, variance)
        image = Add(normal, wide)
    }
    """
    weights = np.ones((6, 4, 3, 3), np.float32)
    assert counts(rewrite(normalise(parse(text, w=weights)), ["fold"]))["BatchNormalization"] == 1


TOKENS = """
<ir_version: 10, opset_import: ["": 20]>
tokens (float[batch, 5, 4] a) => (float[batch, 3, 4, 5] image) {
    wide = MatMul(a, w_tokens)
    active = Relu(wide)
    turned = Transpose<perm = [0, 2, 1]>(active)
    image = Reshape(turned, shape_image)
}
"""

SHUFFLED = """
<ir_version: 10, opset_import: ["": 20]>
shuffled (float[batch, 6, 5, 5] a) => (float[batch, 3, 10, 10] image) {
    wide = Conv<pads = [1, 1, 1, 1]>(a, w_wide)
    active = Relu(wide)
    image = DepthToSpace<blocksize = 2, mode = "MODE">(active)
}
"""

BRANCH = """
<ir_version: 10, opset_import: ["": 20]>
branch (float[batch, 4, 5, 5] a) => (float[batch, 4, 5, 5] image) {
    wide = Relu(a)
    image = If(yes) <
        then_branch = then () => (float[batch, 4, 5, 5] one) { one = Tanh(wide) },
        else_branch = otherwise () => (float[batch, 4, 5, 5] two) { two = Sigmoid(wide) }
    >
}
"""

Half = Callable[[], tuple[ir.Model, str, int]]


def _half_of(text: str, layer: int) -> Half:
    def make() -> tuple[ir.Model, str, int]:
        model = normalise(parse(text))
        halves = cut(model, find_layers(model)[layer].tensor)
        return halves.downstream, halves.activation, 1

    return make


def _tokens() -> tuple[ir.Model, str, int]:
    weights = np.random.default_rng(2).standard_normal((4, 12)).astype(np.float32)
    shape = np.array([-1, 3, 4, 5])
    return normalise(parse(TOKENS, w_tokens=weights, shape_image=shape)), "a", 2


def _before(case: str) -> Half:
    return lambda: (transposed(case), "a", 1)


BIASED = """
<ir_version: 10, opset_import: ["": 20]>
biased (float[batch, 6] a, float[batch, 12] carried) => (float[batch, 3, 2, 2] image) {
    wide = Gemm(a, w_gemm, carried)
    active = Relu(wide)
    image = Reshape(active, shape_small)
}
"""

# Parts that are no phases of one image: of unequal channels, or beside and below each other.
PARTS = {
    "unequal parts": ("left = Conv(a, w_few)  right = Conv(a, w_many)", 1, 8),
    "parts below each other": ("left = Conv(a, w_eight)  right = Tanh(left)", 2, 8),
    "four parts below each other": (
        "one = Conv(a, w_eight)  two = Tanh(one)  left = Concat<axis = 2>(one, two)"
        "  right = Sigmoid(left)",
        2,
        8,
    ),
}


def _parts(case: str) -> Half:
    nodes, axis, channels = PARTS[case]
    chance = np.random.default_rng(6)
    shapes = {"w_few": (2, 6, 1, 1), "w_many": (6, 6, 1, 1), "w_eight": (8, 6, 1, 1)}
    weights = {k: chance.standard_normal(x).astype(np.float32) / 4 for k, x in shapes.items()}
    weights["w_end"] = chance.standard_normal((3, channels // 4, 3, 3)).astype(np.float32) / 4
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    parts (float[batch, 6, 4, 4] a) => (float[batch, 3, height, width] image) {{
        {nodes}
        both = Concat<axis = {axis}>(left, right)
        large = DepthToSpace<blocksize = 2, mode = "DCR">(both)
        image = Conv<pads = [1, 1, 1, 1]>(large, w_end)
    }}
    """
    used = {name: value for name, value in weights.items() if name in text}

    def make() -> tuple[ir.Model, str, int]:
        model = parse(text, **used)
        # The image's extents are those that inference finds.
        model.graph.outputs[0].shape = None
        return normalise(model), "a", 1

    return make


def _biased() -> tuple[ir.Model, str, int]:
    weights = np.random.default_rng(7).standard_normal((6, 12)).astype(np.float32)
    shape = np.array([-1, 3, 2, 2])
    return normalise(parse(BIASED, w_gemm=weights, shape_small=shape)), "a", 1


def _shuffled(mode: str) -> Half:
    weights = np.random.default_rng(5).standard_normal((12, 6, 3, 3)).astype(np.float32) / 4
    text = SHUFFLED.replace("MODE", mode)
    return lambda: (normalise(parse(text, w_wide=weights)), "a", 1)


HALVES: dict[str, Half] = {
    "a vector whose bias is carried": _biased,
    **{case: _parts(case) for case in PARTS},
    "a map before a pixel shuffle": _shuffled("CRD"),
    "a map before phases outermost": _shuffled("DCR"),
    "a map before a transposed convolution": _half_of(CHAIN, 0),
    "a map before the last convolution": _half_of(CHAIN, 1),
    "a map that is also added later": _half_of(SKIP, 0),
    "a map beside carried styles": _half_of(REUSED_LATENT, 0),
    "a map in front of noise": _half_of(REUSED_LATENT, 1),
    "tokens before a product": _tokens,
    **{case: _before(case) for case in TRANSPOSED},
    **BLOCK_HALVES,
}


class Effects:
    """The effects of some sets on pairs, on the plain path and rewritten."""

    def __init__(self, half: Half, areas: Areas = Areas()) -> None:
        self.make, self.areas = half, areas
        downstream, self.activation, self.axis = half()
        first, second = (latents(downstream, PAIRS, seed=seed) for seed in (1, 2))
        # One channel is dead: both originals have the same there.
        dead = [slice(None)] * first[self.activation].ndim
        dead[self.axis] = slice(1, 2)
        second[self.activation][tuple(dead)] = first[self.activation][tuple(dead)]
        self.image1 = images_of(downstream, first)
        self.channels = int(first[self.activation].shape[self.axis])
        carried = {name: value for name, value in first.items() if name != self.activation}
        originals = {ORIGINAL1: first[self.activation], ORIGINAL2: second[self.activation]}
        self.inputs: Arrays = {**originals, **carried}

    def plain(self, sets: NDArray[np.bool_]) -> Arrays:
        downstream, _, _ = self.make()
        spliced = splice(downstream, activation=self.activation, channel_axis=self.axis)
        model = reduce_effects(spliced, areas=self.areas)
        return run(model, {**self.inputs, IMAGE1: self.image1, SETS: sets})

    def rewritten(self, subject: Arrays, names: list[str]) -> Arrays:
        downstream, _, _ = self.make()
        effects = channel_effects(
            downstream,
            activation=self.activation,
            channel_axis=self.axis,
            areas=self.areas,
            rewrites=names,
        )
        kept = run(effects.pair, self.inputs)
        return run(effects.run, {**self.inputs, **kept, **subject})


def assert_same(found: Arrays, expected: Arrays) -> None:
    for name in (TOTAL, MOMENT, PIXEL_MEANS):
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(
            np.asarray(found[name], np.float64),
            np.asarray(expected[name], np.float64),
            rtol=0,
            atol=TOLERANCE,
        )


@pytest.mark.parametrize("names", [[SHARE], list(REWRITES)], ids="+".join)
@pytest.mark.parametrize("case", HALVES)
def test_sharing_gives_the_effects_of_every_channel(case: str, names: list[str]) -> None:
    effects = Effects(HALVES[case])
    channels = np.arange(effects.channels)[::-1].copy()
    found = effects.rewritten({CHANNELS: channels}, names)
    assert_same(found, effects.plain(np.eye(effects.channels, dtype=np.bool_)[channels]))


@pytest.mark.parametrize("case", HALVES)
def test_a_channel_that_both_originals_share_has_no_effect_at_all(case: str) -> None:
    found = Effects(HALVES[case]).rewritten({CHANNELS: np.array([0, 1])}, list(REWRITES))
    assert not found[TOTAL][1].any()
    assert not found[PIXEL_MEANS][1].any()
    assert found[TOTAL][0].any()


@pytest.mark.parametrize("case", HALVES)
def test_without_sharing_sets_are_of_any_size(case: str) -> None:
    effects = Effects(HALVES[case])
    sets = np.random.default_rng(3).random((3, effects.channels)) < 0.5
    names = [x for x in REWRITES if x != SHARE]
    assert_same(effects.rewritten({SETS: sets}, names), effects.plain(sets))


@pytest.mark.parametrize("areas", [Areas(2, 2), Areas(3, 2)])
def test_maps_are_averaged_over_the_same_areas(areas: Areas) -> None:
    effects = Effects(HALVES["paper"], areas)
    sets = np.eye(effects.channels, dtype=np.bool_)[:2]
    found = effects.rewritten({CHANNELS: np.array([0, 1])}, list(REWRITES))
    assert_same(found, effects.plain(sets))


def test_the_first_operation_is_not_in_the_graph_that_runs_for_every_channel() -> None:
    downstream, activation, _ = HALVES["a map before the last convolution"]()
    effects = channel_effects(downstream, activation=activation, rewrites=[SHARE])
    assert effects.shared
    # What is left unfolds one channel's difference: its kernel is one-hot.
    (kernel,) = kernels(effects.run)
    assert set(np.unique(kernel)) == {0.0, 1.0}
    assert counts(effects.pair)["Conv"] >= 1


def test_a_graph_inside_a_node_is_refused() -> None:
    model = normalise(parse(BRANCH, yes=np.array(True)))
    with pytest.raises(GraphError, match="If has a graph inside; it is not rewritten"):
        channel_effects(model, activation="a")


def test_what_cannot_be_shared_is_spliced() -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    pooled (float[batch, 4, 6, 6] a) => (float[batch, 4, 3, 3] image) {
        image = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(a)
    }
    """
    effects = Effects(lambda: (normalise(parse(text)), "a", 1))
    found = effects.rewritten({CHANNELS: np.arange(4)}, [SHARE])
    assert_same(found, effects.plain(np.eye(4, dtype=np.bool_)))


@pytest.mark.parametrize("case", [x for x in BLOCKS if x not in FALL_BACK])
def test_convolutions_read_no_upsampled_image_and_the_image_stays(case: str) -> None:
    model, _, _ = block(case)
    inputs = latents(model, PAIRS)
    expected = images_of(model, inputs)
    found = rewrite(block(case)[0], ["upsample", "subpixel"])
    np.testing.assert_allclose(images_of(found, inputs), expected, rtol=0, atol=TOLERANCE)
    upsampled = {x for node in found.graph if node.op_type == "Resize" for x in node.outputs}
    convolutions = [node for node in found.graph if node.op_type in ("Conv", "ConvTranspose")]
    assert upsampled.isdisjoint(x for node in convolutions for x in node.inputs)


SHARED = (
    "a residual block that upsamples first",
    "every channel normalised by itself",
    "a batch normalisation first",
    "a style for every channel",
    "styles that are computed, behind an interpolation",
    "attention behind a normalisation",
)


@pytest.mark.parametrize("case", SHARED)
def test_no_convolution_of_all_channels_runs_for_every_one_behind_a_normalisation(
    case: str,
) -> None:
    model, activation, _ = block(case)
    run = channel_effects(model, activation=activation).run
    assert CHANNELS_OF_BLOCKS not in {kernel.shape[1] for kernel in kernels(run)}


@pytest.mark.parametrize("case", FALL_BACK)
def test_a_block_that_does_not_match_keeps_its_convolution(case: str) -> None:
    model, _, _ = block(case)
    inputs = latents(model, PAIRS)
    expected = images_of(model, inputs)
    found = rewrite(block(case)[0], REWRITES)
    np.testing.assert_allclose(images_of(found, inputs), expected, rtol=0, atol=TOLERANCE)
