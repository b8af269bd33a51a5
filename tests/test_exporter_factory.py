"""Facts about bringing generators from Python factories."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import factory_toys
from graftscope.exporter import Exported, ExportError, SourceError, export
from graftscope.exporter._input_choices import parse_inputs
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter._options import Options, parse_shapes
from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.sources._arguments import Arguments, find_arguments
from graftscope.exporter.sources._module import MethodModule, make
from graftscope.v1 import bundle_pb2


def exported(factory: str, out: Path, weights: Path | None = None) -> Exported:
    return export(f"factory_toys:{factory}", out / "toy", weights=weights)


def arguments(factory: str, *inputs: str, shapes: tuple[str, ...] = ()) -> Arguments:
    options = Options(parse_inputs(inputs), parse_shapes(shapes))
    return find_arguments(make(f"factory_toys:{factory}"), options)


def images(folder: Path, **latents: Tensor) -> Tensor:
    """Compute images with what was written."""
    session = CpuSession(folder / "toy" / "generator.onnx", optimised=False)
    given = {name: tensor.numpy() for name, tensor in latents.items()}
    return torch.from_numpy(session.run(given)["image"])


def states(manifest: bundle_pb2.Bundle) -> list[tuple[str, str, tuple[int, ...], str | None]]:
    return [
        (each.name, each.datatype, tuple(each.shape), each.WhichOneof("distribution"))
        for each in manifest.inputs
    ]


def test_a_factory_in_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brought").mkdir()
    (tmp_path / "brought" / "__init__.py").write_text("")
    (tmp_path / "brought" / "models.py").write_text("from factory_toys import decoder as make\n")
    monkeypatch.chdir(tmp_path)
    manifest = export("brought.models:make", "toy").manifest
    assert [layer.name for layer in manifest.layers] == ["z", "act"]
    assert manifest.provenance.recipe == "made by brought.models:make"


def test_what_is_guessed_is_said(tmp_path: Path) -> None:
    found = exported("decoder", tmp_path)
    assert states(found.manifest) == [("z", "FP32", (5,), "normal")]
    assert found.notes == (
        "weights: those that the factory gave; load others with --weights FILE",
        "input 'z' (5,): normal, guessed; change it with --input z=... and --shape z=...",
    )


def test_what_a_factory_prints_stays_off_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("factory_toys:prints")
    assert capsys.readouterr() == ("", "loading ...\n")


def test_a_module_is_exported_in_evaluation_mode_and_single_precision(tmp_path: Path) -> None:
    exported("in_training_mode_and_half_precision", tmp_path)
    z = torch.ones(1, 5)
    module = factory_toys.in_training_mode_and_half_precision().eval().float()
    with torch.no_grad():
        torch.testing.assert_close(images(tmp_path, z=z), module(z))


def test_a_method_is_called_and_its_image_selected(tmp_path: Path) -> None:
    manifest = exported("by_attribute", tmp_path).manifest
    z, decoder = torch.ones(1, 5), factory_toys.decoder().eval()
    with torch.no_grad():
        torch.testing.assert_close(images(tmp_path, z=z), 0.5 * decoder(z))
    hooks = manifest.provenance.torch_hooks
    assert {layer.name for layer in manifest.layers} == {"z", "decoder"}
    assert hooks["decoder"].module == "decoder.act"
    assert hooks["z"].module == "decoder"  # the module itself is not called, but its method


@pytest.mark.parametrize("factory", ["by_attribute", "by_key", "by_index", "by_function"])
def test_an_image_is_selected_by_attribute_key_index_or_function(factory: str) -> None:
    made = make(f"factory_toys:{factory}")
    image = MethodModule(made, ("z",))(torch.ones(2, 5))
    expected = factory_toys.decoder()(torch.ones(2, 5))
    torch.testing.assert_close(image, expected * (0.5 if factory == "by_attribute" else 1.0))


def test_a_call_has_the_parts_of_its_module_and_leaves_it_alone() -> None:
    made = make("factory_toys:by_key")
    before = dict(vars(made.module))
    call = MethodModule(made, ("z",))
    assert vars(made.module) == before
    assert list(call.state_dict()) == list(made.module.state_dict())
    assert [path for path, _ in call.named_modules()] == [p for p, _ in made.module.named_modules()]


def test_a_table_tells_the_number_of_classes_wherever_the_label_stands() -> None:
    found = arguments("conditional")
    assert found.known == (
        KnownInput("label", "INT64", (), classes=7),
        KnownInput("z", "FP32", (5,)),
    )
    assert str(found.choices["label"]) == "label=classes:7"
    assert found.notes[0].startswith("input 'label' (): classes:7, guessed; change it with --input")


def test_a_parameter_with_a_default_is_an_input_where_it_is_named() -> None:
    found = arguments(
        "conditional", "strength=uniform:0,1", "z=truncated:0.5", shapes=("strength=",)
    )
    assert [(each.name, each.shape) for each in found.known] == [
        ("label", ()),
        ("z", (5,)),
        ("strength", ()),
    ]
    assert [note.partition(":")[0] for note in found.notes] == ["input 'label' ()"]


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_constant_takes_its_shape_from_its_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "t.npy", np.full(shape, 0.5, np.float32))
    found = arguments("fading", f"t=constant:{tmp_path / 't.npy'}")
    assert found.known == (KnownInput("z", "FP32", (5,)), KnownInput("t", "FP32", ()))


def test_stored_latents_take_their_shape_from_their_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "real.npz", z=np.ones((6, 5)), t=np.ones(6))
    found = arguments("fading", *(f"{name}=file:{tmp_path / 'real.npz'}" for name in ("z", "t")))
    assert found.known == (KnownInput("z", "FP32", (5,)), KnownInput("t", "FP32", ()))
    assert found.notes == ()


def test_what_a_module_draws_becomes_inputs_of_which_every_sample_has_its_own(
    tmp_path: Path,
) -> None:
    manifest = exported("noisy", tmp_path).manifest
    noise = manifest.inputs[1:]
    assert [tuple(each.shape) for each in noise] == [(4, 4, 4), (1, 4, 4), (1, 4, 4), (1, 4, 4)]
    assert all(each.noise for each in noise)
    kinds = [each.WhichOneof("distribution") for each in noise]
    assert kinds == ["normal", "normal", "normal", "uniform"]
    latents = {name: torch.tensor(v) for name, v in draw_latents(manifest.inputs, {}, 2).items()}
    other = {**latents, noise[1].name: torch.zeros(2, 1, 4, 4)}
    assert not torch.equal(images(tmp_path, **latents), images(tmp_path, **other))


def test_flat_images_of_a_module_are_given_their_shape(tmp_path: Path) -> None:
    found = export("factory_toys:flat_decoder", tmp_path / "toy", image_shape=(3, 4, 4))
    assert [layer.name for layer in found.manifest.layers] == ["z", "act"]
    z = torch.randn(3, 5)
    with torch.inference_mode():
        expected = factory_toys.flat_decoder().eval()(z).reshape(3, 3, 4, 4)
    torch.testing.assert_close(images(tmp_path, z=z), expected)
    with pytest.raises(SourceError, match=r"which has not the 784 elements a sample of --image"):
        export("factory_toys:flat_decoder", tmp_path / "no", image_shape=(1, 28, 28))


def test_weights_are_loaded_from_a_file(tmp_path: Path) -> None:
    decoder = factory_toys.decoder().eval()
    with torch.no_grad():
        decoder.get_parameter("fc.bias").add_(1.0)
    save_file(decoder.state_dict(), tmp_path / "decoder.safetensors")
    found = exported("decoder", tmp_path, weights=tmp_path / "decoder.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(images(tmp_path, z=torch.ones(1, 5)), decoder(torch.ones(1, 5)))
    assert found.manifest.provenance.recipe.endswith("with decoder.safetensors")
    assert not any(note.startswith("weights") for note in found.notes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.models:make", "there is no module 'nowhere' in '.*' or among the installed"),
        ("factory_toys.deeper:make", r"there is no module 'factory_toys\.deeper' in"),
        ("factory_toys:nothing", "module 'factory_toys' has no 'nothing'$"),
        ("factory_toys:not_a_function", "has a int, not a function, 'not_a_function'$"),
        ("factory_toys:raises", "it raised: OSError: no weights at home$"),
        ("factory_toys:leaves", "it raised: SystemExit: 2$"),
        ("factory_toys:with_an_argument", "it raised: TypeError: .* missing 1 required positional"),
        ("factory_toys:a_dictionary", r"returned \(dict\), not a torch\.nn\.Module, or \(module,"),
        ("factory_toys:too_much", r"returned \(Decoder, str, dict, str, int\), not a torch"),
        ("factory_toys:no_such_method", "Decoder has no method 'decode'$"),
        ("factory_toys:no_such_key", "^Autoencoder.decode returns Output, which has no 'images'$"),
        ("factory_toys:unselected", r"^Autoencoder\.decode gives Output, not one tensor; let the"),
        ("factory_toys:no_inputs", r"^NoInputs\.forward takes no input, .* its parameters: z "),
        ("factory_toys:fading", r"^Fading\.forward takes 'z', 't', of which too little is known"),
        ("factory_toys:one_hot", r"takes 'z', 'label', .* --input NAME=normal, .*--shape NAME="),
        (
            "factory_toys:flat",
            r"^Flat\.forward gives no images with z \(2, 5\): it gives float32 of shape \(2, 64\)",
        ),
        ("factory_toys:five", r"this is no generator of images: .* \[batch,5,4,4\]"),
        ("factory_toys:fixed_batch", "^PyTorch cannot turn FixedBatch.forward into a graph whose"),
        ("factory_toys:whole_autoencoder", "RuntimeError: only decode is called"),
        ("factory_toys", "does not exist; a source is .* or a factory, package.module:function$"),
    ],
)
def test_what_is_no_generator_is_refused_in_one_line(
    tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as refused:
        export(source, tmp_path / "toy")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "toy").exists()


def test_a_module_that_cannot_be_imported_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import graftscope_needs_nothing_like_this\n")
    (tmp_path / "broken_off.py").write_text("def make(:\n")
    monkeypatch.chdir(tmp_path)
    wanted = "importing 'needs_more' failed: ModuleNotFoundError: No module named 'graftscope_needs"
    with pytest.raises(SourceError, match=wanted):
        export("needs_more:make", tmp_path / "toy")
    with pytest.raises(
        SourceError, match="importing 'broken_off' failed: SyntaxError: "
    ) as refused:
        export("broken_off:make", tmp_path / "toy")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("inputs", "shapes", "message"),
    [
        (("w=normal",), (), r"Decoder\.forward has no parameter 'w'; it has: z$"),
        ((), ("w=5",), r"Decoder\.forward has no parameter 'w'; it has: z$"),
        ((), ("z=6",), r"Decoder\.forward gives no images with z \(2, 6\): RuntimeError: .*shapes"),
        (("z=classes:3",), (), r"gives no images with z \(2,\): RuntimeError"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused(
    inputs: tuple[str, ...], shapes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        arguments("decoder", *inputs, shapes=shapes)


def test_labels_that_no_table_has_a_row_for_are_refused() -> None:
    wanted = "gives no images with any shape .*IndexError: index out of range"
    with pytest.raises(SourceError, match=wanted):
        arguments("conditional", "label=classes:8")


def test_shapes_are_read() -> None:
    assert parse_shapes(["z=100,1,1", "t="]) == {"z": (100, 1, 1), "t": ()}


@pytest.mark.parametrize("text", ["z", "=5", "z=5,", "z=5,0", "z=-1", "z=a", "z=5x5"])
def test_a_shape_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match=f"^--shape {text!r} cannot be read; allowed: NAME="):
        parse_shapes([text])


def test_a_shape_given_twice_is_refused() -> None:
    with pytest.raises(SourceError, match=r"^--shape is given twice for 'z'"):
        parse_shapes(["z=1", "z=2"])
