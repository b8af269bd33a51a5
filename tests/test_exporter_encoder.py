"""Facts about encoders that are brought along: linear ones, whose encodings are known exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

import encoder_toys
from encoder_toys import (
    DOUBLE,
    HEAD,
    LATENTS,
    MEAN,
    TWO,
    encodings,
    in_range,
    log_variances,
    save_encoder,
    save_generator,
    save_photographs,
)
from graftscope.bundle import read_bundle, read_originals
from graftscope.exporter import Exported, ExportError, ExportProgress, SourceNotFoundError, export
from graftscope.exporter._encoder_choice import find_parameters
from graftscope.exporter._fitted_originals import Moments
from graftscope.graph import GraphError
from graftscope.training import TrainingError
from onnx_toys import CHAIN, parse

TOLERANCE = 2e-6
"""Of encodings: sums of 192 products in float32."""


def exported(folder: Path, encoder: Path | str, **options: object) -> Exported:
    """Export the chain with an encoder to `folder / "bundle"`."""
    source = save_generator(folder / "generator.onnx")
    given = {"encoder": encoder, **options}
    return export(source, folder / "bundle", **given)  # type: ignore[arg-type]  # a test's


def encoded(folder: Path, images: NDArray[np.floating]) -> list[NDArray[np.float32]]:
    """Run the bundle's encoder as its manifest says."""
    stated = read_bundle(folder / "bundle").manifest.encoder
    session = ort.InferenceSession(folder / "bundle" / stated.file)
    names = [name for name in (stated.mean, stated.log_variance) if name]
    return list(session.run(names, {stated.image: images.astype(np.float32)}))


def images(count: int = 5) -> NDArray[np.float32]:
    """Draw images in [-1, 1]."""
    drawn = np.random.default_rng(3).uniform(-1, 1, (count, 3, 8, 8))
    return drawn.astype(np.float32)


def close(found: NDArray[np.floating], expected: NDArray[np.floating]) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_a_mean_alone_is_the_encoder(tmp_path: Path) -> None:
    found = exported(tmp_path, save_encoder(tmp_path / "encoder.onnx"))
    encoder = found.manifest.encoder
    assert (encoder.input, encoder.log_variance, encoder.originals) == ("z", "", "")
    (mean,) = encoded(tmp_path, images())
    close(mean, encodings(images()))
    assert found.notes[1:] == (
        "the encoder's output 'first' is the mean of 'z'; it tells no log-variance",
        "the encoder is given images in [-1, 1], the generator's range; change it with "
        "--encoder-range LOW,HIGH",
        "no photographs to fit originals to (--data PATH): originals are drawn from the prior, or "
        "are real images",
    )


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (TWO, "output 'first' is taken for the mean of 'z', 'second' for its log-variance"),
        (
            DOUBLE,
            "output 'both' (16,) is twice 'z' (8,): its first half along axis 1 is taken for the "
            "mean, the second for the log-variance",
        ),
        (
            TWO.replace("first", "fc_mu").replace("second", "fc_logvar"),
            "output 'fc_mu' is the mean of 'z', 'fc_logvar' its log-variance, by name",
        ),
    ],
)
def test_mean_and_log_variance_are_told_apart_and_said(
    tmp_path: Path, text: str, note: str
) -> None:
    found = exported(tmp_path, save_encoder(tmp_path / "encoder.onnx", text))
    assert note in found.notes[1]
    mean, log_variance = encoded(tmp_path, images())
    close(mean, encodings(images()))
    close(log_variance, log_variances(images()))


