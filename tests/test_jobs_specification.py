"""Equal specifications have one identity, and anything that differs gives another."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftscope.server.engine import ORIGINAL2
from graftscope.server.jobs import (
    ArrayRef,
    DonorSpec,
    EditSpec,
    InfluenceSpec,
    LayerSpec,
    MagnitudeSpec,
    ModulesSpec,
    OriginalsSpec,
    RelativeErrorSpec,
    Spec,
    StabilitySpec,
    StableLabelsSpec,
    parse_spec,
)
from graftscope.server.jobs._specification import canonical, identity, input_arrays

SHA = "0123456789abcdef" * 4
OTHER_SHA = SHA[::-1]
LATENTS = ArrayRef(SHA, "FP32", (5, 8))

INFLUENCE = InfluenceSpec(
    model=SHA,
    layer="conv1",
    channels=4,
    sets=((0,), (1, 2)),
    indices=(0, 1),
    subject="modules",
    originals=OriginalsSpec("latents", {"latents1/z": LATENTS, "latents2/z": LATENTS}),
    seed=0,
    first=0,
    pairs=5,
    map_size=16,
    arithmetic=1,
)
MAPS = ArrayRef(SHA, "FP64", (4, 8, 8))
PRODUCTS = ArrayRef(OTHER_SHA, "FP64", (4, 4))
GROUPS: dict[str, Any] = {
    "group_maps": ArrayRef(SHA, "FP16", (2, 4, 8, 8)),
    "group_pairs": ArrayRef(SHA, "INT64", (2, 4)),
    "group_units": ArrayRef(SHA, "FP64", (4,)),
    "group_products": ArrayRef(SHA, "FP32", (2, 4, 4)),
}
MODULES = ModulesSpec(MAPS, 2, "nmf", (0, 1), 3, 75.0)
STABILITY = StabilitySpec(MAPS, (2, 3), ("nmf", "kmeans"), 20, 0, 3, 75.0)
MAGNITUDE = MagnitudeSpec(
    model=SHA,
    layers=("conv1", "conv2"),
    ks=(2, 3),
    method="nmf",
    method_seed=0,
    window=3,
    percentile=75.0,
    originals=INFLUENCE.originals,
    seed=0,
    first=0,
    pairs=5,
    map_size=16,
    arithmetic=1,
)

EDIT = EditSpec("conv1", (0, 2), donor=ORIGINAL2, mask=ArrayRef(SHA, "BOOL", (8, 8)))
EDIT_CHANGES: dict[str, object] = {
    "layer": "conv2",
    "channels": (0,),
    "action": "blend",
    "number": 0.5,
    "array": MAPS,
    "donor": DonorSpec("image", {"image": LATENTS}),
    "mask": None,
}

INFLUENCE_CHANGES: dict[str, object] = {
    "model": OTHER_SHA,
    "layer": "conv2",
    "channels": 5,
    "sets": ((0,), (1, 3)),
    "indices": (0, 2),
    "subject": "channels",
    "originals": replace(INFLUENCE.originals, arrays={"latents1/z": LATENTS}),
    "seed": 1,
    "first": 1,
    "pairs": 6,
    "map_size": 8,
    "arithmetic": 2,
    "precision": "bf16",
    "products": True,
    "interventions": ((EDIT,),),
    "until": RelativeErrorSpec(0.02),
    "each_layer": (LayerSpec("conv1", 4), LayerSpec("conv2", 2)),
    "corrected": True,
}
UNTIL_CHANGES: dict[str, object] = {
    "k": 4,
    "method": "kmeans",
    "seed": 1,
    "window": 5,
    "percentile": 75.00000000000001,
    "version": 0,
}
MODULES_CHANGES: dict[str, object] = {
    "maps": replace(MODULES.maps, sha256=OTHER_SHA),
    "k": 3,
    "method": "kmeans",
    "seeds": (1, 0),
    "window": 5,
    "percentile": 75.00000000000001,
    "products": PRODUCTS,
    "min_purity": 0.5,
    **GROUPS,
    "version": 0,
}
STABILITY_CHANGES: dict[str, object] = {
    "maps": replace(MAPS, sha256=OTHER_SHA),
    "ks": (2, 4),
    "methods": ("kmeans", "nmf"),
    "repeats": 19,
    "seed": 1,
    "window": 5,
    "percentile": 75.00000000000001,
    "products": PRODUCTS,
    "version": 0,
}
MAGNITUDE_CHANGES: dict[str, object] = {
    "model": OTHER_SHA,
    "layers": ("conv2", "conv1"),
    "ks": (2,),
    "method": "kmeans",
    "method_seed": 1,
    "window": 5,
    "percentile": 75.00000000000001,
    "originals": OriginalsSpec("prior", {}),
    "seed": 1,
    "first": 1,
    "pairs": 6,
    "map_size": 8,
    "arithmetic": 2,
    "version": 0,
}

counts = st.integers(0, 2**32 - 1)
names = st.text(max_size=8)
refs = st.builds(
    ArrayRef,
    st.sampled_from([SHA, OTHER_SHA]),
    st.sampled_from(["FP32", "UINT8"]),
    st.lists(counts, max_size=4).map(tuple),
)
originals = st.builds(
    OriginalsSpec,
    names,
    st.dictionaries(names, refs, max_size=2),
    st.lists(names, max_size=2).map(tuple),
    st.booleans(),
)
edits = st.builds(
    EditSpec,
    layer=names,
    channels=st.lists(counts, max_size=3).map(tuple),
    action=names,
    number=st.none() | st.floats(0.5, 2.0),
    array=st.none() | refs,
    donor=st.none() | st.builds(DonorSpec, names, st.dictionaries(names, refs, max_size=2)),
    mask=st.none() | refs,
)
ks = st.lists(counts, max_size=3).map(tuple)
percentiles = st.floats(0.5, 99.5)
untils = st.none() | st.one_of(
    st.builds(RelativeErrorSpec, st.floats(0.001, 0.999)),
    st.builds(
        StableLabelsSpec,
        k=counts,
        method=names,
        seed=counts,
        window=counts,
        percentile=percentiles,
    ),
)
influence_specs = st.builds(
    InfluenceSpec,
    model=st.sampled_from([SHA, OTHER_SHA]),
    layer=names,
    sets=st.lists(st.lists(counts, max_size=3).map(tuple), max_size=3).map(tuple),
    indices=st.lists(counts, max_size=3).map(tuple),
    subject=st.sampled_from(["channels", "modules"]),
    originals=originals,
    seed=counts,
    first=counts,
    pairs=counts,
    map_size=counts,
    arithmetic=counts,
    products=st.booleans(),
    interventions=st.lists(st.lists(edits, max_size=2).map(tuple), max_size=2).map(tuple),
    until=untils,
    each_layer=st.lists(st.builds(LayerSpec, names, counts), max_size=2).map(tuple),
)
modules_specs = st.builds(
    ModulesSpec,
    maps=refs,
    k=counts,
    method=names,
    seeds=ks,
    window=counts,
    percentile=percentiles,
    products=st.none() | refs,
    min_purity=st.floats(0.0, 1.0),
)
stability_specs = st.builds(
    StabilitySpec,
    maps=refs,
    ks=ks,
    methods=st.lists(names, max_size=2).map(tuple),
    repeats=counts,
    seed=counts,
    window=counts,
    percentile=percentiles,
    products=st.none() | refs,
)
magnitude_specs = st.builds(
    MagnitudeSpec,
    model=st.sampled_from([SHA, OTHER_SHA]),
    layers=st.lists(names, max_size=2).map(tuple),
    ks=ks,
    method=names,
    method_seed=counts,
    window=counts,
    percentile=percentiles,
    originals=originals,
    seed=counts,
    first=counts,
    pairs=counts,
    map_size=counts,
    arithmetic=counts,
)
specs: st.SearchStrategy[Spec] = st.one_of(
    influence_specs, modules_specs, stability_specs, magnitude_specs
)


@settings(deadline=None)  # A busy machine is no fault of the code.
@given(specs)
def test_a_specification_survives_its_canonical_form(spec: Spec) -> None:
    parsed = parse_spec(canonical(spec))
    assert parsed == spec
    assert canonical(parsed) == canonical(spec)


@settings(deadline=None)  # A busy machine is no fault of the code.
@given(specs, specs)
def test_identities_are_equal_exactly_where_specifications_are(one: Spec, other: Spec) -> None:
    assert (identity(one) == identity(other)) == (one == other)


@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        (INFLUENCE, INFLUENCE_CHANGES),
        (MODULES, MODULES_CHANGES),
        (STABILITY, STABILITY_CHANGES),
        (MAGNITUDE, MAGNITUDE_CHANGES),
    ],
)
def test_any_field_that_differs_gives_another_identity(spec: Spec, changes: dict[str, Any]) -> None:
    assert {field.name for field in fields(spec)} == {*changes, "analysis"}
    copies = [replace(spec, **{name: value}) for name, value in changes.items()]
    assert len({identity(each) for each in [spec, *copies]}) == len(copies) + 1


def test_any_part_of_a_stopping_rule_that_differs_gives_another_identity() -> None:
    rule = StableLabelsSpec(3, "nmf", 0, 3, 75.0)
    assert {field.name for field in fields(rule)} == {*UNTIL_CHANGES, "rule"}
    rules = [rule, *(replace(rule, **{name: x}) for name, x in UNTIL_CHANGES.items())]  # type: ignore[arg-type]
    copies = [replace(INFLUENCE, until=each) for each in rules]
    assert len({identity(each) for each in [INFLUENCE, *copies]}) == len(rules) + 1


def dataclasses_in(value: Any) -> list[dict[str, Any]]:
    """What JSON holds of dataclasses, at any depth: a mapping of arrays has names of its own."""
    if isinstance(value, list):
        return [found for each in value for found in dataclasses_in(each)]
    if not isinstance(value, dict):
        return []
    inner = (
        x for name, each in value.items() for x in (each.values() if name == "arrays" else [each])
    )
    return [value, *(found for each in inner for found in dataclasses_in(each))]


RICH = replace(INFLUENCE, **INFLUENCE_CHANGES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [RICH, replace(RICH, until=StableLabelsSpec(3, "nmf", 0, 3, 75.0)), MODULES, STABILITY],
    ids=["influence", "stable labels", "modules", "stability"],
)
def test_a_specification_with_a_field_of_a_later_version_is_not_read_without_it(
    spec: Spec,
) -> None:
    count = len(dataclasses_in(json.loads(canonical(spec))))
    for at in range(count):
        changed = json.loads(canonical(spec))
        dataclasses_in(changed)[at]["later"] = 1
        with pytest.raises(TypeError, match="later"):
            parse_spec(json.dumps(changed))


def test_a_job_without_a_stopping_rule_is_what_it_was_before_there_were_any() -> None:
    assert "until" not in canonical(INFLUENCE)
    known = "c68f36421d20668124d8a8a68f222a5d8aa3e78f852444d8236c9594bedd4ae3"
    assert identity(INFLUENCE) == known


def test_the_order_in_which_arrays_are_named_does_not_matter() -> None:
    arrays = dict(reversed(list(INFLUENCE.originals.arrays.items())))
    turned = replace(INFLUENCE, originals=replace(INFLUENCE.originals, arrays=arrays))
    assert identity(turned) == identity(INFLUENCE)


def test_the_canonical_form_has_sorted_keys_and_no_spaces() -> None:
    text = canonical(MODULES)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert " " not in text


@pytest.mark.parametrize(
    ("make", "arrays"),
    [
        (lambda: INFLUENCE, (LATENTS, LATENTS)),
        (lambda: replace(INFLUENCE, originals=OriginalsSpec("prior", {})), ()),
        (lambda: MODULES, (MAPS,)),
        (lambda: replace(MODULES, products=PRODUCTS), (MAPS, PRODUCTS)),
        (lambda: STABILITY, (MAPS,)),
        (lambda: replace(STABILITY, products=PRODUCTS), (MAPS, PRODUCTS)),
        (lambda: MAGNITUDE, (LATENTS, LATENTS)),
    ],
)
def test_a_job_needs_the_arrays_that_its_specification_names(
    make: Callable[[], Spec], arrays: tuple[ArrayRef, ...]
) -> None:
    assert input_arrays(make()) == arrays


def test_any_part_of_an_edit_that_differs_gives_another_identity() -> None:
    assert {field.name for field in fields(EDIT)} == set(EDIT_CHANGES)
    edits = [EDIT, *(replace(EDIT, **{name: value}) for name, value in EDIT_CHANGES.items())]  # type: ignore[arg-type]
    specs = [replace(INFLUENCE, interventions=((edit,),)) for edit in edits]
    assert len({identity(spec) for spec in specs}) == len(edits)


def test_what_is_specified_without_later_fields_keeps_its_identity() -> None:
    # Of version 0.1.0, whose stored jobs are found by it.
    assert identity(INFLUENCE) == "c68f36421d20668124d8a8a68f222a5d8aa3e78f852444d8236c9594bedd4ae3"
    shared = replace(INFLUENCE, originals=replace(INFLUENCE.originals, share=("z",)))
    stratified = replace(INFLUENCE, originals=replace(INFLUENCE.originals, stratified=True))
    assert len({identity(each) for each in (INFLUENCE, shared, stratified)}) == 3
    assert "stratified" not in canonical(INFLUENCE)


def test_arrays_of_interventions_are_inputs_of_their_job() -> None:
    refs = [replace(MAPS, shape=(size,)) for size in (1, 2, 3)]
    edit = EditSpec(
        "a", (0,), array=refs[0], mask=refs[1], donor=DonorSpec("latents", {"z": refs[2]})
    )
    assert {*refs} < {*input_arrays(replace(INFLUENCE, interventions=((edit,),)))}
