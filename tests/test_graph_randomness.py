"""Facts about graphs that draw random numbers by themselves, and others unfit to be cut."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.graph import (
    GraphError,
    LoopError,
    Noise,
    RandomGraphError,
    TrainingModeError,
    find_layers,
    free_batch,
    inputs_for_randomness,
    normalise,
    refuse_unfit,
)
from onnx_cases import FIXED, LOOP, TIMES, drawing, one_sample
from onnx_toys import CHAIN, SKIP, latents, parse, run

BATCH = 3


def replaced(node: str, **constants: NDArray[np.generic]) -> tuple[ir.Model, Noise]:
    model = normalise(parse(drawing(node), **constants))
    (noise,) = inputs_for_randomness(model)
    return model, noise


def added(moved: NDArray[np.float32], given: dict[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    """Compute the images with given numbers where the random ones would be."""
    return images(parse(drawing("Identity(moved)"), moved=moved.astype(np.float32)), given)


def images(model: ir.Model, given: dict[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    return run(model, given)["image"].astype(np.float64)


@pytest.mark.parametrize(
    ("node", "shape", "placed"),
    [
        ("RandomNormalLike(last)", (4, 4, 4), (BATCH, 4, 4, 4)),
        ("RandomNormal<shape = [1, 1, 4, 4]>()", (1, 4, 4), (BATCH, 1, 4, 4)),
        ("RandomNormal<shape = [4, 4]>()", (1, 4, 4), (BATCH, 1, 4, 4)),
        ("RandomNormal<shape = [4, 1, 1]>()", (4, 1, 1), (BATCH, 4, 1, 1)),
        ("RandomNormal<shape = [4]>()", (1, 1, 4), (BATCH, 1, 1, 4)),
    ],
)
def test_a_random_node_becomes_an_input_with_one_draw_a_sample(
    node: str, shape: tuple[int, ...], placed: tuple[int, ...]
) -> None:
    model, noise = replaced(node)
    assert noise == Noise("noise", shape, None)
    drawn = np.random.default_rng(5).standard_normal((BATCH, *shape)).astype(np.float32)
    given = latents(parse(SKIP), BATCH)
    found = images(model, {**given, "noise": drawn})
    np.testing.assert_allclose(found, added(drawn.reshape(placed), given), atol=1e-6)


def test_mean_and_scale_are_applied_behind_a_standard_normal_input() -> None:
    model, noise = replaced("RandomNormalLike<mean = -0.5, scale = 3.0>(last)")
    drawn = np.random.default_rng(5).standard_normal((BATCH, 4, 4, 4)).astype(np.float32)
    given = latents(parse(SKIP), BATCH)
    found = images(model, {**given, "noise": drawn})
    np.testing.assert_allclose(found, added(drawn * 3 - 0.5, given), atol=1e-6)
    assert noise.bounds is None


def test_a_uniform_node_keeps_its_bounds() -> None:
    _, noise = replaced("RandomUniformLike<low = -0.1, high = 0.7>(last)")
    assert noise == Noise("noise", (4, 4, 4), (-0.1, 0.7))


def test_what_is_scaled_by_channels_before_it_is_added_is_placed_there_too() -> None:
    strength = np.linspace(0, 1, 4, dtype=np.float32).reshape(4, 1, 1)
    text = drawing("RandomNormal<shape = [4, 4]>()").replace(
        "noisy = Add(last, drawn)", "strong = Mul(drawn, s)\n    noisy = Add(last, strong)"
    )
    model = normalise(parse(text, s=strength))
    (noise,) = inputs_for_randomness(model)
    assert noise.shape == (1, 4, 4)
    drawn = np.random.default_rng(5).standard_normal((BATCH, 1, 4, 4)).astype(np.float32)
    given = latents(parse(SKIP), BATCH)
    found = images(model, {**given, "noise": drawn})
    np.testing.assert_allclose(found, added(drawn * strength, given), atol=1e-6)


def test_several_nodes_become_several_inputs_and_the_graph_can_be_cut() -> None:
    text = drawing("RandomNormalLike(last)").replace(
        "second = Relu(middle)", "more = RandomUniformLike(middle)\n    second = Add(middle, more)"
    )
    model = normalise(parse(text))
    assert [noise.name for noise in inputs_for_randomness(model)] == ["noise", "noise_2"]
    assert [value.name for value in model.graph.inputs] == ["z", "noise", "noise_2"]
    assert find_layers(model)


def test_noise_of_one_sample_is_freed_with_the_batch() -> None:
    text = one_sample(drawing("RandomNormal<shape = [1, 1, 4, 4]>()"))
    model = normalise(parse(text, **FIXED))
    inputs_for_randomness(model)
    free_batch(model)
    assert run(model, latents(model, BATCH))["image"].shape == (BATCH, 3, 4, 4)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (
            "RandomNormal<shape = [3, 4, 4, 4]>()",
            "draws shape [3, 4, 4, 4], whose first axis is not the batch",
        ),
        ("RandomNormalLike(row)", "draws shape [None, 4], whose batch meets another axis"),
    ],
)
def test_a_random_node_that_cannot_become_an_input_is_named(node: str, reason: str) -> None:
    text = drawing(node).replace("drawn =", "row = Gemm(z, w_style)\n    drawn =")
    operation = node.partition("(")[0].partition("<")[0]
    with pytest.raises(RandomGraphError) as refused:
        inputs_for_randomness(normalise(parse(text)))
    assert str(refused.value) == (
        f"node 'drawn' ({operation}) {reason}; its random numbers cannot become an input of the "
        "generator"
    )


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            drawing("Bernoulli(second)"),
            RandomGraphError,
            "node 'drawn' (Bernoulli) draws random choices inside the graph, which cannot become "
            "an input; export the generator without them",
        ),
        (
            drawing("Dropout(second, ratio, yes)"),
            TrainingModeError,
            "node 'drawn' (Dropout) is in training mode; export the generator in evaluation mode",
        ),
        (
            CHAIN.replace(
                "scaled = BatchNormalization(",
                "scaled, mean_2, variance_2 = BatchNormalization<training_mode = 1>(",
            ),
            TrainingModeError,
            "node 'scaled' (BatchNormalization) is in training mode; export the generator in "
            "evaluation mode",
        ),
        (
            LOOP,
            LoopError,
            "node 'second' (Loop) is a loop between the inputs and the image; a generator with a "
            "loop cannot be cut: export it with the loop unrolled",
        ),
    ],
)
def test_an_unfit_graph_is_refused_in_one_line(
    text: str, error: type[GraphError], message: str
) -> None:
    model = normalise(parse(text, ratio=np.array(0.5, np.float32), **TIMES))
    with pytest.raises(error) as refused:
        refuse_unfit(model)
    assert str(refused.value) == message


@pytest.mark.parametrize("node", ["Dropout(second)", "Dropout(second, ratio, no)"])
def test_dropout_that_passes_its_input_on_goes_away(node: str) -> None:
    constants = {"ratio": np.array(0.5, np.float32), "no": np.array(False)}
    model = normalise(parse(drawing(node), **constants))
    given = latents(model, BATCH)
    before = run(model, given)["image"]
    refuse_unfit(model)
    assert "Dropout" not in [each.op_type for each in model.graph]
    np.testing.assert_array_equal(run(model, given)["image"], before)