def test_outputs_are_those_that_are_named(tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder.onnx", TWO)
    exported(tmp_path, encoder, encoder_outputs=["second", "first"])
    mean, log_variance = encoded(tmp_path, images())
    close(mean, log_variances(images()))
    close(log_variance, encodings(images()))


_LAST = MEAN.replace("3, 8, 8] x", "8, 8, 3] seen").replace(
    "    flat", "    x = Transpose<perm = [0, 3, 1, 2]>(seen)\n    flat"
)
_ONE = MEAN.replace("batch", "1").replace("Flatten(x)", "Reshape(x, one_row)")
_MAPS = MEAN.replace("[batch, 8] first", "[batch, 8, 1, 1] maps").replace(
    "b_mean)\n", "b_mean)\n    maps = Reshape(first, as_maps)\n"
)
_FLAT = MEAN.replace("batch, 3, 8, 8", "batch, 192").replace("Flatten(x)", "Identity(x)")
_DOUBLES = (
    MEAN.replace("float", "double")
    .replace("    flat", "    single = Cast<to = 1>(x)\n    flat")
    .replace("Flatten(x)", "Flatten(single)")
    .replace("double[batch, 8]", "float[batch, 8]")
)


@pytest.mark.parametrize(
    "text", [_LAST, _ONE, _MAPS, _DOUBLES, _FLAT], ids=["last", "one", "maps", "doubles", "flat"]
)
def test_every_form_of_the_encoder_gives_the_same_encodings(tmp_path: Path, text: str) -> None:
    rows = {"one_row": np.array([1, 192]), "as_maps": np.array([-1, 8, 1, 1])}
    exported(tmp_path, save_encoder(tmp_path / "encoder.onnx", text, **rows))
    (mean,) = encoded(tmp_path, images())
    close(mean, encodings(images()))


def test_an_encoder_in_float16_is_computed_in_float32_and_said(tmp_path: Path) -> None:
    weights = {
        "w_mean": encoder_toys.W_MEAN.astype(np.float16),
        "b_mean": encoder_toys.B_MEAN.astype(np.float16),
    }
    text = MEAN.replace("float[", "float16[")
    found = exported(tmp_path, save_encoder(tmp_path / "encoder.onnx", text, **weights))
    rows = images().reshape(5, -1).astype(np.float64)
    (mean,) = encoded(tmp_path, images())
    close(mean, rows @ weights["w_mean"].astype(np.float64) + weights["b_mean"])
    (note,) = [each for each in found.notes if "float32" in each]
    assert note.startswith("the encoder: computed in float32: what is float16 in the source (")


@pytest.mark.parametrize("wanted", [(0.0, 1.0), (0.0, 255.0)])
def test_images_are_rescaled_to_the_encoders_range(
    tmp_path: Path, wanted: tuple[float, float]
) -> None:
    found = exported(tmp_path, save_encoder(tmp_path / "encoder.onnx"), encoder_range=wanted)
    (mean,) = encoded(tmp_path, images())
    low, high = wanted
    close(mean, encodings((images().astype(np.float64) + 1) / 2 * (high - low) + low))
    assert f"the encoder is given images in [0, {high:g}], rescaled from [-1, 1]" in found.notes


def test_bytes_are_rounded_as_the_encoder_takes_them(tmp_path: Path) -> None:
    text = (
        MEAN.replace("float[batch, 3", "uint8[batch, 3")
        .replace("    flat", "    floats = Cast<to = 1>(x)\n    flat")
        .replace("Flatten(x)", "Flatten(floats)")
    )
    encoder = save_encoder(tmp_path / "encoder.onnx", text)
    exported(tmp_path, encoder, encoder_range=(0.0, 255.0))
    pixels = save_photographs(tmp_path / "photographs.zip", 6)
    (mean,) = encoded(tmp_path, in_range(pixels))
    close(mean, encodings(pixels.transpose(0, 3, 1, 2).astype(np.float64)))


def test_latents_as_maps_get_encodings_of_their_shape(tmp_path: Path) -> None:
    text = CHAIN.replace("[batch, 8] z", "[batch, 8, 1, 1] maps_z").replace(
        "    flat", "    z = Flatten(maps_z)\n    flat"
    )
    save_generator(tmp_path / "maps.onnx", text)
    export(
        tmp_path / "maps.onnx",
        tmp_path / "bundle",
        encoder=save_encoder(tmp_path / "encoder.onnx", TWO),
    )
    mean, log_variance = encoded(tmp_path, images())
    close(mean, encodings(images())[:, :, None, None])
    close(log_variance, log_variances(images())[:, :, None, None])


def test_originals_are_mean_and_covariance_of_the_photographs_encodings(tmp_path: Path) -> None:
    pixels = save_photographs(tmp_path / "photographs.zip", 40)
    reports: list[ExportProgress] = []
    found = exported(
        tmp_path,
        save_encoder(tmp_path / "encoder.onnx", TWO),
        data=tmp_path / "photographs.zip",
        on_progress=reports.append,
    )
    expected = encodings(in_range(pixels))
    mean, covariance = read_originals(tmp_path / "bundle" / found.manifest.encoder.originals)
    np.testing.assert_allclose(mean, expected.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(expected, rowvar=False), atol=1e-6)
    assert (
        "originals: fitted to the encodings of 40 photographs of photographs.zip, each cut to its "
        "centre and resized to 8 x 8, in [-1, 1]"
    ) in found.notes
    assert "no better than one picture for all" in found.notes[-1]  # the decoder is random
    assert [each.done for each in reports if each.stage.value == "encoding"] == [16, 32, 40]
    settings = found.manifest.provenance.settings
    assert (settings["encoder"], settings["encoder_range"]) == ("encoder.onnx", "-1,1")
    assert settings["originals"].startswith("fitted to the encodings of 40 photographs")


def test_few_photographs_and_unreadable_ones_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 8, 8, 3), np.uint8))
    encoder = save_encoder(tmp_path / "encoder.onnx")
    found = exported(tmp_path, encoder, data=tmp_path / "few.npz")
    assert found.notes[3].endswith(
        "; those are few for 8 latents: originals vary in 2 directions alone"
    )
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="none of the 1 images in 'photographs' can be read"):
        export(tmp_path / "generator.onnx", tmp_path / "other", encoder=encoder, data=folder)


