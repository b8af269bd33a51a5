"""Networks that look at images: what they are given, what is read, and what is refused."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from graftscope.bundle import (
    ImageLayout,
    NetworkDescription,
    Preprocessing,
    find_shipped,
    read_bundle,
)
from graftscope.sandbox import KnownModels, Limits, Sandbox
from graftscope.server.engine import (
    Cancellation,
    Device,
    EncoderFeatures,
    Generator,
    ImageNetwork,
    Reads,
    SessionPool,
    open_network,
    usual_features,
)
from graftscope.server.engine._preprocessing import preprocess, resize
from graftscope.server.errors import Cancelled, InvalidInput, ModelRefused, NotFound
from reliability._hostile import HOSTILE

Array = NDArray[np.float32]
Shape = Sequence[int | str]

SHAPE = (3, 4, 6)
# One multiplication and one sum in float32 each.
TOLERANCE = 1e-6
# What is tried here was made here.
OPEN = Sandbox(Limits(sandbox=False))


@pytest.fixture
def pool() -> SessionPool:
    return SessionPool(Device.CPU, limit=4)


def pictures(count: int, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Array:
    draws = np.random.default_rng(seed)
    return draws.uniform(-1, 1, (count, *shape)).astype(np.float32)


def means(
    shape: Shape = ("n", 3, "h", "w"),
    *,
    axes: Sequence[int] = (2, 3),
    kind: int = TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A network of two outputs: mean colours (B, c, 1, 1), and twice those (B, c)."""
    image = helper.make_tensor_value_info("image", kind, shape)
    outputs = [
        helper.make_tensor_value_info("means", TensorProto.FLOAT, ["n", "c", "h", "w"]),
        helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["n", "c"]),
    ]
    stored = [
        numpy_helper.from_array(np.array(axes), "axes"),
        numpy_helper.from_array(np.array(2, np.float32), "two"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=1),
        helper.make_node("ReduceMean", ["floats", "axes"], ["flat"], keepdims=0),
        helper.make_node("Mul", ["flat", "two"], ["twice"]),
    ]
    return written(helper.make_graph(nodes, "means", [image], outputs, stored), metadata)


def written(graph: onnx.GraphProto, metadata: Mapping[str, str] | None = None) -> bytes:
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    helper.set_model_props(model, dict(metadata or {}))
    data: bytes = model.SerializeToString()
    return data


def opened(pool: SessionPool, model: bytes, **stated: object) -> ImageNetwork:
    given = {"images": SHAPE, "sandbox": OPEN} | stated
    return open_network(model, pool, **given)  # type: ignore[arg-type]


def test_a_network_of_mean_colours_gives_them(pool: SessionPool) -> None:
    images = pictures(70)

    network = opened(pool, means())

    expected = (images.mean((2, 3)) + 1) / 2  # of pixels in [0, 1]
    assert network.features == 3
    np.testing.assert_allclose(network(images, -1, 1), expected, atol=TOLERANCE)
    assert network(images[:0], -1, 1).shape == (0, 3)


def test_features_are_the_first_output_and_scores_the_last_with_two_axes(
    pool: SessionPool,
) -> None:
    images = pictures(2)
    features, scores = (opened(pool, means(), reads=reads) for reads in Reads)
    named = opened(pool, means(), output="twice")

    np.testing.assert_array_equal(scores(images, -1, 1), 2 * features(images, -1, 1))
    np.testing.assert_array_equal(scores(images, -1, 1), named(images, -1, 1))
    assert scores.digest == features.digest
    assert len(pool) == 1


def test_what_a_file_says_of_itself_is_done_unless_somebody_states_otherwise(
    pool: SessionPool,
) -> None:
    said = NetworkDescription(
        Preprocessing(low=0, high=255, mean=(10.0,), deviation=(2.0,)),
        features="twice",
        scores="means",
        classes=("red", "green", "blue"),
        exclusive=False,
    )
    model, white = means(metadata=said.to_metadata()), np.ones((1, *SHAPE), np.float32)

    features, scores = (opened(pool, model, reads=reads) for reads in Reads)
    stated = opened(pool, model, stated=Preprocessing(), output="means")

    np.testing.assert_allclose(scores(white, 0, 1), np.full((1, 3), (255 - 10) / 2))
    np.testing.assert_allclose(features(white, 0, 1), np.full((1, 3), 255 - 10))
    np.testing.assert_array_equal(stated(white, 0, 1), np.ones((1, 3)))
    assert (scores.classes, scores.exclusive) == (("red", "green", "blue"), False)
    assert features.classes == ()


