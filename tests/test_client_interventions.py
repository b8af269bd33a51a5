"""Facts about interventions: what they hold, how they travel, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graftscope.client import (
    PRIOR_MEAN,
    Add,
    Blend,
    Constant,
    Edit,
    ImageDonor,
    Intervention,
    ModuleOf,
    Original2,
    Rectangle,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client.arrays import Source, write_npz
from graftscope.client.errors import GraftscopeError, InputError, NotFoundError, UsageError
from graftscope.client.interventions import edits_of, inline, message_of
from graftscope.client.wire import Outbox

IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
LATENTS = {"z": np.array([[0.5, -1.0]], np.float32), "label": np.array([[3]])}
LABELS = np.array([0, 1, 1, -1])
MASK = np.array([[True, False], [False, True], [True, True]])
CORNER = Rectangle(0, 2, 3, 1)

EDITS = {
    "nothing": Edit("fc", channels=[]),
    "swap": Edit("fc", channels=[3, 0]),
    "module": Edit("fc", module=ModuleOf(LABELS, 1), mask=CORNER),
    "latents": Edit("fc", [1], action=Swap(StoredLatents(LATENTS))),
    "image": Edit("fc", [1], action=Swap(ImageDonor(IMAGE)), mask=MASK),
    "zero": Edit("fc", [1], action=Constant(0)),
    "mean": Edit("fc", [1], action=Constant(PRIOR_MEAN)),
    "vector": Edit("fc", [1], action=Constant([1.0, 2.0, 3.0])),
    "vanish": Edit("fc", [1], action=Scale(0.0)),
    "scale": Edit("fc", [1], action=Scale(-2.5)),
    "add": Edit("fc", [1], action=Add(0.25)),
    "add an array": Edit("fc", [1], action=Add(np.ones((2, 3, 3)))),
    "blend": Edit("fc", [1], action=Blend(0.0)),
    "blend with an image": Edit("fc", [1], action=Blend(1.5, ImageDonor(IMAGE))),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_every_edit_comes_back_from_the_wire_and_from_json(edit: Edit) -> None:
    intervention = Intervention([edit, EDITS["swap"]])
    message = message_of(intervention.edits, Outbox().add)
    back = Intervention(edits_of(message, inline))
    assert back == intervention
    assert hash(back) == hash(intervention)
    assert Intervention.from_json(intervention.to_json()) == intervention


def test_values_are_equal_where_their_contents_are() -> None:
    assert len(set(EDITS.values())) == len(EDITS)
    assert EDITS["image"] == Edit("fc", (1,), action=Swap(ImageDonor(IMAGE.copy())), mask=MASK)
    assert EDITS["image"] != Edit("fc", (1,), action=Swap(ImageDonor(IMAGE)), mask=~MASK)
    assert Constant(np.zeros(3)) != Constant(np.zeros(4))
    assert Constant(0) == Constant(0.0) != Scale(0.0)
    assert EDITS["swap"].action == Swap(Original2())


def test_what_a_value_holds_cannot_be_changed_from_outside() -> None:
    mask, channels = MASK.copy(), [1, 2]
    edit = Edit("fc", channels, mask=mask)
    mask[:], channels[:] = False, [7, 8]
    assert edit == Edit("fc", [1, 2], mask=MASK)
    with pytest.raises(ValueError, match="read-only"):
        edit.mask[:] = True  # type: ignore[index]  # a mask of booleans


def test_values_tell_what_they_are_without_their_numbers() -> None:
    told = repr(Intervention([EDITS["image"]]))
    assert told == (
        "Intervention(edits=(Edit(layer='fc', channels=(1,), "
        "action=Swap(donor=ImageDonor(image=<uint8 (2, 3, 3)>)), mask=<bool (3, 2)>),))"
    )
    several = Intervention([EDITS["module"], Edit("conv", [2], action=Blend(0.5)), EDITS["vector"]])
    assert str(several) == (
        "module 1 of fc: swap from original 2, inside a mask; channel 2 of conv: blend with 0.5 of"
        " original 2; channel 1 of fc: constant array (3,)"
    )
    assert several.layers == ("fc", "conv")


def test_modules_can_be_spelled_out_as_channels() -> None:
    module = Intervention([EDITS["module"], EDITS["scale"]])
    assert module.spelled_out() == Intervention([Edit("fc", [1, 2], mask=CORNER), EDITS["scale"]])


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Intervention([]), "at least one edit"),
        (lambda: Intervention(["fc"]), "edit 'fc' is of no known kind"),  # type: ignore[list-item]
        (lambda: Edit("fc"), "say which channels of layer 'fc'"),
        (lambda: Edit("fc", [1], ModuleOf(LABELS, 0)), "say which channels of layer 'fc'"),
        (lambda: Edit("", [1]), "layer '' is not a name"),
        (lambda: Edit("fc", [1, 1]), "channel 1 is named more than once"),
        (lambda: Edit("fc", [-1]), "channel -1 is not allowed"),
        (lambda: Edit("fc", [1], action="swap"), "action 'swap' is of no known kind; allowed: Sw"),  # type: ignore[arg-type]
        (lambda: Edit("fc", [1], mask=MASK.astype(int)), r"mask of shape \(3, 2\) and type int64"),
        (lambda: Edit("fc", [1], mask=MASK[0]), r"mask of shape \(2,\)"),
        (lambda: ModuleOf(LABELS, 2), "module 2 is not allowed: it must be from 0 to 1"),
        (lambda: Rectangle(0, 0, 0, 1), "rectangle's height 0 is not allowed"),
        (lambda: Rectangle(-1, 0, 1, 1), "rectangle's top -1 is not allowed"),
        (lambda: Constant(NAN), "constant nan is not allowed: it must be finite"),
        (lambda: Constant([1.0, NAN]), "constant: 1 of 2 values are NaN or infinite"),
        (lambda: Constant([1e39]), "constant: 1 of 1 values are NaN or infinite"),
        (lambda: Constant("zero"), "constant 'zero' is not a number"),
        (lambda: Constant(["a", "b"]), "it must be a number, or numbers of shape"),
        (lambda: Add(np.zeros((1, 2, 3, 4))), r"value to add of shape \(1, 2, 3, 4\)"),
        (lambda: Add(None), "value to add None is not a number"),  # type: ignore[arg-type]
        (lambda: Scale(float("inf")), "factor inf is not allowed"),
        (lambda: Blend(NAN), "weight nan is not allowed"),
        (lambda: Blend(0.5, "original2"), "donor 'original2' is of no known kind"),  # type: ignore[arg-type]
        (lambda: StoredLatents({}), "the donor holds no array"),
        (lambda: StoredLatents(np.zeros(3)), "the donor's latents are a ndarray"),  # type: ignore[arg-type]
        (lambda: StoredLatents({"z": np.zeros((2, 3))}), r"'z' of shape \(2, 3\) holds 2 samples"),
        (lambda: StoredLatents({"z": np.full((1, 3), NAN)}), "3 of 3 values are NaN"),
        (lambda: ImageDonor(IMAGE / 255), r"shape \(2, 3, 3\) and type float64"),  # type: ignore[arg-type]
        (lambda: ImageDonor(IMAGE[..., :2]), "with 1, 3 or 4 colours"),
    ],
)
def test_what_is_not_allowed_is_refused_by_value(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((InputError, UsageError), match=message):
        make()


def test_large_arrays_of_an_intervention_travel_ahead_of_it() -> None:
    outbox = Outbox(limit_bytes=40)
    edits = [EDITS["vector"], Edit("fc", [1], action=Constant(np.zeros(11)))]
    message = message_of(edits, outbox.add)
    places = [edit.constant.array.WhichOneof("source") for edit in message.edits]
    assert places == ["tensor", "artifact"]
    assert [packed.shape for packed in outbox.large] == [(11,)]


def write(path: Path, *edits: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"edits": edits}))
    return path


def test_a_saved_intervention_is_proto_json_and_holds_everything(tmp_path: Path) -> None:
    path, intervention = tmp_path / "i.json", Intervention(list(EDITS.values()))
    intervention.save(path)
    assert Intervention.load(path) == intervention
    edits = json.loads(path.read_text())["edits"]
    assert edits[1] == {
        "layer": "fc",
        "channels": {"indices": [3, 0]},
        "swap": {"original2": {}},
    }
    assert edits[6]["constant"] == {"prior_mean": {}}


def test_json_may_be_written_by_hand_in_either_spelling(tmp_path: Path) -> None:
    edit = {"layer": "fc", "channels": {"indices": [1]}}
    for spelling in ("prior_mean", "priorMean"):
        path = write(tmp_path / "i.json", {**edit, "constant": {spelling: {}}})
        assert Intervention.load(path) == Intervention([EDITS["mean"]])
    for donor in ("{}", '{"original2": {}}'):
        path = write(tmp_path / "i.json", {**edit, "swap": json.loads(donor)})
        assert Intervention.load(path) == Intervention([Edit("fc", [1])])


def test_files_that_json_names_are_read_from_its_folder(tmp_path: Path) -> None:
    np.savez(tmp_path / "modules.npz", labels=LABELS, templates=np.zeros(3))
    write_npz(tmp_path / "sample.npz", {"images": np.zeros(3), **LATENTS})
    np.save(tmp_path / "vector.npy", np.array([1.0, 2.0, 3.0]))
    Image.fromarray(IMAGE).save(tmp_path / "photo.png")
    Image.fromarray(MASK.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    named = {"z": "sample.npz", "label": "sample.npz:label"}
    path = write(
        tmp_path / "i.json",
        {"layer": "fc", "module": {"labels": "modules.npz", "index": 1}, "swap": {}},
        {"layer": "fc", "channels": {"indices": [1]}, "swap": {"latents": {"inputs": named}}},
        {"layer": "fc", "channels": {"indices": [1]}, "constant": {"array": "vector.npy"}},
        {
            "layer": "fc",
            "channels": {"indices": [1]},
            "swap": {"image": "photo.png"},
            "mask": {"array": "mask.png"},
        },
    )
    module = Edit("fc", module=ModuleOf(LABELS, 1))
    expected = [module, EDITS["latents"], EDITS["vector"], EDITS["image"]]
    assert Intervention.load(path) == Intervention(expected)


def test_what_is_bright_and_opaque_is_inside_a_painted_mask(tmp_path: Path) -> None:
    painted = np.array([[[255, 255, 255, 255], [255, 255, 255, 0], [9, 9, 9, 255]]], np.uint8)
    Image.fromarray(painted).save(tmp_path / "mask.png")
    edit = {"layer": "fc", "channels": {"indices": []}, "swap": {}, "mask": {"array": "mask.png"}}
    (found,) = Intervention.load(write(tmp_path / "i.json", edit)).edits
    np.testing.assert_array_equal(found.mask, [[True, False, False]])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"chanels": {}}, 'no field named "chanels"'),
        ({"channels": {"indices": [-1]}}, "not an intervention's JSON"),
        ({"swap": {}}, r"edit 0: say which channels of layer 'fc'"),
        (
            {"channels": {"indices": []}},
            "edit 0: it has no action: swap, constant, scale, add or blend",
        ),
        ({"channels": {"indices": []}, "constant": {}}, 'edit 0: "constant" must be'),
        ({"channels": {"indices": []}, "add": {"array": {"tensor": {}}}}, "edit 0: .* datatype ''"),
        (
            {
                "channels": {"indices": []},
                "add": {"array": {"tensor": {"datatype": "FP32", "shape": [2]}}},
            },
            r"it holds 0 bytes for FP32 of shape \(2,\), which needs 8",
        ),
        (
            {"channels": {"indices": []}, "scale": {"factor": "NaN"}},
            "edit 0: factor nan is not allowed",
        ),
        (
            {"channels": {"indices": []}, "constant": {"array": "none.npy"}},
            "there is no file .*none.npy",
        ),
        (
            {"channels": {"indices": []}, "constant": {"array": "a.npz"}},
            "has no array 'array'; it has: x, y",
        ),
        (
            {"channels": {"indices": []}, "constant": {"array": "a.npz:w"}},
            "has no array 'w'; it has: x, y",
        ),
        (
            {"channels": {"indices": []}, "constant": {"array": "a.png"}},
            "it must end in .npz, .npy$",
        ),
        (
            {"channels": {"indices": []}, "swap": {"image": "a.txt"}},
            "it must end in .npz, .npy, .png, .jpg",
        ),
        (
            {"channels": {"indices": []}, "swap": {}, "mask": {"array": "bad.png"}},
            "is not a readable image",
        ),
        ({"channels": {"indices": []}, "add": {"array": "bad.npy"}}, "is not a readable .npy file"),
        (
            {"channels": {"indices": []}, "swap": {"latents": {"inputs": {"z": "a.npz:y"}}}},
            r"the donor 'z' of shape \(2, 2\) holds 2 samples",
        ),
    ],
)
def test_json_that_is_no_intervention_is_refused_with_its_file(
    tmp_path: Path, edit: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(2), y=np.zeros((2, 2)))
    for name in ("bad.png", "bad.npy"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    path = write(tmp_path / "i.json", {"layer": "fc", **edit})
    with pytest.raises(GraftscopeError, match=message) as caught:
        Intervention.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", '{"edits": 3}', '{"edits": [[]]}', "\0"])
def test_text_that_is_no_intervention_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "i.json"
    path.write_text(text)
    with pytest.raises(InputError):
        Intervention.load(path)
    with pytest.raises(InputError):
        Intervention.from_json(text)


def test_a_missing_file_and_a_text_with_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        Intervention.load(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read as an intervention"):
        Intervention.load(tmp_path)
    text = (
        '{"edits": [{"layer": "fc", "channels": {"indices": []}, "constant": {"array": "a.npy"}}]}'
    )
    with pytest.raises(InputError, match="names a file, which only a JSON file can do"):
        Intervention.from_json(text)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ('"channels": [1, 4], "swap": {}', r'edit 0: "channels" must be {"indices": \[1, 4\]}'),
        ('"channels": {}, "swap": {}', 'edit 0: "channels" must be'),
        ('"channels": {"indices": [1]}, "scale": {}', 'edit 0: "scale" must be {"factor": 2}'),
        ('"channels": {"indices": [1]}, "scale": 2', 'edit 0: "scale" must be {"factor": 2}'),
        ('"channels": {"indices": [1]}, "blend": {}', 'edit 0: "blend" must be {"weight": 0.5'),
        ('"channels": {"indices": [1]}, "constant": {}', 'edit 0: "constant" must be {"scalar"'),
        ('"channels": {"indices": [1]}, "swap": {}, "mask": {}', 'edit 0: "mask" must be'),
        ('"module": {"labels": "m.npz"}, "swap": {}', 'edit 0: "module" must be'),
    ],
)
def test_what_is_left_out_of_an_edit_is_no_zero(edit: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Intervention.from_json('{"edits": [{"layer": "conv1", ' + edit + "}]}")


def test_modules_of_another_layer_are_refused(tmp_path: Path) -> None:
    source = Source("toy", "digest", "conv1", "operations/1")
    write_npz(tmp_path / "m.npz", {"labels": np.array([0, 1])}, comment=source.to_comment())
    text = '{"edits": [{"layer": "LAYER", "module": {"labels": "m.npz", "index": 0}, "swap": {}}]}'
    path = tmp_path / "edit.json"
    path.write_text(text.replace("LAYER", "conv1"))
    assert Intervention.load(path).edits[0].layer == "conv1"
    path.write_text(text.replace("LAYER", "conv2"))
    with pytest.raises(InputError, match=r"edit 0: m\.npz is of layer conv1 of toy, not of layer"):
        Intervention.load(path)