def test_moments_are_those_of_all_rows_together() -> None:
    rows = np.random.default_rng(1).standard_normal((50, 6)) * 3 + 100
    moments = Moments(6)
    for part in (rows[:1], rows[1:8], rows[8:]):
        moments.add(part)
    mean, covariance = moments.originals()
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(covariance, np.cov(rows, rowvar=False), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("factory", "both"),
    [
        ("mean", False),
        ("pair", True),
        ("by_name", True),
        ("by_attributes", True),
        ("wide", True),
        ("selected", True),
        ("flat", True),
    ],
)
def test_a_factorys_encoder_gives_what_the_module_gives(
    tmp_path: Path, factory: str, both: bool
) -> None:
    export("factory_toys:decoder", tmp_path / "bundle", encoder=f"encoder_toys:{factory}")
    given = torch.rand(3, 3, 4, 4) * 2 - 1
    expected = [part.detach().numpy() for part in encoder_toys.Linear().both(given)]
    for found, part in zip(encoded(tmp_path, given.numpy()), expected[: 1 + both], strict=True):
        close(found, part)


def test_a_sample_that_is_given_beside_the_posterior_is_left_out(tmp_path: Path) -> None:
    given: dict[str, Any] = {"encoder": "encoder_toys:drawn"}
    with pytest.raises(ExportError, match="'output_0', 'output_1', 'output_2' is the mean of 'z'"):
        export("factory_toys:decoder", tmp_path / "bundle", **given)
    given["encoder_outputs"] = ["output_0", "output_1"]
    export("factory_toys:decoder", tmp_path / "bundle", **given)
    pixels = torch.rand(3, 3, 4, 4)
    expected = encoder_toys.Linear().both(pixels)
    for found, part in zip(encoded(tmp_path, pixels.numpy()), expected, strict=True):
        close(found, part.detach().numpy())


