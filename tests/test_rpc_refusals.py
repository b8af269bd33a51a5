"""Every bad request is one clear line with the right status, and the server goes on."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from numpy.typing import NDArray

from graftscope.v1 import (
    analysis_service_pb2,
    model_service_pb2,
    originals_pb2,
    tensor_pb2,
)
from request_toys import (
    CHANNELS,
    IMAGES,
    LABELS,
    LAYER,
    MAPS,
    SIDE,
    VAE,
    Z,
    artifact,
    channels,
    drawn,
    each_of,
    edit,
    encode,
    generate,
    hybridize,
    image_pairs,
    influence,
    inline,
    latent_pairs,
    latents,
    magnitude,
    module,
    modules,
    originals,
    pairs,
    result,
    stability,
    tensor,
)
from server_toys import Stubs, call_for, refused

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND

SHA = "0" * 64


class Bad(NamedTuple):
    """A request, and what its refusal says."""

    name: str
    request: object
    message: str
    field: str
    code: grpc.StatusCode = INVALID


def nan_latents() -> NDArray[np.float32]:
    array = Z.copy()
    array[1, 2] = np.nan
    return array


def bad_models() -> Iterator[Bad]:
    get = model_service_pb2.GetModelRequest
    known = "there is: toy-blocks, toy-skip, toy-vae"
    yield Bad("unknown model", get(name="models/nobody"), known, "model", NOT_FOUND)
    yield Bad("empty digest", get(name="models/toy-vae@"), "models/NAME@DIGEST is nee", "model")
    yield Bad("malformed model", get(name="toy-vae"), "models/NAME", "model")
    yield Bad("empty model", get(), "models/NAME", "model")
    other = get(name=f"{VAE}@{SHA}")
    yield Bad("another digest", other, f"not {SHA}", "model", NOT_FOUND)
    page = model_service_pb2.ListModelsRequest(page_token="next")
    yield Bad("unknown page", page, "'next' is unknown", "page_token")


def bad_influence() -> Iterator[Bad]:
    has = "it has: z, fc \\(coarse\\), deconv1 \\(intermediate\\)"
    yield Bad("unknown layer", influence(layer="conv9"), f"'conv9'.*{has}", "layer")
    yield Bad("no layer", influence(layer=""), has, "layer")
    beyond = influence(each_channel=channels(0, CHANNELS))
    yield Bad("channel out of range", beyond, "channel 6 .* has 6: 0 to 5", "channels")
    huge = influence(each_channel=channels(2**32 - 1))
    yield Bad("channel far out of range", huge, "channel 4294967295", "channels")
    twice = influence(each_channel=channels(1, 2, 1))
    yield Bad("channel twice", twice, "channel 1 is named more than once", "channels")
    none = influence(each_module=inline(LABELS - 1))
    yield Bad("no module", none, "every E is empty", "labels")
    short = influence(each_module=inline(LABELS[:3]))
    yield Bad("labels of another layer", short, r"\(3,\); integers of shape \(6,\)", "labels")
    fractions = influence(each_module=inline(LABELS.astype(np.float64)))
    yield Bad("labels that are no integers", fractions, "float64", "labels")
    yield Bad("long request id", influence(request_id="x" * 129), "at most 128", "request_id")
    yield Bad("odd request id", influence(request_id="a\nb"), r"'a\\nb'", "request_id")


def bad_layers() -> Iterator[Bad]:
    def named(*names: str) -> analysis_service_pb2.Layers:
        return analysis_service_pb2.Layers(layers=names)

    has = "it has: z, fc \\(coarse\\)"
    yield Bad("no layers", influence(layer="", each_layer=named()), "no layer", "each_layer")
    unknown = influence(layer="", each_layer=named(LAYER, "conv9"))
    yield Bad("an unknown one", unknown, f"'conv9'.*{has}", "layer")
    twice = influence(layer="", each_layer=named(LAYER, "intermediate"))
    yield Bad("a layer and its level", twice, "more than once", "layers")
    both = influence(each_layer=named(LAYER))
    yield Bad("layer and layers", both, "leave one of them out", "layer")
    labels = stable(k=CHANNELS + 1)
    few = influence(layer="", each_layer=named("fc", LAYER), until=labels, pairs=pairs(count=1000))
    yield Bad("k of the least layer", few, f"2 to {CHANNELS} is allowed", "until.stable_labels.k")


def bad_until() -> Iterator[Bad]:
    enough = pairs(count=1000)
    field = "until.relative_standard_error"
    for value in (0.0, 1.0, -0.5, float("nan"), float("inf")):
        rule = until(relative_standard_error=value)
        yield Bad(f"error of {value}", influence(until=rule, pairs=enough), str(value), field)
    rule, few = until(relative_standard_error=0.1), pairs(count=63)
    told = "from 64 pairs on, and at most 63 are asked for"
    yield Bad("few pairs for errors", influence(until=rule, pairs=few), told, "pairs.count")
    told = "from 128 pairs on, and at most 127 are asked for"
    few = pairs(count=127)
    yield Bad("few for labels", influence(until=stable(), pairs=few), told, "pairs.count")

    def labels(field: str, told: str, **fields: Any) -> Bad:
        usual = {"until": stable(), "pairs": enough}
        return Bad(told, influence(**{**usual, **fields}), told, field)

    k = "until.stable_labels.k"
    yield labels(k, f"k is 1; 2 to {CHANNELS} is allowed", until=stable(k=1))
    yield labels(k, f"k is 7; 2 to {CHANNELS} is allowed", until=stable(k=CHANNELS + 1))
    one = "needs at least 2 channels, and k at most as many as there are; maps of 1 are asked for"
    yield labels("until.stable_labels", one, each_channel=channels(3))
    sure = until(confident_labels=analysis_service_pb2.ConfidentLabels(probability=0.9))
    yield labels("until.confident_labels", one, each_channel=channels(3), until=sure)
    some = channels(0, 3)
    yield labels(k, "k is 3; 2 to 2 is allowed", each_channel=some)
    pca = stable(method=analysis_service_pb2.METHOD_PCA)
    yield labels("until.stable_labels.method", "pca needs products", until=pca)
    sure = until(
        confident_labels=analysis_service_pb2.ConfidentLabels(
            probability=0.9, method=analysis_service_pb2.METHOD_PCA
        )
    )
    yield labels("until.confident_labels.method", "pca needs products", until=sure)
    yield labels("window", "window = 4 is not allowed; it is an odd number", until=stable(window=4))
    yield labels(
        "window", f"an odd number of pixels, at most {SIDE}", until=stable(window=SIDE + 1)
    )
    yield labels("percentile", "percentile = 100", until=stable(percentile=100.0))
    field = "until.stable_labels"
    yield labels(field, "maps of modules are asked for", each_module=inline(LABELS))
    both = each_of([edit(channels=channels(0))], [edit(channels=channels(1))])
    yield labels(field, "maps of interventions are asked for", each_intervention=both)


def until(**rule: Any) -> analysis_service_pb2.StoppingRule:
    return analysis_service_pb2.StoppingRule(**rule)


def stable(**fields: Any) -> analysis_service_pb2.StoppingRule:
    return until(stable_labels=analysis_service_pb2.StableLabels(**fields))


def bad_pairs() -> Iterator[Bad]:
    field = "pairs.count"
    yield Bad("no pairs", influence(pairs=pairs(count=0)), "count is 0; 1 to", field)
    yield Bad("too many pairs", influence(pairs=pairs(count=2**32 - 1)), "1 to 10000000", field)
    nan = influence(pairs=latent_pairs(Z, nan_latents()))
    yield Bad("NaN latents", nan, r"latents2\[z\] holds nan at \[1, 2\]", "latents2[z]")
    infinite = influence(pairs=latent_pairs(Z + np.float32(np.inf), Z))
    yield Bad("infinite latents", infinite, "holds inf", "latents1[z]")
    wrong = r"shape \(3, 7\); float32 of shape \(B, 8\) is needed"
    yield Bad("latent size", influence(pairs=latent_pairs(Z, Z[:, :7])), wrong, "latents2[z]")
    double = influence(pairs=latent_pairs(Z, Z.astype(np.float64)))
    yield Bad("latent type", double, "float64 .* float32 .* is needed", "latents2[z]")
    yield Bad("scalar", influence(pairs=latent_pairs(Z[0, 0], Z)), r"shape \(\)", "latents1[z]")
    yield Bad("one more", influence(pairs=latent_pairs(Z, Z[:2])), "3 times", "pairs.originals")
    yield Bad("no samples", influence(pairs=latent_pairs(Z[:0], Z[:0])), "0 samples", "latents1")
    first = latent_pairs(Z, Z)
    first.first = 3
    yield Bad("first beyond", influence(pairs=first), "0 to 2 is allowed", "pairs.first")
    empty = originals(latents=originals_pb2.LatentPairs())
    lacks = r"latents1 lacks 'z' \(standard normal\).* are: z"
    yield Bad("no latents", influence(pairs=empty), lacks, "latents1")
    named = originals_pb2.Latents(inputs={"w": inline(Z)})
    other = originals(latents=originals_pb2.LatentPairs(latents1=named, latents2=named))
    yield Bad("unknown input", influence(pairs=other), "holds 'w', .* are: z", "latents1")


def bad_stratified() -> Iterator[Bad]:
    def stratified(**fields: Any) -> originals_pb2.Pairs:
        return pairs(**{"count": 64, **fields}, stratified=True)

    told = r"^pairs.count is 1000 \(nearest: 992 or 1024\); stratified pairs come in whole"
    field = "pairs.count"
    yield Bad("a part of a group", influence(pairs=stratified(count=1000)), told, field)
    least = r"pairs.count is 5 \(nearest: 32\)"
    yield Bad("few", influence(pairs=stratified(first=64, count=5)), least, field)
    between = r"^pairs.first is 33 \(nearest: 32 or 64\); "
    yield Bad("within a group", influence(pairs=stratified(first=33)), between, "pairs.first")
    yield Bad("magnitude of a part", magnitude(pairs=stratified(count=40)), "32 or 64", field)
    hybrids = hybridize(edit(channels=channels(0)), pairs=stratified(count=8))
    yield Bad("hybrids of a part", hybrids, "nearest: 32", field)
    part = generate(samples=stratified(count=8))
    yield Bad("samples of a part", part, "samples.count is 8.* 32", "samples.count")
    field, allowed = "pairs.stratified", "prior and encoded are allowed"
    for given in (latent_pairs(Z, Z), image_pairs(inline(IMAGES), inline(IMAGES))):
        given.stratified = True
        yield Bad("given pairs", influence(pairs=given), allowed, field)
    images = drawn(inline(IMAGES))
    images.stratified = True
    yield Bad("real images", influence(pairs=images), f"originals are images.*{allowed}", field)
    few = influence(until=until(relative_standard_error=0.1), pairs=stratified(count=224))
    told = "from 256 stratified pairs on, and at most 224 are asked for"
    yield Bad("few for errors", few, told, "pairs.count")


def bad_images() -> Iterator[Bad]:
    size = r"shape \(B, 16, 16, 3\) is needed"
    yield Bad("images' size", influence(pairs=drawn(inline(IMAGES[:, :8]))), size, "images")
    yield Bad("images' type", influence(pairs=drawn(inline(IMAGES * 1.0))), size, "images")
    yield Bad("one image", influence(pairs=drawn(inline(IMAGES[0]))), size, "images")
    yield Bad("no axis", influence(pairs=drawn(inline(IMAGES[0, 0, 0, 0]))), size, "images")
    yield Bad("no image", influence(pairs=drawn(inline(IMAGES[:0]))), "no image", "images")
    absent = drawn(tensor_pb2.Array())
    yield Bad("absent images", influence(pairs=absent), "images is missing", "images")
    uneven = image_pairs(inline(IMAGES), inline(IMAGES[:1]))
    yield Bad("uneven images", influence(pairs=uneven), "2 times .* 1 times", "pairs.originals")
    yield Bad("encode nothing", encode(inline(IMAGES[:0])), "no image", "images")
    yield Bad("encode flat", encode(inline(IMAGES[0, 0, 0, 0])), size, "images")
    no = encode(inline(IMAGES), model="models/toy-skip")
    yield Bad("no encoder", no, "'toy-skip' has no encoder", "originals", NOT_FOUND)


def bad_arrays() -> Iterator[Bad]:
    unstored = artifact(SHA, "FP64", 4, 8, 8)
    yield Bad("unstored", modules(maps=unstored), f"{SHA} is not stored", "maps", NOT_FOUND)
    yield Bad("no sha256", modules(maps=artifact("../jobs.db")), "not a sha256", "maps")
    bogus = tensor("FP8", b"", 0)
    yield Bad("unknown type", modules(maps=bogus), "allowed are BOOL, UINT8", "maps")
    little = tensor("FP64", b"12345678", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    yield Bad("huge shape", modules(maps=little), "multiply to at most", "maps")
    void = tensor("FP64", b"", 0, 2**32 - 1, 2**32 - 1)
    yield Bad("huge and empty", modules(maps=void), "multiply to at most", "maps")
    deep = tensor("FP64", b"12345678", *[1] * 100)
    yield Bad("too many axes", modules(maps=deep), "at most 16 axes", "maps")
    yield Bad("bytes missing", modules(maps=tensor("FP64", b"123", 1)), "takes 8", "maps")
    large = tensor("UINT8", bytes(2**20 + 1), 2**20 + 1)
    yield Bad("too large inside", modules(maps=large), "sent with PutArtifact", "maps")
    yield Bad("malformed operation", modules(maps=result("maps")), "operations/ID", "maps")
    gone = modules(maps=result("operations/gone"))
    yield Bad("unknown operation", gone, "'operations/gone' does not exist", "name", NOT_FOUND)


def bad_modules() -> Iterator[Bad]:
    yield Bad("no maps", analysis_service_pb2.ModulesRequest(k=1), "maps is missing", "maps")
    nothing = modules(maps=inline(np.zeros((0, 8, 8))))
    yield Bad("maps of nothing", nothing, r"maps of shape \[0, 8, 8\] hold no map", "maps")
    yield Bad("no k", modules(k=0), "k = 0 is not allowed; it is 1 to 4", "k")
    yield Bad("k too large", modules(k=5), "k = 5 is not allowed; it is 1 to 4", "k")
    yield Bad("flat maps", modules(maps=inline(MAPS[0])), r"of shape \(C, H, W\)", "maps")
    whole = modules(maps=inline(MAPS.astype(np.int64)))
    yield Bad("maps' type", whole, "INT64 of shape", "maps")
    yield Bad("even window", modules(window=4), "window = 4 is not allowed; it is an odd", "window")
    for value in (-1.0, 100.0, float("nan"), float("inf")):
        said = "between 0 and 100, both excluded"
        yield Bad(f"percentile {value}", modules(percentile=value), said, "percentile")
    yield Bad("seed twice", modules(seeds=[1, 1]), "at least one, all different", "seeds")


def bad_groupings() -> Iterator[Bad]:
    for value in (-0.1, 1.5, float("nan")):
        said = "min_purity = .* is not allowed; it is 0 to 1"
        yield Bad(f"purity {value}", modules(min_purity=value), said, "min_purity")
    pca = analysis_service_pb2.METHOD_PCA
    without = modules(method=pca)
    yield Bad("no products", without, "method pca needs products", "products")
    uneven = modules(method=pca, products=inline(np.eye(3)))
    yield Bad("products of others", uneven, r"shape \(4, 4\) is needed", "products")
    whole = modules(method=pca, products=inline(np.eye(4, dtype=np.int64)))
    yield Bad("products' type", whole, "INT64 of shape", "products")
    yield Bad("K of 1", stability(ks=[2, 1]), "k = 1 is not allowed; 2 to 4 is", "ks")
    yield Bad("K above", stability(ks=[5]), "k = 5 is not allowed; 2 to 4 is", "ks")
    twice = [analysis_service_pb2.METHOD_NMF, analysis_service_pb2.METHOD_NMF]
    yield Bad("method twice", stability(methods=twice), "at least one, all different", "methods")
    yield Bad("K twice", stability(ks=[2, 2]), "at least one, all different", "ks")
    yield Bad("method twice", stability(methods=[0, 1]), "at least one, all different", "methods")
    yield Bad("repeats", stability(repeats=1001), "at most 1000 are allowed", "repeats")
    yield Bad(
        "stability's window",
        stability(window=2),
        "window = 2 is not allowed; it is an odd",
        "window",
    )
    yield Bad("stability's maps", stability(maps=inline(MAPS[0])), r"\(C, H, W\)", "maps")
    lacking = stability(methods=[1, 4])
    yield Bad("stability's products", lacking, "method spectral needs products", "products")


def bad_magnitude() -> Iterator[Bad]:
    yield Bad("no such layer", magnitude(layers=["conv9"]), "'conv9' is not in model", "layer")
    twice = magnitude(layers=["deconv1", "intermediate"])
    yield Bad("layer twice", twice, "deconv1, deconv1 name one more than once", "layers")
    yield Bad("K of 7", magnitude(ks=[7]), "k = 7 is not allowed; 1 to 6 is", "ks")
    yield Bad("K of 0", magnitude(ks=[0]), "k = 0 is not allowed; 1 to 6 is", "ks")
    yield Bad("no pairs to measure", magnitude(pairs=pairs(count=0)), "1 to", "pairs.count")
    single = magnitude(pairs=latent_pairs(Z[:1], Z[:1]))
    yield Bad("one pair", single, "at least 2 are needed, one half", "pairs.originals")
    yield Bad(
        "magnitude's window",
        magnitude(window=2),
        "window = 2 is not allowed; it is an odd",
        "window",
    )
    none = influence(each_intervention=each_of())
    yield Bad("no intervention", none, "each_intervention holds none", "each_intervention")


def bad_hybrids() -> Iterator[Bad]:
    edits = "intervention.edits"
    yield Bad("no edit", hybridize(), "the intervention has no edit", edits)
    yield Bad("no target", hybridize(edit()), "no target; channels or a module", edits)
    beyond = hybridize(edit(channels=channels(9)))
    yield Bad("channel of hybrids", beyond, "channel 9 .* 0 to 5", "channels")
    unknown = hybridize(edit(layer="x", channels=channels(0)))
    yield Bad("layer of hybrids", unknown, "'x'", "layer")
    absent = hybridize(module(inline(LABELS), 7))
    yield Bad("empty module", absent, "module 7 .* channels are: 0", "module.index")
    nothing = hybridize(module(inline(LABELS - 1), 0))
    yield Bad("no modules at all", nothing, "channels are: none", "module.index")
    zero = hybridize(edit(channels=channels(0)), pairs=pairs(count=0))
    yield Bad("no hybrids", zero, "1 to 10000000", "pairs.count")
    many = hybridize(edit(channels=channels(0)), pairs=pairs(count=50_000))
    yield Bad("many hybrids", many, r"at most \d+ are .* fewer pairs", "pairs.count")


def bad_samples() -> Iterator[Bad]:
    yield Bad("no samples", generate(), "1 to 10000000", "samples.count")
    yield Bad("none", generate(samples=pairs(count=0)), "samples.count is 0", "samples.count")
    yield Bad("NaN samples", generate(latents=latents(nan_latents())), "nan", "latents[z]")
    encoded = originals(encoded=originals_pb2.Encoded())
    no = generate(model="models/toy-blocks", samples=encoded)
    yield Bad("no encodings", no, "no encodings of training images", "samples.originals")


def bad_operations() -> Iterator[Bad]:
    for kind in ("Get", "Cancel", "Delete", "Wait"):
        make = getattr(operations_pb2, f"{kind}OperationRequest")
        unknown = make(name="operations/nobody")
        yield Bad(f"{kind} unknown", unknown, "'operations/nobody' does not", "name", NOT_FOUND)
        for name in ("", "nobody", "operations/", "operations/a/b"):
            yield Bad(f"{kind} {name!r}", make(name=name), "operations/ID is needed", "name")
    listed = operations_pb2.ListOperationsRequest
    yield Bad("negative page", listed(page_size=-1), "0 to 100", "page_size")
    for token in ("x", "-1", "٣", "9" * 5000):
        yield Bad(f"page {token[:9]}", listed(page_token=token), "is unknown", "page_token")


BAD = [
    *bad_models(),
    *bad_influence(),
    *bad_until(),
    *bad_layers(),
    *bad_pairs(),
    *bad_stratified(),
    *bad_images(),
    *bad_arrays(),
    *bad_modules(),
    *bad_groupings(),
    *bad_magnitude(),
    *bad_hybrids(),
    *bad_samples(),
    *bad_operations(),
]


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_a_bad_request_is_refused_in_one_line(toy_server: Stubs, bad: Bad) -> None:
    told = refused(call_for(toy_server, bad.request))
    assert told.code is bad.code, told
    assert told.field == bad.field, told
    assert told.reason == ("NOT_FOUND" if bad.code is NOT_FOUND else "INVALID_INPUT")
    assert re.search(bad.message, told.message), told
    toy_server.goes_on()
