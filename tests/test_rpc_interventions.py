"""Interventions over the wire: a real server on loopback, truth from a pass written in numpy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.v1 import (
    intervention_pb2,
    model_service_pb2,
    originals_pb2,
)
from intervention_toys import activation, forward, write_conditional
from request_toys import (
    IMAGES,
    LAYER,
    VAE,
    Z,
    channels,
    each_of,
    edit,
    generate,
    hybridize,
    influence,
    inline,
    latents,
    magnitude,
    pairs,
)
from server_toys import Stubs, call_for, influence_of, metadata_of, refused, served

TOLERANCE = 1e-5
MODEL = "models/conditional"
COUNT = 3

Message = intervention_pb2.Edit


@pytest.fixture(scope="module")
def server(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    folder = write_conditional(tmp_path_factory.mktemp("toys") / "conditional")
    with served([folder, toy_vae_bundle], tmp_path_factory.mktemp("served")) as stubs:
        yield stubs


def at(layer: str, *indices: int, **fields: Any) -> Message:
    return intervention_pb2.Edit(layer=layer, channels=channels(*indices), **fields)


def swap(**donor: Any) -> intervention_pb2.Swap:
    return intervention_pb2.Swap(**donor)


def rectangle(top: int, left: int, height: int, width: int) -> intervention_pb2.Mask:
    area = intervention_pb2.Rectangle(top=top, left=left, height=height, width=width)
    return intervention_pb2.Mask(rectangle=area)


def mask_of(array: NDArray[np.generic]) -> intervention_pb2.Mask:
    return intervention_pb2.Mask(array=inline(array))


def constant(array: NDArray[np.generic]) -> intervention_pb2.Constant:
    return intervention_pb2.Constant(array=inline(array))


def samples(server: Stubs, count: int = COUNT, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Original 1 of every pair."""
    reply = server.models.Generate(generate(model=MODEL, samples=pairs(count=count, seed=seed)))
    return {name: server.numbers(array) for name, array in reply.latents.inputs.items()}


def one_sample(server: Stubs) -> originals_pb2.Latents:
    reply = server.models.Generate(generate(model=MODEL, samples=pairs(count=1, seed=9)))
    return reply.latents


def hybrid(server: Stubs, *edits: Message, **fields: Any) -> NDArray[np.float64]:
    request = hybridize(*edits, model=MODEL, **{"pairs": pairs(count=COUNT), **fields})
    return server.numbers(server.models.Hybridize(request).hybrid)


def test_actions_at_several_layers_give_what_numpy_gives(server: Stubs) -> None:
    first = samples(server)
    values = np.linspace(0, 1, 4).astype(np.float32)
    found = hybrid(
        server,
        at("first", 0, mask=rectangle(1, 0, 2, 3), scale=intervention_pb2.Scale(factor=2.0)),
        at("second", 1, 3, constant=constant(values)),
        at("tokens", 2, mask=rectangle(1, 0, 1, 1), add=intervention_pb2.Add(scalar=0.5)),
    )

    def scaled(x: NDArray[np.float64]) -> NDArray[np.float64]:
        changed = x.copy()
        changed[:, 0, 1:3, :3] *= 2.0
        return changed

    def replaced(x: NDArray[np.float64]) -> NDArray[np.float64]:
        changed = x.copy()
        changed[:, 1], changed[:, 3] = values[1], values[3]
        return changed

    def added(x: NDArray[np.float64]) -> NDArray[np.float64]:
        changed = x.copy()
        changed[:, 1, 2] += 0.5
        return changed

    hooks = {"first": scaled, "second": replaced, "tokens": added}
    np.testing.assert_allclose(found, forward(first, hooks), atol=TOLERANCE)


