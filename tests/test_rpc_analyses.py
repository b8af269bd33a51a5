"""Influence and modules over the wire; how arrays get there makes no difference to the numbers."""

import grpc
import numpy as np
import pytest

from graftscope.v1 import analysis_service_pb2, originals_pb2
from request_toys import (
    CHANNELS,
    IMAGES,
    LATENT,
    SIDE,
    channels,
    drawn,
    edit,
    generate,
    hybridize,
    image_pairs,
    influence,
    inline,
    latent_pairs,
    modules,
    originals,
    pairs,
    result,
)
from server_toys import Stubs, influence_of, metadata_of, refused

RANDOM = np.random.default_rng(0)
PHOTOGRAPHS = RANDOM.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
# Float32 images, averaged in another order.
TOLERANCE = 1e-5


def maps(server: Stubs, **fields: object) -> analysis_service_pb2.InfluenceResponse:
    return influence_of(server.wait(server.analyses.Influence(influence(**fields))))


def z(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal((count, LATENT)).astype(np.float32)


def test_maps_are_the_mean_change_of_hybrids(toy_server: Stubs) -> None:
    z1, z2 = z(5), z(5)
    found = toy_server.numbers(maps(toy_server, pairs=latent_pairs(z1, z2)).maps)
    for channel in range(CHANNELS):
        request = hybridize(edit(channels=channels(channel)), pairs=latent_pairs(z1, z2))
        reply = toy_server.models.Hybridize(request)
        hybrid, original1 = toy_server.numbers(reply.hybrid), toy_server.numbers(reply.original1)
        change = np.abs(hybrid - original1)
        np.testing.assert_allclose(found[channel], change.mean(axis=(0, 1)), atol=TOLERANCE)


def test_latents_larger_than_a_message_are_those_that_are_used(toy_server: Stubs) -> None:
    # 5 MiB a side; only the last two pairs are computed.
    count = 5 * 2**20 // (4 * LATENT)
    z1, z2 = z(count), z(count)
    sent = [originals_pb2.Latents(inputs={"z": toy_server.put(side)}) for side in (z1, z2)]
    given = originals(latents=originals_pb2.LatentPairs(latents1=sent[0], latents2=sent[1]))
    given.first = count - 2
    large = maps(toy_server, pairs=given)
    small = maps(toy_server, pairs=latent_pairs(z1[-2:], z2[-2:]))
    assert large.pairs == small.pairs == 2
    assert large.maps == small.maps
    assert large.originals == "latents"


def test_several_layers_have_the_maps_of_each(toy_server: Stubs) -> None:
    named = analysis_service_pb2.Layers(layers=["fine", "deconv1"])
    operation = toy_server.wait(
        toy_server.analyses.Influence(influence(layer="", each_layer=named))
    )
    found, told = influence_of(operation), metadata_of(operation)
    assert list(found.layers) == list(told.influence.each_layer.layers) == ["deconv2", "deconv1"]
    assert found.layer == told.influence.layer == ""
    everything, layer_of = toy_server.numbers(found.maps), toy_server.read(found.layer_of)
    of_channels = toy_server.read(found.channels)
    for i, name in enumerate(found.layers):
        alone = maps(toy_server, layer=name)
        np.testing.assert_allclose(
            everything[layer_of == i], toy_server.numbers(alone.maps), rtol=0, atol=TOLERANCE
        )
        np.testing.assert_array_equal(of_channels[layer_of == i], toy_server.read(alone.channels))
    sizes = [
        toy_server.read(array).nbytes
        for array in (
            found.maps,
            found.stderr,
            found.individual,
            found.individual_stderr,
            found.channels,
            found.layer_of,
            found.group_maps,
            found.group_pairs,
            found.group_units,
        )
    ]
    assert told.estimate.result_bytes == sum(sizes)
    assert toy_server.analyses.Influence(told.influence).name == operation.name


def test_several_layers_stop_together(toy_server: Stubs) -> None:
    named = analysis_service_pb2.Layers(layers=["fine", "deconv1"])
    rule = analysis_service_pb2.StoppingRule(relative_standard_error=0.9)
    many = pairs(count=2000, seed=1)
    found = maps(toy_server, layer="", each_layer=named, until=rule, pairs=many)
    alone = [maps(toy_server, layer=x, until=rule, pairs=many).pairs for x in named.layers]
    assert found.pairs == max(alone)


def test_a_stopping_rule_ends_a_job_and_says_so(toy_server: Stubs) -> None:
    rule = analysis_service_pb2.StoppingRule(relative_standard_error=0.9)
    found = maps(toy_server, until=rule, pairs=pairs(count=2000, seed=1))
    assert found.pairs < found.stopping.max_pairs == 2000
    assert found.stopping.met
    assert found.pairs % 32 == 0
    individual, stderr = map(toy_server.numbers, (found.individual, found.individual_stderr))
    errors = stderr[individual > 0] / individual[individual > 0]
    np.testing.assert_allclose(found.stopping.relative_standard_error, errors.max(), rtol=1e-12)
    plain = maps(toy_server, pairs=pairs(count=found.pairs, seed=1))
    # The plans of two jobs are chosen by measurements, so their last bits may differ.
    of_rule, of_all = map(toy_server.numbers, (found.maps, plain.maps))
    np.testing.assert_allclose(of_rule, of_all, rtol=0, atol=TOLERANCE)
    assert not plain.HasField("stopping")


def test_the_metadata_repeat_a_stopping_rule_with_what_was_left_open(toy_server: Stubs) -> None:
    labels = analysis_service_pb2.StableLabels(seed=7)
    rule = analysis_service_pb2.StoppingRule(stable_labels=labels)
    request = influence(until=rule, pairs=pairs(count=256, seed=1))
    operation = toy_server.wait(toy_server.analyses.Influence(request))
    told = metadata_of(operation).influence
    assert told.until.stable_labels == analysis_service_pb2.StableLabels(
        k=3, method=analysis_service_pb2.METHOD_NMF, seed=7, window=3, percentile=75.0
    )
    assert toy_server.analyses.Influence(told).name == operation.name
    progress = metadata_of(operation).progress
    assert progress.shards_done * 32 == influence_of(operation).pairs
    assert progress.shards_total == 256 // 32


def test_the_same_latents_are_the_same_specification_however_they_are_sent(
    toy_server: Stubs,
) -> None:
    z1, z2 = z(3), z(3)
    by_value = toy_server.analyses.Influence(influence(pairs=latent_pairs(z1, z2)))
    named = latent_pairs(z1, z2)
    for side in (named.originals.latents.latents1, named.originals.latents.latents2):
        side.inputs["z"].CopyFrom(toy_server.put(toy_server.read(side.inputs["z"])))
    # Seed and count are ignored where both originals are given.
    named.seed, named.count = 7, 1000
    assert toy_server.analyses.Influence(influence(pairs=named)).name == by_value.name


def test_maps_of_modules_are_those_of_their_channels_together(toy_server: Stubs) -> None:
    labels = np.array([2, -1, 0, 2, 0, -1])
    given = latent_pairs(z(5), z(5))
    found = maps(toy_server, each_module=inline(labels), pairs=given)
    np.testing.assert_array_equal(toy_server.numbers(found.channels), [0, 2])
    for row, members in zip(toy_server.numbers(found.maps), ([2, 4], [0, 3]), strict=True):
        request = hybridize(edit(channels=channels(*members)), pairs=given)
        reply = toy_server.models.Hybridize(request)
        hybrid, original1 = toy_server.numbers(reply.hybrid), toy_server.numbers(reply.original1)
        change = np.abs(hybrid - original1)
        np.testing.assert_allclose(row, change.mean(axis=(0, 1)), atol=TOLERANCE)


def test_maps_come_in_the_order_of_the_channels_that_were_asked_for(toy_server: Stubs) -> None:
    everything = toy_server.numbers(maps(toy_server).maps)
    some = maps(toy_server, each_channel=channels(4, 1))
    np.testing.assert_array_equal(toy_server.numbers(some.channels), [4, 1])
    np.testing.assert_allclose(toy_server.numbers(some.maps), everything[[4, 1]], atol=TOLERANCE)


def test_pairs_of_a_seed_do_not_depend_on_the_range_asked_for(toy_server: Stubs) -> None:
    halves = [maps(toy_server, pairs=pairs(count=20, first=first, seed=3)) for first in (0, 20)]
    whole = maps(toy_server, pairs=pairs(count=40, seed=3))
    mean = np.mean([toy_server.numbers(half.maps) for half in halves], axis=0)
    np.testing.assert_allclose(toy_server.numbers(whole.maps), mean, atol=TOLERANCE)


def test_the_last_pair_that_there_can_be_is_a_pair(toy_server: Stubs) -> None:
    last = maps(toy_server, pairs=pairs(count=3, first=2**32 - 1, seed=2**32 - 1))
    assert last.pairs == 3
    assert np.isfinite(toy_server.numbers(last.maps)).all()


def test_real_images_are_drawn_or_paired_and_counted(toy_server: Stubs) -> None:
    many = maps(toy_server, pairs=drawn(inline(PHOTOGRAPHS)))
    assert (many.originals, many.distinct_images) == ("images", min(4, many.distinct_images))
    few = maps(toy_server, pairs=image_pairs(inline(PHOTOGRAPHS[:2]), inline(PHOTOGRAPHS[[0, 2]])))
    assert (few.originals, few.pairs, few.distinct_images) == ("image_pairs", 2, 3)
    same = maps(toy_server, pairs=image_pairs(inline(IMAGES), inline(IMAGES)))
    assert not toy_server.numbers(same.maps).any()
    assert same.distinct_images == 1


@pytest.mark.parametrize(
    ("model", "kind"), [("toy-vae", "encoded"), ("toy-blocks", "prior"), ("toy-skip", "prior")]
)
def test_originals_are_encoded_where_there_is_an_encoder(
    toy_server: Stubs, model: str, kind: str
) -> None:
    assert maps(toy_server, model=f"models/{model}", layer="fc").originals == kind


def test_maps_are_averaged_to_the_size_asked_for(toy_server: Stubs) -> None:
    whole, half = (
        toy_server.numbers(maps(toy_server, map_size=size).maps) for size in (SIDE, SIDE // 2)
    )
    blocks = whole.reshape(CHANNELS, SIDE // 2, 2, SIDE // 2, 2)
    np.testing.assert_allclose(half, blocks.mean(axis=(2, 4)), atol=TOLERANCE)


def test_modules_of_a_generator_with_known_ones_are_found(toy_server: Stubs) -> None:
    blocks = influence(model="models/toy-blocks", layer="fc")
    influences = toy_server.wait(toy_server.analyses.Influence(blocks))
    request = modules(maps=result(influences.name), k=2, seeds=[0, 1, 2])
    ended = toy_server.wait(toy_server.analyses.Modules(request))
    response = analysis_service_pb2.ModulesResponse()
    assert ended.response.Unpack(response), ended.error
    labels = toy_server.numbers(response.labels).astype(np.int64)
    assert labels[0] == labels[1] != labels[2] == labels[3]
    left, right = np.split(toy_server.numbers(response.templates), 2, axis=2)
    assert left[labels[0]].any()
    assert not right[labels[0]].any()
    assert not left[labels[2]].any()
    assert right[labels[2]].any()
    assert (response.seeds_agreeing, response.method) == (3, 1)
    np.testing.assert_array_equal(toy_server.numbers(response.seed_labels), [labels] * 3)
    np.testing.assert_array_equal(toy_server.numbers(response.agreement), [1.0] * 3)
    assert toy_server.numbers(response.weights).shape == (4, 2)
    assert toy_server.numbers(response.purity).shape == (4,)
    assert toy_server.numbers(response.cosine).shape == (3,)
    assert toy_server.numbers(response.seed_templates).shape == (3, 2, 4, 8)


def test_a_result_that_is_not_there_is_refused(toy_server: Stubs) -> None:
    done = toy_server.wait(toy_server.analyses.Influence(influence()))
    told = refused(lambda: toy_server.analyses.Modules(modules(maps=result(done.name, "mops"))))
    assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, "maps")
    assert "has no array 'mops'; it has: maps, stderr, individual" in told.message
    failed = toy_server.wait(toy_server.analyses.Modules(modules()))
    told = refused(lambda: toy_server.analyses.Modules(modules(maps=result(failed.name))))
    assert told.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (told.reason, told.field) == ("OPERATION_NOT_DONE", "maps")
    assert "is failed, so it has no result" in told.message


def test_a_result_whose_file_is_gone_is_refused(toy_server: Stubs) -> None:
    done = toy_server.wait(toy_server.analyses.Influence(influence(pairs=latent_pairs(z(2), z(2)))))
    (toy_server.state / "artifacts" / influence_of(done).maps.artifact.sha256).unlink()
    told = refused(lambda: toy_server.analyses.Modules(modules(maps=result(done.name))))
    assert (told.code, told.field) == (grpc.StatusCode.NOT_FOUND, "maps")


def test_samples_that_were_generated_are_originals_again(toy_server: Stubs) -> None:
    reply = toy_server.models.Generate(generate(samples=pairs(count=3, seed=5)))
    again = toy_server.models.Generate(generate(latents=reply.latents))
    assert again.images == reply.images


@pytest.mark.parametrize("kind", ["channels", "modules"])
def test_the_specification_in_an_operations_metadata_asks_for_the_same_job(
    toy_server: Stubs, kind: str
) -> None:
    labels = np.array([1, -1, 0, 1, 0, -1])
    subject = {"each_channel": channels(2, 0)}
    chosen = subject if kind == "channels" else {"each_module": inline(labels)}
    operation = toy_server.analyses.Influence(influence(**chosen))
    told = analysis_service_pb2.AnalysisMetadata()
    operation.metadata.Unpack(told)
    assert toy_server.analyses.Influence(told.influence).name == operation.name