def test_pixels_are_scaled_normalised_and_turned_round_as_by_hand() -> None:
    image = np.array([-1.0, 0.0, 1.0, 9.0], np.float32).reshape(1, 1, 1, 4).repeat(3, axis=1)
    image[:, 2] = 0.5
    ready = preprocess(
        image,
        -1,
        1,
        Preprocessing(high=10, mean=(1.0, 2.0, 3.0), deviation=(1.0, 2.0, 4.0), bgr=True),
    )

    scaled = np.array([0, 5, 10, 10], np.float32)  # 9 lies outside the range
    expected = [np.full(4, (7.5 - 3) / 4), (scaled - 2) / 2, scaled - 1]  # blue, green, red
    np.testing.assert_allclose(ready[0, :, 0], expected, atol=TOLERANCE)


def test_channels_last_is_the_same_image(pool: SessionPool) -> None:
    images = pictures(3)
    last = preprocess(images, 0, 1, Preprocessing(layout=ImageLayout.NHWC))
    first = preprocess(images, 0, 1, Preprocessing())
    np.testing.assert_array_equal(last, first.transpose(0, 2, 3, 1))

    network = opened(pool, means((1, 4, 6, 3), axes=(1, 2)))  # its shape tells the layout

    assert network.form.preprocessing.layout is ImageLayout.NHWC
    expected = opened(pool, means())(images, -1, 1)
    np.testing.assert_allclose(network(images, -1, 1), expected, atol=TOLERANCE)


def test_grey_images_are_repeated(pool: SessionPool) -> None:
    grey = pictures(2, (1, 4, 6))
    rows = opened(pool, means(), images=(1, 4, 6))(grey, -1, 1)
    np.testing.assert_allclose(rows, (grey.mean((2, 3)) + 1) / 2 * np.ones(3), atol=TOLERANCE)


def test_resizing_a_constant_image_keeps_it_constant() -> None:
    image = np.full((1, 3, 7, 5), 0.3, np.float32)
    for size in ((3, 2), (7, 5), (20, 31)):
        np.testing.assert_allclose(resize(image, *size), np.full((1, 3, *size), 0.3), rtol=1e-6)


def test_resizing_a_half_black_image_is_the_triangle_filter_by_hand() -> None:
    image = np.array([0, 0, 1, 1], np.float32).reshape(1, 1, 1, 4).repeat(4, axis=2)

    # To half the size: a triangle of half-width 2 around 1 weighs pixels at 0.5, 1.5, 2.5 with
    # 0.75, 0.75 and 0.25.
    np.testing.assert_allclose(resize(image, 2, 2)[0, 0, 0], [1 / 7, 6 / 7], atol=TOLERANCE)
    # To twice the size: between pixel centres it is linear.
    expected = [0, 0, 0, 0.25, 0.75, 1, 1, 1]
    np.testing.assert_allclose(resize(image, 4, 8)[0, 0, 0], expected, atol=TOLERANCE)


def test_resizing_is_what_pillow_does() -> None:
    from PIL import Image

    image = pictures(1, (1, 13, 9))
    expected = Image.fromarray(image[0, 0]).resize((5, 17), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resize(image, 17, 5)[0, 0], np.asarray(expected), atol=TOLERANCE)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_of_a_fixed_batch_is_run_as_often_as_needed(
    pool: SessionPool, batch: int
) -> None:
    images = pictures(6)
    network = opened(pool, means((batch, 3, 4, 6)))
    np.testing.assert_array_equal(network(images, -1, 1), opened(pool, means())(images, -1, 1))