def test_a_stored_donor_gives_its_channels_to_every_pair(server: Stubs) -> None:
    first, given = samples(server), one_sample(server)
    donor = {name: server.numbers(array) for name, array in given.inputs.items()}
    # Noise does not reach this layer, and what is fixed is known.
    del given.inputs["noise"]
    del given.inputs["t"]
    found = hybrid(server, at("first", 0, 1, 2, swap=swap(latents=given)))
    whole = activation("first", donor)
    expected = forward(first, {"first": lambda x: 0 * x + whole})
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    half = intervention_pb2.Blend(weight=0.25, donor=swap(latents=given))
    found = hybrid(server, at("first", 0, 1, 2, blend=half))
    expected = forward(first, {"first": lambda x: 0.75 * x + 0.25 * whole})
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_an_image_gives_the_channels_of_its_encoding(server: Stubs) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    reply = server.models.Encode(model_service_pb2.EncodeRequest(model=VAE, images=inline(image)))
    encoded = server.numbers(reply.mean.inputs["z"]).astype(np.float32)
    by_image, by_latents = (
        server.models.Hybridize(hybridize(edit(channels=channels(0, 2), swap=donor)))
        for donor in (swap(image=inline(image)), swap(latents=latents(encoded)))
    )
    assert by_image.hybrid == by_latents.hybrid
    assert by_image.hybrid != by_image.original1


def test_shared_and_fixed_inputs_make_hybrids_of_one_class(server: Stubs) -> None:
    fix = originals_pb2.Latents(inputs={"label": inline(np.array([3]))})
    together = pairs(count=COUNT, share=["noise", "w", "v"], fix=fix)
    first = {**samples(server), "label": np.full(COUNT, 3.0)}
    request = hybridize(at("z", *range(8)), model=MODEL, pairs=together)
    reply = server.models.Hybridize(request)
    np.testing.assert_allclose(server.numbers(reply.original1), forward(first), atol=TOLERANCE)
    # All that is left to differ is the latent.
    assert reply.hybrid == reply.original2
    generated = server.models.Generate(generate(model=MODEL, samples=together))
    assert generated.latents.inputs["label"] == inline(np.array([3, 3, 3]))


def test_given_pairs_may_leave_out_noise_and_what_is_shared(server: Stubs) -> None:
    first, second = (one_sample(server) for _ in range(2))
    for given in (first, second):
        del given.inputs["noise"]
        del given.inputs["t"]
    del second.inputs["label"]
    given_pairs = originals_pb2.LatentPairs(latents1=first, latents2=second)
    source = originals_pb2.Originals(latents=given_pairs)
    shared = originals_pb2.Pairs(originals=source, share=["label"])
    assert hybrid(server, at("first", 0), pairs=shared).shape == (1, 3, 4, 4)
    told = refused(
        call_for(server, hybridize(at("first", 0), model=MODEL, pairs=pairs(originals=source)))
    )
    assert "latents2 lacks 'label' (classes 0 to 4)" in told.message


def test_what_is_given_is_not_fixed_or_shared_besides(server: Stubs) -> None:
    one, other = one_sample(server), one_sample(server)
    other.inputs["z"].CopyFrom(inline(np.ones((1, 8), np.float32)))
    source = originals_pb2.Originals(
        latents=originals_pb2.LatentPairs(latents1=one, latents2=other)
    )
    fix = originals_pb2.Latents(inputs={"z": inline(np.zeros((1, 8), np.float32))})
    for asked, words, field in (
        (pairs(originals=source, fix=fix), "'z' is in pairs.fix and given by latents1", "fix[z]"),
        (pairs(originals=source, share=["z"]), "'z' is in pairs.share, and latents2", "share"),
    ):
        told = refused(call_for(server, hybridize(at("first", 0), model=MODEL, pairs=asked)))
        assert words in told.message
        assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, f"pairs.{field}")
    # What both originals have in common may be shared, and what is not given may be fixed.
    together = pairs(originals=source, share=["label", "noise"])
    assert hybrid(server, at("first", 0), pairs=together).shape == (1, 3, 4, 4)
    for given in (source.latents.latents1, source.latents.latents2):
        del given.inputs["z"]
    apart = pairs(originals=source, fix=fix)
    assert hybrid(server, at("first", 0), pairs=apart).shape == (1, 3, 4, 4)


