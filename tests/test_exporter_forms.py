"""Facts about parameters that do not get just one tensor: lists, counts, labels of no width."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import form_toys
from graftscope.exporter import Exported, SourceError, export
from graftscope.exporter._input_choices import parse_inputs
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter._options import Options, parse_shapes
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.sources._arguments import find_arguments
from graftscope.exporter.sources._forms import Form
from graftscope.exporter.sources._module import make
from graftscope.v1 import bundle_pb2

TOLERANCE = 1e-5
Z = torch.linspace(-1, 1, 15).reshape(3, 5)
W = torch.linspace(1, -2, 15).reshape(3, 5)


def exported(factory: str, out: Path, *inputs: str, shapes: tuple[str, ...] = ()) -> Exported:
    return export(f"form_toys:{factory}", out / "toy", inputs=inputs, shapes=shapes)


def image(out: Path, latents: Mapping[str, Tensor]) -> Tensor:
    session = CpuSession(out / "toy" / "generator.onnx", optimised=False)
    given = {name: tensor.numpy() for name, tensor in latents.items()}
    return torch.from_numpy(session.run(given)["image"])


def kinds(manifest: bundle_pb2.Bundle) -> list[tuple[str, str | None, bool]]:
    return [(each.name, each.WhichOneof("distribution"), each.noise) for each in manifest.inputs]


def assert_near(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("factory", ["styled", "unannotated"])
def test_a_parameter_that_takes_a_list_gets_one_tensor_in_a_list(
    factory: str, tmp_path: Path
) -> None:
    found = exported(factory, tmp_path)
    assert kinds(found.manifest) == [("styles", "normal", False)]
    assert "input 'styles' (5,): normal, guessed, given in a list; change it" in found.notes[1]
    module = getattr(form_toys, factory)().eval()
    with torch.no_grad():
        assert_near(image(tmp_path, {"styles": Z}), module([Z]))


def test_elements_of_a_list_are_inputs_where_they_are_named(tmp_path: Path) -> None:
    said = ("styles.0=normal", "styles.1=uniform:-1,1")
    manifest = exported("styled", tmp_path, *said, shapes=("styles.0=5", "styles.1=5")).manifest
    assert kinds(manifest) == [("styles.0", "normal", False), ("styles.1", "uniform", False)]
    with torch.no_grad():
        wanted = form_toys.styled().eval()([Z, W])
    assert_near(image(tmp_path, {"styles.0": Z, "styles.1": W}), wanted)


@pytest.mark.parametrize(
    ("factory", "scale", "mean", "kind"),
    [
        ("randn", 1.0, 0.0, "normal"),
        ("uniform_", 1.0, 0.0, "uniform"),
        ("normal_", 2.0, 0.5, "normal"),
        ("normal", 2.0, 0.5, "normal"),
        ("distribution", 2.0, 0.5, "normal"),
        ("sampling_method", 1.0, 0.0, "normal"),
    ],
)
def test_what_is_drawn_for_a_number_of_samples_is_the_latent(
    factory: str, scale: float, mean: float, kind: str, tmp_path: Path
) -> None:
    found = exported(factory, tmp_path)
    assert kinds(found.manifest) == [("z", kind, False)]
    assert "the number of samples; what is drawn for them is input 'z' (5,): " in found.notes[1]
    assert found.manifest.layers[0].name == "z"
    module = form_toys.randn().eval()
    with torch.no_grad():
        assert_near(image(tmp_path, {"z": Z}), module.image(module.maps(scale * Z + mean)))


def test_bounds_of_a_uniform_draw_are_stated(tmp_path: Path) -> None:
    (z,) = exported("uniform_", tmp_path).manifest.inputs
    assert (z.uniform.low, z.uniform.high) == (-1.0, 1.0)


def test_the_latent_that_is_drawn_may_be_given_another_distribution(tmp_path: Path) -> None:
    found = exported("randn", tmp_path, "z=truncated:0.7", "n=count")
    assert kinds(found.manifest) == [("z", "truncated_normal", False)]


def test_later_draws_are_noise_and_labels_stay_labels(tmp_path: Path) -> None:
    manifest = exported("sampling_noisily", tmp_path).manifest
    assert kinds(manifest) == [
        ("z", "normal", False),
        ("label", "classes", False),
        ("noise", "normal", True),
    ]
    module = form_toys.sampling_noisily().eval()
    label, noise = torch.tensor([0, 3, 6]), torch.linspace(-1, 1, 192).reshape(3, 4, 4, 4)
    with torch.no_grad():
        wanted = module.image(module.maps(Z + module.table(label)) + 0.5 * noise)
    assert_near(image(tmp_path, {"z": Z, "label": label, "noise": noise}), wanted)


def test_labels_of_no_width_are_no_input(tmp_path: Path) -> None:
    found = exported("unconditional", tmp_path)
    assert kinds(found.manifest) == [("z", "normal", False)]
    assert "argument 'c': (B, 0), no input, since there are no classes" in found.notes
    with torch.no_grad():
        wanted = form_toys.unconditional().eval()(Z, torch.zeros(3, 0))
    assert_near(image(tmp_path, {"z": Z}), wanted)


def test_labels_of_no_width_may_be_said() -> None:
    options = Options(parse_inputs([]), parse_shapes(["c=0", "z=5"]))
    found = find_arguments(make("form_toys:unconditional"), options)
    assert (found.known, found.forms) == ((KnownInput("z", "FP32", (5,)),), {"c": Form.EMPTY})


def test_labels_that_have_a_width_are_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.eye(3, dtype=np.float32))
    found = exported("conditional", tmp_path, f"c=file:{tmp_path / 'c.npy'}", "z=normal")
    assert [name for name, _, _ in kinds(found.manifest)] == ["z", "c"]
    with pytest.raises(SourceError, match=r"^Labelled\.forward takes 'z', 'c', of which"):
        exported("conditional", tmp_path / "other")


@pytest.mark.parametrize(
    ("factory", "inputs", "message"),
    [
        ("draws_nothing", (), r"^Sampling\.forward is given the number .* draws no batch of"),
        ("styled", ("styles.0=count",), "gives no images"),
        (
            "styled",
            ("z=normal",),
            r"forward has no parameter 'z'; it has: styles, strength$",
        ),
        ("styled", ("other.0=normal",), r"has no parameter 'other\.0'; it has: styles"),
    ],
)
def test_what_does_not_fit_is_refused(
    factory: str, inputs: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=message):
        exported(factory, tmp_path, *inputs)