def test_a_network_that_only_says_that_it_takes_any_number_is_given_one_at_a_time(
    pool: SessionPool,
) -> None:
    images = pictures(5)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 4, 6])
    flat = helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 72])
    stored = [numpy_helper.from_array(np.array([1, 72]), "shape")]
    node = helper.make_node("Reshape", ["image", "shape"], ["flat"])
    model = written(helper.make_graph([node], "for one", [image], [flat], stored))

    rows = opened(pool, model)(images, 0, 1)

    np.testing.assert_allclose(rows, images.clip(0, 1).reshape(5, -1), atol=TOLERANCE)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8])
def test_other_numbers_are_cast(pool: SessionPool, kind: int) -> None:
    pixels = np.array([0, 100, 255, 155], np.float32).reshape(1, 1, 2, 2).repeat(3, axis=1)
    network = opened(
        pool, means(kind=kind), images=(3, 2, 2), stated=Preprocessing(low=0, high=255)
    )
    rows = network(pixels, 0, 255)
    np.testing.assert_allclose(rows, np.full((1, 3), 127.5), rtol=1e-3)


def of(inputs: Mapping[str, Shape], kind: int = TensorProto.FLOAT) -> Callable[[], bytes]:
    """A network that adds up its inputs."""
    values = [helper.make_tensor_value_info(name, kind, each) for name, each in inputs.items()]
    output = helper.make_tensor_value_info("sum", kind, None)
    node = helper.make_node("Sum", list(inputs), ["sum"])
    return lambda: written(helper.make_graph([node], "sum", values, [output]))


REFUSED = {
    "it has 2 inputs (image, mask); one, the images, is needed": of(
        {"image": ("n", 3, 4, 6), "mask": ("n", 3, 4, 6)}
    ),
    "input 'x' has 2 axes; 4 are needed": of({"x": ("n", 72)}),
    "input 'x' takes INT64; FLOAT, FLOAT16, DOUBLE or UINT8 is needed": of(
        {"x": ("n", 3, 4, 6)}, TensorProto.INT64
    ),
    "input 'x' of shape (any, 5, 4, 6) has 5 channels in layout NCHW; 1 or 3 are needed": of(
        {"x": ("n", 5, 4, 6)}
    ),
    "the images have 3 channels, and the network takes 1": of({"x": ("n", 1, 4, 6)}),
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_network_that_does_not_take_an_image_is_refused(pool: SessionPool, said: str) -> None:
    with pytest.raises((ModelRefused, InvalidInput)) as refused:
        opened(pool, REFUSED[said](), name="'mine'", field="classifier")
    assert said in str(refused.value)
    assert str(refused.value).startswith("'mine': ")
    assert refused.value.field.startswith("classifier")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"output": "logits"}, "output 'logits' is not in the network; it has: means, twice"),
        ({"stated": Preprocessing(height=8, width=8)}, "but the network takes 4 alone"),
        ({"stated": Preprocessing(mean=(0.0, 1.0))}, "2 numbers as mean; one, or one for each"),
        ({"stated": Preprocessing(layout=ImageLayout.NHWC)}, "6 channels in layout NHWC"),
    ],
)
def test_what_is_stated_must_fit(pool: SessionPool, stated: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        opened(pool, means(("n", 3, 4, 6)), **stated)


def test_classes_must_be_as_many_as_scores(pool: SessionPool) -> None:
    metadata = NetworkDescription(classes=("cat", "dog")).to_metadata()
    with pytest.raises(InvalidInput, match="names 2 classes and gives 3 scores"):
        opened(pool, means(metadata=metadata), reads=Reads.SCORES)


def test_images_of_another_size_are_resized(pool: SessionPool) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    same = helper.make_tensor_value_info("same", TensorProto.FLOAT, ["n", 3, "h", "w"])
    node = helper.make_node("Identity", ["image"], ["same"])
    network = opened(pool, written(helper.make_graph([node], "same", [image], [same])))
    large = pictures(2, (3, 8, 12))
    expected = (resize(large, *SHAPE[1:]).reshape(2, -1) + 1) / 2
    np.testing.assert_allclose(network(large, -1, 1), expected, atol=TOLERANCE)


def test_images_of_other_channels_or_of_an_empty_range_are_refused(pool: SessionPool) -> None:
    network = opened(pool, means())
    with pytest.raises(InvalidInput, match="images have 4 channels, and the network takes 3"):
        network(pictures(1, (4, 4, 6)), -1, 1)
    with pytest.raises(InvalidInput, match=r"\(B, channels, height, width\) is needed"):
        network(pictures(1)[0], -1, 1)
    with pytest.raises(InvalidInput, match="range 1 to 1 is empty"):
        network(pictures(1), 1, 1)


def test_a_result_that_is_no_number_is_refused(pool: SessionPool) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 4, 6])
    logs = helper.make_tensor_value_info("logs", TensorProto.FLOAT, ["n", 3, 4, 6])
    graph = helper.make_graph([helper.make_node("Log", ["image"], ["logs"])], "g", [image], [logs])
    with pytest.raises(InvalidInput, match="no finite numbers"):
        opened(pool, written(graph))(-np.ones((1, *SHAPE), np.float32), -1, 1)


