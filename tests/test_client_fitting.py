"""Facts about what is made to fit a model: masks, donors' images, and values of fixed inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graftscope.client import (
    Blend,
    Edit,
    ImageDonor,
    ImageFormat,
    Input,
    Intervention,
    Layer,
    LayerKind,
    Model,
    Rectangle,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client.errors import InputError
from graftscope.client.pictures import read_images
from graftscope.client.values import HybridsTask, fixed, fixed_values
from graftscope.client.wire import Outbox, request_of

EDIT = Edit("conv", [1], action=Scale(2.0))


def layer(name: str, kind: LayerKind, height: int, width: int) -> Layer:
    return Layer(name, "", kind, 8, height, width, tensor=name, carried=())


MODEL = Model(
    name="toy",
    digest="d",
    inputs=(
        Input("z", "FP32", (2, 1), "normal", noise=False),
        Input("label", "INT64", (), "classes", noise=False),
        Input("flag", "BOOL", (1,), "fixed", noise=False),
    ),
    image=ImageFormat(1, 4, 4, -1.0, 1.0),
    layers=(
        layer("conv", LayerKind.MAP, 2, 2),
        layer("fc", LayerKind.VECTOR, 1, 1),
        layer("tokens", LayerKind.TOKENS, 6, 1),
    ),
    has_encoder=True,
    manifest={},
)


def fitted_mask(mask: Any, at: str = "conv") -> Any:
    return Intervention([Edit(at, [1], mask=mask)]).fitted(MODEL).edits[0].mask


def test_a_place_is_inside_where_more_than_half_of_its_area_is() -> None:
    mask = np.zeros((6, 4), bool)
    mask[:3, 0] = True  # half of the first place
    mask[3:, 1] = mask[4:, 0] = True  # five sixths of the one below it
    np.testing.assert_array_equal(fitted_mask(mask), [[False, False], [True, False]])


def test_a_mask_of_a_smaller_size_covers_the_same_areas() -> None:
    np.testing.assert_array_equal(fitted_mask(np.array([[True, False]])), [[True, False]] * 2)


def test_masks_that_fit_and_rectangles_stay_as_they_are() -> None:
    eye = np.eye(2, dtype=bool)
    np.testing.assert_array_equal(fitted_mask(eye), eye)
    assert fitted_mask(Rectangle(0, 0, 9, 9)) == Rectangle(0, 0, 9, 9)
    assert fitted_mask(np.ones((6, 1), bool), "tokens").shape == (6, 1)
    assert Intervention([EDIT]).fitted(MODEL) == Intervention([EDIT])


def test_masks_that_cannot_fit_are_refused_with_their_edit() -> None:
    dot = np.zeros((8, 8), bool)
    dot[0, 0] = True
    with pytest.raises(InputError, match=r"edit 0: the mask of shape \(8, 8\) covers no place"):
        fitted_mask(dot)
    with pytest.raises(InputError, match=r"'tokens', which is no map but of kind tokens: only one"):
        fitted_mask(dot, "tokens")
    both = Intervention([EDIT, Edit("fc", [1], mask=dot)])
    with pytest.raises(InputError, match=r"edit 1: .* of shape \(1, 1\) does"):
        both.fitted(MODEL)
    with pytest.raises(InputError, match="layer 'conv9' is not in model 'toy'; it has: conv, fc"):
        Intervention([Edit("conv9", [1])]).fitted(MODEL)


def test_a_donors_image_is_cut_and_resized_as_images_of_pairs_are(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (8, 24, 3)).astype(np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (expected,) = read_images(tmp_path / "wide.png", MODEL.image).images
    actions = (Swap(ImageDonor(wide)), Blend(0.5, ImageDonor(wide)))
    found = Intervention([Edit("conv", [1], action=each) for each in actions]).fitted(MODEL)
    for edit in found.edits:
        assert isinstance(edit.action, Swap | Blend)
        assert edit.action.donor == ImageDonor(expected)
    latents = Intervention([Edit("conv", [1], action=Swap(StoredLatents({"z": np.zeros((1, 2))})))])
    assert latents.fitted(MODEL) == latents


def test_a_number_fills_the_whole_input_in_its_own_type() -> None:
    found = fixed_values({"label": 3, "z": 0.5, "flag": True}, MODEL)
    assert {name: (array.dtype.name, array.tolist()) for name, array in found.items()} == {
        "label": ("int64", [3]),
        "z": ("float32", [[[0.5], [0.5]]]),
        "flag": ("bool", [[True]]),
    }


@pytest.mark.parametrize("shape", [(2, 1), (1, 2, 1)])
def test_an_array_fits_with_or_without_an_axis_of_samples(shape: tuple[int, ...]) -> None:
    value = np.array([1.0, 2.0]).reshape(shape)
    np.testing.assert_array_equal(fixed_values({"z": value}, MODEL)["z"], [[[1.0], [2.0]]])


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ({"y": 1}, "input 'y' is not in model 'toy'; it has: z, label, flag"),
        ({"label": 1.5}, "input 'label' takes whole numbers of type INT64, and 1.5 is none"),
        ({"label": float("nan")}, "fix 'label': 1 of 1 values are NaN"),
        ({"label": 1e30}, "takes whole numbers of type INT64"),
        ({"flag": 2}, "takes whole numbers of type BOOL, and 2 is none"),
        ({"z": np.zeros((2, 2))}, r"fix 'z' has shape \(2, 2\); .* an array of shape \(2, 1\)"),
        ({"z": np.zeros(0)}, r"fix 'z' has shape \(0,\)"),
        ({"z": 1e39}, "fix 'z': 1 of 1 values are NaN or infinite"),
        ({"z": "half"}, "input 'z' is of type FP32"),
        ({"z": None}, "input 'z' is of type FP32"),
    ],
)
def test_values_that_do_not_fit_their_input_are_refused(fix: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fixed_values(fix, MODEL)


def hybrids(**changes: Any) -> Any:
    task = HybridsTask("toy", intervention=Intervention([EDIT]), pairs=2, **changes)
    return request_of(fixed(task, MODEL) if task.fix else task, Outbox()).pairs


def test_shared_and_fixed_inputs_are_told_with_the_pairs() -> None:
    pairs = hybrids(share=["label", "z"], fix={"label": 3})
    assert pairs.share == ["label", "z"]
    tensor = pairs.fix.inputs["label"].tensor
    assert (tensor.datatype, tensor.shape) == ("INT64", [1])
    assert np.frombuffer(tensor.data, "<i8") == 3
    assert not hybrids().HasField("fix")


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("label", "share 'label' is not a list of names"),
        (["label", ""], "share: '' is not a name"),
        (["label", "label"], "share: 'label' is named more than once"),
        ([3], "share: 3 is not a name"),
        (3, "share 3 is not a list"),
    ],
)
def test_what_is_no_list_of_names_is_refused(share: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hybrids(share=share)