@pytest.mark.parametrize("factory", ["maps_encoder", "maps_moments"])
def test_a_posterior_over_maps_is_taken_apart_along_its_channels(
    tmp_path: Path, factory: str
) -> None:
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 8, 8, 3), np.uint8))
    found = export(
        "encoder_toys:maps_decoder",
        tmp_path / "bundle",
        shapes=["z=4,2,2"],
        encoder=f"encoder_toys:{factory}",
        data=tmp_path / "few.npz",
    )
    given = torch.rand(3, 3, 8, 8) * 2 - 1
    expected = encoder_toys.Maps().moments(given).detach().numpy()
    mean, log_variance = encoded(tmp_path, given.numpy())
    close(mean, expected[:, :4])
    close(log_variance, expected[:, 4:])
    originals = read_originals(tmp_path / "bundle" / found.manifest.encoder.originals)
    assert originals.covariance.shape == (16, 16)


def test_an_encoders_weights_are_those_of_the_file(tmp_path: Path) -> None:
    other = encoder_toys.Linear()
    torch.nn.init.normal_(other.weight, generator=torch.Generator().manual_seed(99))
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    export(
        "factory_toys:decoder",
        tmp_path / "bundle",
        encoder="encoder_toys:mean",
        encoder_weights=tmp_path / "other.safetensors",
    )
    given = torch.rand(3, 3, 4, 4)
    (mean,) = encoded(tmp_path, given.numpy())
    close(mean, other(given).detach().numpy())


_NAMES = dict.fromkeys(("z", "mu", "sigma"), (LATENTS,))


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"a": (8,)}, ("a", None, None)),
        ({"a": (8, 1, 1)}, ("a", None, None)),
        ({"a": (16,)}, ("a", None, 1)),
        ({"a": (1, 16)}, ("a", None, 2)),
        ({"z_mean": (8,), "z_log_var": (8,)}, ("z_mean", "z_log_var", None)),
        ({"logvar": (8,), "mu": (8,), "image": (3, 8, 8)}, ("mu", "logvar", None)),
        ({"encoder/logVar": (8,), "encoder/mean": (8,)}, ("encoder/mean", "encoder/logVar", None)),
        (_NAMES, ("mu", None, None)),
        ({"a": (8,), "b": (8,)}, ("a", "b", None)),
        ({"h": (64,), "a": (8,)}, ("a", None, None)),
    ],
)
def test_which_output_is_which(
    outputs: dict[str, tuple[int, ...]], expected: tuple[str, str | None, int | None]
) -> None:
    found = find_parameters(outputs, {"z": (8,)}, ())
    assert (found.mean, found.log_variance, found.halves) == expected


def test_the_latent_is_the_one_that_fits() -> None:
    assert find_parameters({"a": (4, 2, 2)}, {"z": (8,), "w": (4, 2, 2)}, ()).infers == "w"
    found = find_parameters({"a": (8, 2, 2)}, {"w": (4, 2, 2)}, ())
    assert (found.mean, found.halves) == ("a", 1)
    with pytest.raises(ExportError, match="fit several inputs of the generator: z, w"):
        find_parameters({"a": (8,)}, {"z": (8,), "w": (8,)}, ())


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"a": (8,), "b": (8,), "c": (8,)}, "outputs 'a', 'b', 'c' is the mean of 'z' cannot be"),
        ({"z": (8,), "b": (8,)}, "outputs 'z', 'b' is the mean of 'z' cannot be told"),
        ({"a": (9,)}, r"'a' \(9,\) do not fit the generator's latents 'z' \(8,\)"),
        ({"a": (2, 8)}, r"do not fit"),
    ],
)
def test_what_cannot_be_told_is_refused(outputs: dict[str, tuple[int, ...]], message: str) -> None:
    latents = {"z": (8,)} if "a" not in outputs or outputs["a"] != (2, 8) else {"z": (4, 2, 2)}
    with pytest.raises(ExportError, match=message):
        find_parameters(outputs, latents, ())