def test_a_hostile_file_is_refused_by_the_child(pool: SessionPool) -> None:
    crafted = next(each for each in HOSTILE if each.name == "DepthToSpace by 2^32 divides by zero")
    strict = Sandbox(Limits(), KnownModels([]))
    with pytest.raises(ModelRefused, match="'theirs' is not opened here") as refused:
        open_network(crafted.make(), pool, SHAPE, sandbox=strict, name="'theirs'")
    assert refused.value.reason in crafted.reasons


def test_a_good_file_passes_the_child(pool: SessionPool, tmp_path: Path) -> None:
    path = tmp_path / "means.onnx"
    path.write_bytes(means())
    strict = Sandbox(Limits(), KnownModels([tmp_path / "known"]))
    assert open_network(path, pool, SHAPE, sandbox=strict).name == "'means.onnx'"


@pytest.mark.parametrize("bad", [b"", b"no network" * 9])
def test_what_is_no_onnx_file_is_refused_without_a_child_too(pool: SessionPool, bad: bytes) -> None:
    with pytest.raises(ModelRefused):
        opened(pool, bad)


def test_a_file_that_is_missing_or_keeps_its_weights_elsewhere_is_refused(
    pool: SessionPool, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match=r"nine\.onnx' cannot be read: No such file"):
        open_network(tmp_path / "nine.onnx", pool, SHAPE)
    path = tmp_path / "two.onnx"
    onnx.save(onnx.load_from_string(means()), path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelRefused, match="its weights lie in another file"):
        open_network(path, pool, SHAPE, sandbox=OPEN)


def test_a_cancelled_call_stops(pool: SessionPool) -> None:
    cancellation = Cancellation()
    network = opened(pool, means())
    cancellation.cancel()
    with pytest.raises(Cancelled):
        network(pictures(1), -1, 1, cancellation)


def test_a_session_that_was_closed_is_opened_again(pool: SessionPool) -> None:
    network, images = opened(pool, means()), pictures(1)
    before = network(images, -1, 1)
    pool.close_idle(2**40)
    assert len(pool) == 0
    np.testing.assert_array_equal(network(images, -1, 1), before)


def test_an_encoders_features_are_its_posteriors_means(pool: SessionPool) -> None:
    generator = Generator(read_bundle(find_shipped("vae-cifar10")), pool)
    image = generator.manifest.image
    images = pictures(3, generator.image_shape)

    features = EncoderFeatures(generator)

    mean, *_ = generator.encode(images)
    assert (image.low, image.high) == (-1, 1)
    assert features.features == mean[0].size
    np.testing.assert_array_equal(features(images, -1, 1), mean.reshape(3, -1))
    # The same pictures in another range.
    np.testing.assert_allclose(features(images * 2 + 2, 0, 4), mean.reshape(3, -1), atol=1e-5)


def test_a_generator_without_network_and_encoder_is_told_what_there_is(
    pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftscope.server.engine._usual_features.network_for", lambda _: None)
    vae, gan = (
        Generator(read_bundle(find_shipped(f"{kind}-cifar10")), pool) for kind in ("vae", "gan")
    )
    assert isinstance(usual_features(vae, pool), EncoderFeatures)
    for generator, reads in ((gan, Reads.FEATURES), (vae, Reads.SCORES)):
        with pytest.raises(NotFound, match="no network that ships knows the images") as refused:
            usual_features(generator, pool, reads)
        assert refused.value.field == reads.value