def test_images_do_not_give_what_is_fixed(server: Stubs) -> None:
    fix = originals_pb2.Latents(inputs={"z": inline(Z[:1])})
    images = inline(IMAGES)
    image_pairs = originals_pb2.ImagePairs(images1=images, images2=inline(255 - IMAGES))
    for source in (
        originals_pb2.Originals(images=originals_pb2.Images(images=images)),
        originals_pb2.Originals(image_pairs=image_pairs),
    ):
        asked = pairs(originals=source, count=1, fix=fix)
        told = refused(call_for(server, hybridize(edit(channels=channels(0)), pairs=asked)))
        assert "'z' is in pairs.fix and given by images" in told.message
    shared = pairs(originals=originals_pb2.Originals(image_pairs=image_pairs), share=["z"])
    told = refused(call_for(server, hybridize(edit(channels=channels(0)), pairs=shared)))
    assert "'z' is in pairs.share, and images2 gives it other values" in told.message


def test_influence_of_interventions_is_that_of_their_hybrids(server: Stubs) -> None:
    asked = [
        [at("first", 0, scale=intervention_pb2.Scale(factor=0.0))],
        [at("z", 1), at("second", 2, constant=intervention_pb2.Constant(scalar=1.0))],
    ]
    request = influence(
        model=MODEL, layer="", each_intervention=each_of(*asked), pairs=pairs(count=40)
    )
    operation = server.analyses.Influence(request)
    response = influence_of(server.wait(operation))
    assert response.layer == ""
    maps, errors = server.numbers(response.maps), server.numbers(response.stderr)
    for i, edits in enumerate(asked):
        reply = server.models.Hybridize(hybridize(*edits, model=MODEL, pairs=pairs(count=40)))
        one, other = (server.numbers(array) for array in (reply.hybrid, reply.original1))
        effects = np.abs(one - other).mean(axis=1)
        np.testing.assert_allclose(maps[i], effects.mean(axis=0), atol=TOLERANCE)
        spread = effects.std(axis=0, ddof=1) / np.sqrt(40)
        np.testing.assert_allclose(errors[i], spread, atol=TOLERANCE)
    assert server.analyses.Influence(request).name == operation.name
    again = metadata_of(operation).influence
    assert server.analyses.Influence(again).name == operation.name


def test_every_action_can_be_asked_for_again_from_its_metadata(server: Stubs) -> None:
    half = intervention_pb2.Blend(weight=0.5, donor=swap(latents=one_sample(server)))
    mean = intervention_pb2.PriorMean()
    asked = [
        [at("first", 0, blend=half, mask=rectangle(0, 0, 2, 2))],
        [at("second", 1, constant=constant(np.ones(4, dtype=np.float32)))],
        [at("second", 1, constant=intervention_pb2.Constant(prior_mean=mean))],
        [at("tokens", 1, add=intervention_pb2.Add(scalar=-1.0))],
        [at("z", 1, scale=intervention_pb2.Scale(factor=3.0)), at("tokens", 0)],
    ]
    fix = originals_pb2.Latents(inputs={"label": inline(np.array([1]))})
    request = influence(
        model=MODEL,
        layer="",
        each_intervention=each_of(*asked),
        pairs=pairs(count=2, share=["noise"], fix=fix),
        products=True,
    )
    operation = server.analyses.Influence(request)
    response = influence_of(server.wait(operation))
    assert server.numbers(response.products).shape == (5, 5)
    again = metadata_of(operation).influence
    assert server.analyses.Influence(again).name == operation.name
    request.dry_run = True
    assert metadata_of(server.analyses.Influence(request)).estimate.hybrids == 10