_DRAWN = MEAN.replace(
    "first = Gemm(flat, w_mean, b_mean)",
    "sure = Gemm(flat, w_mean, b_mean)\n"
    "    noise = RandomNormalLike(sure)\n    first = Add(sure, noise)",
)
_LABELLED = (
    MEAN.replace("8] x)", "8] x, float[batch, 8] label)")
    .replace("b_mean)\n", "b_mean)\n    moved = Add(first, label)\n")
    .replace("8] first", "8] moved")
)

_SMALLER = MEAN.replace("3, 8, 8", "3, 6, 6").replace("w_mean", "w_small")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (_DRAWN, {}, "depends on random numbers that the encoder draws"),
        (_LABELLED, {}, r"takes 2 inputs \(x, label\); it must take one, the image"),
        (_SMALLER, {}, r"cannot encode images \(B, 3, 8, 8\), which"),
        (MEAN, {"encoder_outputs": ["mu"]}, "'mu' is not among the encoder's outputs: 'first'"),
        (MEAN, {"encoder_outputs": ["a", "a"]}, "--encoder-outputs a,a cannot be read"),
        (MEAN, {"encoder_range": (1.0, 0.0)}, "--encoder-range 1,0 is empty"),
        (MEAN, {"encoder_weights": Path("w.safetensors")}, "cannot be given for an ONNX file"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, options: dict[str, object], message: str
) -> None:
    small = {"w_small": np.zeros((108, 8), np.float32)}
    encoder = save_encoder(tmp_path / "encoder.onnx", text, **small)
    with pytest.raises((ExportError, GraphError), match=message) as refused:
        exported(tmp_path, encoder, **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nothing", "gives NoneType, which is no tensor and holds none"),
        ("sampled", "depends on random numbers that the encoder draws"),
        ("conditioned", "takes x, label; an encoder takes one input, the image"),
        ("of_another_size", r"cannot encode images \(B, 3, 4, 4\), which the generator makes"),
    ],
)
def test_a_factorys_encoder_that_does_not_fit_is_refused(
    tmp_path: Path, factory: str, message: str
) -> None:
    with pytest.raises((ExportError, GraphError), match=message) as refused:
        export("factory_toys:decoder", tmp_path / "bundle", encoder=f"encoder_toys:{factory}")
    assert "\n" not in str(refused.value)


def test_an_encoder_that_is_not_there_and_data_without_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"encoder 'no.onnx' does not exist; an encoder"):
        exported(tmp_path, "no.onnx")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(ExportError, match=r"is not supported; an encoder is an \.onnx file, a"):
        exported(tmp_path, tmp_path / "x.txt")
    with pytest.raises(ExportError, match="--data is for an encoder: give it with --encoder"):
        export(tmp_path / "generator.onnx", tmp_path / "bundle", data=tmp_path)


def test_a_latent_too_large_for_a_covariance_is_refused(tmp_path: Path) -> None:
    text = CHAIN.replace("[batch, 8] z", "[batch, 5000] wide").replace(
        "    flat = Gemm(z", "    z = Slice(wide, begin, end, axis)\n    flat = Gemm(z"
    )
    begins = {"begin": np.array([0]), "end": np.array([8]), "axis": np.array([1])}
    ir.save(parse(text, **begins), tmp_path / "wide.onnx")
    encoder = HEAD + (
        "(float[batch, 3, 8, 8] x) => (float[batch, 5000] m) {\n    flat = Flatten(x)\n"
        "    m = Gemm(flat, w_wide)\n}"
    )
    weights = {"w_wide": np.zeros((192, 5000), np.float32)}
    save_encoder(tmp_path / "encoder.onnx", encoder, **weights)
    save_photographs(tmp_path / "photographs.zip", 4)
    with pytest.raises(
        ExportError, match="not fitted to latents of 5000 numbers, whose covariance"
    ):
        export(
            tmp_path / "wide.onnx",
            tmp_path / "bundle",
            encoder=tmp_path / "encoder.onnx",
            data=tmp_path / "photographs.zip",
        )