def test_plain_swaps_at_one_layer_are_found_as_sets_whether_the_layer_is_named(
    server: Stubs,
) -> None:
    asked = each_of([at("first", 0)], [at("first", 1, mask=rectangle(0, 0, 4, 4))])
    named, unnamed = (
        server.analyses.Influence(influence(model=MODEL, layer=layer, each_intervention=asked))
        for layer in ("first", "")
    )
    assert named.name == unnamed.name
    assert metadata_of(named).influence.layer == "first"


def test_an_image_donor_is_part_of_an_influence(server: Stubs) -> None:
    image = inline(IMAGES[:1])
    request = influence(
        layer="", each_intervention=each_of([edit(channels=channels(0), swap=swap(image=image))])
    )
    operation = server.analyses.Influence(request)
    assert influence_of(server.wait(operation)).layer == LAYER
    assert server.analyses.Influence(metadata_of(operation).influence).name == operation.name


class Bad(NamedTuple):
    """An edit, and what its refusal says."""

    edits: list[Message]
    told: str
    field: str


ONE = np.ones(1, dtype=np.float32)
NAN = np.full(4, np.nan, dtype=np.float32)
NO_LATENTS = originals_pb2.Latents()
UNKNOWN = originals_pb2.Latents(inputs={"y": inline(Z)})
FIELD = "intervention.edits"
BAD = [
    Bad([at("conv9", 0)], "layer 'conv9' is not in model 'conditional'", "layer"),
    Bad([at("first", 3)], "channel 3 is not in layer 'first', which has 3: 0 to 2", "channels"),
    Bad(
        [at("z", 0), at("first", 3)],
        "edit 1: channel 3 is not in layer 'first', which has 3: 0 to 2",
        "channels",
    ),
    Bad([intervention_pb2.Edit(layer="first")], "has no target; channels or a module", FIELD),
    Bad([], "the intervention has no edit", FIELD),
    Bad([at("first", 0)] * 65, "has 65 edits; 1 to 64 are allowed", FIELD),
    Bad(
        [at("first", 0), at("z", 0), at("first", 1, 0, scale=intervention_pb2.Scale(factor=2.0))],
        "edits 0 and 2 both assign channel 0 of layer 'first' at the same place",
        FIELD,
    ),
    Bad(
        [at("first", 0, mask=rectangle(0, 0, 2, 2)), at("first", 0, mask=rectangle(1, 1, 2, 2))],
        "masks that do not overlap",
        FIELD,
    ),
    Bad(
        [at("first", 0, mask=rectangle(3, 0, 2, 1))], "rows 3 to 4 .* rows 0 to 3", f"{FIELD}.mask"
    ),
    Bad([at("first", 0, mask=rectangle(0, 0, 0, 1))], "is 0 x 1; .* at least 1", f"{FIELD}.mask"),
    Bad([at("z", 0, mask=rectangle(0, 0, 1, 1))], "'z' is a vector, .* no places", f"{FIELD}.mask"),
    Bad([at("first", 0, mask=mask_of(Z))], r"booleans of shape \(4, 4\)", f"{FIELD}.mask"),
    Bad(
        [at("first", 0, mask=mask_of(np.zeros((4, 4), dtype=np.bool_)))],
        "false everywhere",
        f"{FIELD}.mask",
    ),
    Bad(
        [at("first", 0, scale=intervention_pb2.Scale(factor=float("inf")))],
        "scale.factor is inf; a finite number",
        f"{FIELD}.scale.factor",
    ),
    Bad(
        [at("first", 0, add=intervention_pb2.Add(scalar=1e39))],
        "add.scalar is 1e\\+39",
        f"{FIELD}.add.scalar",
    ),
    Bad(
        [at("first", 0, blend=intervention_pb2.Blend(weight=float("nan")))],
        "blend.weight is nan",
        f"{FIELD}.blend.weight",
    ),
    Bad(
        [at("first", 0, constant=intervention_pb2.Constant())],
        "the action constant has no value",
        f"{FIELD}.constant",
    ),
    Bad(
        [at("first", 0, add=intervention_pb2.Add())], "the action add has no value", f"{FIELD}.add"
    ),
    Bad(
        [at("first", 0, constant=constant(NAN))],
        r"shape \(4,\); floats of shape \(3, 4, 4\) .* or \(3,\) are needed",
        f"{FIELD}.constant.array",
    ),
    Bad([at("second", 0, constant=constant(NAN))], "holds NaN", f"{FIELD}.constant.array"),
    Bad(
        [at("first", 0, swap=swap(latents=NO_LATENTS))],
        "swap.latents lacks 'z'",
        f"{FIELD}.swap.latents",
    ),
    Bad(
        [at("first", 0, swap=swap(latents=UNKNOWN))],
        "swap.latents holds 'y', which is no input",
        f"{FIELD}.swap.latents",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=[bad.told[:30] for bad in BAD])
def test_a_bad_edit_is_refused_in_one_line(server: Stubs, bad: Bad) -> None:
    told = refused(call_for(server, hybridize(*bad.edits, model=MODEL)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT, told
    assert told.field == bad.field, told
    assert re.search(bad.told, told.message), told
    server.goes_on()


def test_a_donor_of_several_samples_is_refused(server: Stubs) -> None:
    donor = swap(latents=latents(Z))
    told = refused(call_for(server, hybridize(edit(channels=channels(0), swap=donor))))
    assert "holds 3 samples; a donor is exactly one" in told.message
    donor = swap(image=inline(IMAGES))
    told = refused(call_for(server, hybridize(edit(channels=channels(0), swap=donor))))
    assert "holds 2 images; a donor is exactly one" in told.message


def test_an_image_cannot_be_a_donor_without_an_encoder(server: Stubs) -> None:
    request = hybridize(at("first", 0, swap=swap(image=inline(IMAGES[:1]))), model=MODEL)
    told = refused(call_for(server, request))
    assert told.code is grpc.StatusCode.NOT_FOUND
    assert "'conditional' has no encoder, so an image cannot be a donor" in told.message


def fixed(**arrays: NDArray[np.generic]) -> originals_pb2.Latents:
    return originals_pb2.Latents(inputs={name: inline(array) for name, array in arrays.items()})


@pytest.mark.parametrize(
    ("asked", "told", "field"),
    [
        (pairs(share=["y"]), "pairs.share holds 'y', .* are: z, label, noise", "pairs.share"),
        (pairs(share=["z", "z"]), "more than once", "pairs.share"),
        (pairs(fix=fixed(y=ONE)), "pairs.fix holds 'y'", "pairs.fix"),
        (pairs(fix=fixed(z=ONE)), r"float32 of shape \(B, 8\) is needed", "pairs.fix[z]"),
        (pairs(fix=fixed(z=Z)), "holds 3 values; one for all", "pairs.fix[z]"),
        (pairs(fix=fixed(label=np.array([5]))), "0 to 4 are allowed", "pairs.fix[label]"),
        (
            pairs(share=["label"], fix=fixed(label=np.array([1]))),
            "'label' is in pairs.share and in pairs.fix",
            "pairs.share",
        ),
    ],
)
def test_bad_shared_and_fixed_inputs_are_refused(
    server: Stubs, asked: originals_pb2.Pairs, told: str, field: str
) -> None:
    requests = [
        (hybridize(at("first", 0), model=MODEL, pairs=asked), "pairs"),
        (influence(model=MODEL, layer="first", pairs=asked), "pairs"),
        (generate(model=MODEL, samples=asked), "samples"),
    ]
    for request, name in requests:
        refusal = refused(call_for(server, request))
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert re.search(told.replace("pairs.", f"{name}."), refusal.message), refusal
        assert refusal.field == field.replace("pairs.", f"{name}.")


def test_magnitude_takes_the_last_maps_by_default(server: Stubs) -> None:
    request = magnitude(model=MODEL, layers=[], dry_run=True)
    operation = server.analyses.Magnitude(request)
    assert list(metadata_of(operation).magnitude.layers) == ["first", "second"]
