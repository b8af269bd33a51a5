"""Jobs and arrays are their owner's and an admin's, unless shared; for others they do not exist."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from access_toys import protected, stubs_of, tokens_of
from classifier_toys import looks_at
from graftscope import codec
from graftscope.server.access import METHODS, Role
from graftscope.server.inference import described
from graftscope.v1 import (
    analysis_service_pb2,
    artifact_service_pb2,
    intervention_pb2,
    originals_pb2,
    tensor_pb2,
    worth_pb2,
)
from request_toys import (
    LATENT,
    VAE,
    artifact,
    channels,
    each_of,
    edit,
    encode,
    generate,
    hybridize,
    influence,
    inline,
    module,
    modules,
    originals,
    pairs,
    result,
    stability,
)
from request_toys import image_pairs as images_given
from server_toys import TIMEOUT_S, Refusal, Stubs, call_for, metadata_of, refused

NOWHERE = "0" * 32
NOTHING = hashlib.sha256(b"nothing").hexdigest()
"""Of no array."""


@dataclass(frozen=True)
class Callers:
    """A server's callers, each with a token of their own."""

    alice: Stubs
    bob: Stubs
    reader: Stubs
    admin: Stubs


@pytest.fixture(scope="module")
def callers(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    state = tmp_path_factory.mktemp("state")
    roles = {"alice": Role.ANALYST, "bob": Role.ANALYST, "reader": Role.READER, "admin": Role.ADMIN}
    with tokens_of(state) as store:
        tokens = {name: store.create(name, role)[0] for name, role in roles.items()}
    with ExitStack() as stack:
        address = stack.enter_context(protected([toy_vae_bundle], state))
        channel = stack.enter_context(grpc.insecure_channel(address))
        yield Callers(**{x: stubs_of(address, channel, y, state) for x, y in tokens.items()})


@pytest.fixture(scope="module")
def hers(callers: Callers) -> operations_pb2.Operation:
    """A job of Alice's that is done."""
    return callers.alice.wait(callers.alice.analyses.Influence(influence(pairs=pairs(count=2))))


def maps_of(operation: operations_pb2.Operation) -> tensor_pb2.Array:
    response = analysis_service_pb2.InfluenceResponse()
    assert operation.response.Unpack(response)
    return response.maps


def listed(stubs: Stubs) -> list[str]:
    request = operations_pb2.ListOperationsRequest(name="operations", page_size=100)
    return [each.name for each in stubs.operations.ListOperations(request).operations]


def descriptor(path: str) -> MethodDescriptor:
    service, _, name = path.lstrip("/").partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def by_name() -> list[str]:
    """Every method whose request names an operation."""
    found = []
    for path in METHODS:
        service, _, name = path.lstrip("/").partition("/")
        # As served: the Open Inference Protocol is loaded under a name of its own.
        asked = described([service]).FindServiceByName(service).methods_by_name[name].input_type
        is_of_operation = "Operation" in asked.name and not asked.name.startswith("List")
        is_of_operation |= path.endswith("/PartialResult")
        if is_of_operation and "name" in asked.fields_by_name:
            found.append(path)
    return found


def ask(stubs: Stubs, path: str, name: str) -> Callable[[], Any]:
    """The call of a method about an operation."""
    service, _, method = path.lstrip("/").partition("/")
    method_of = descriptor(path)
    request = message_factory.GetMessageClass(method_of.input_type)(name=name)
    of = stubs.analyses if service.endswith("AnalysisService") else stubs.operations
    call = partial(getattr(of, method), request, timeout=TIMEOUT_S)
    return (lambda: list(call())) if method_of.server_streaming else call


def told_of(refusal: Refusal, named: str) -> Refusal:
    """A refusal without what was named."""
    return replace(refusal, message=refusal.message.replace(named, "IT"))


def test_every_method_about_an_operation_is_looked_at() -> None:
    names = {path.rpartition("/")[2].removesuffix("Operation") for path in by_name()}
    assert names == {"Get", "Cancel", "Delete", "Wait", "Watch", "Share", "PartialResult"}


@pytest.mark.parametrize("path", by_name())
def test_another_ones_job_does_not_exist(
    path: str, callers: Callers, hers: operations_pb2.Operation
) -> None:
    nowhere = f"operations/{NOWHERE}"
    unknown = told_of(refused(ask(callers.bob, path, nowhere)), nowhere)
    found = told_of(refused(ask(callers.bob, path, hers.name)), hers.name)
    assert found == unknown
    assert found.code is grpc.StatusCode.NOT_FOUND
    # It is as it was.
    now = callers.alice.wait(hers)
    assert now.response == hers.response
    assert not metadata_of(now).shared


def test_a_job_is_listed_for_its_owner_and_for_admins(
    callers: Callers, hers: operations_pb2.Operation
) -> None:
    assert hers.name in listed(callers.alice)
    assert hers.name in listed(callers.admin)
    assert hers.name not in listed(callers.bob)
    assert hers.name not in listed(callers.reader)
    assert metadata_of(hers).owner == "alice"
    assert callers.admin.wait(hers).response == hers.response


def test_the_same_question_of_two_owners_is_two_jobs(
    callers: Callers, hers: operations_pb2.Operation
) -> None:
    again = callers.alice.analyses.Influence(influence(pairs=pairs(count=2)))
    assert again.name == hers.name
    his = callers.bob.wait(callers.bob.analyses.Influence(influence(pairs=pairs(count=2))))
    assert his.name != hers.name
    assert metadata_of(his).identity == metadata_of(hers).identity
    # The same bits are the same artifact, which is now his as well.
    assert maps_of(his) == maps_of(hers)
    np.testing.assert_array_equal(callers.bob.read(maps_of(his)), callers.alice.read(maps_of(hers)))


def test_a_request_id_is_its_owners(callers: Callers) -> None:
    mine = influence(pairs=pairs(count=3), request_id="the-same")
    his = influence(pairs=pairs(count=4), request_id="the-same")
    first = callers.alice.analyses.Influence(mine)
    assert callers.bob.analyses.Influence(his).name != first.name
    assert callers.alice.analyses.Influence(mine).name == first.name


def test_a_shared_job_is_seen_by_all_and_changed_by_its_owner(callers: Callers) -> None:
    alice, bob = callers.alice, callers.bob
    job = alice.wait(alice.analyses.Influence(influence(pairs=pairs(count=5))))
    maps = maps_of(job)
    assert refused(partial(bob.read, maps)).code is grpc.StatusCode.NOT_FOUND
    share = analysis_service_pb2.ShareOperationRequest(name=job.name)
    assert metadata_of(alice.analyses.ShareOperation(share)).shared
    for who in (bob, callers.reader):
        assert who.wait(job).response == job.response
        assert job.name in listed(who)
        np.testing.assert_array_equal(who.read(maps), alice.read(maps))
    his = bob.wait(bob.analyses.Modules(modules(maps=result(job.name))))
    assert not his.HasField("error")
    for path in by_name():
        if path.rpartition("/")[2] in ("CancelOperation", "DeleteOperation", "ShareOperation"):
            told = refused(ask(bob, path, job.name))
            assert told.code is grpc.StatusCode.PERMISSION_DENIED
            assert "is another's, who shares it" in told.message
    back = analysis_service_pb2.ShareOperationRequest(name=job.name, private=True)
    assert not metadata_of(alice.analyses.ShareOperation(back)).shared
    assert job.name not in listed(bob)
    # What he computed from it stays his, and names the array.
    assert bob.read(maps) is not None
    assert refused(partial(callers.reader.read, maps)).code is grpc.StatusCode.NOT_FOUND


def test_modules_so_far_of_another_ones_job_are_those_of_a_job_that_is_not_there(
    callers: Callers, hers: operations_pb2.Operation
) -> None:
    def watched(name: str) -> Refusal:
        request = analysis_service_pb2.WatchOperationRequest(name=name, partial_maps=True)
        # Wrong of any job, which only whoever may see it is told.
        request.partial_modules.k = 1_000
        return refused(lambda: list(callers.bob.analyses.WatchOperation(request)))

    nowhere = "operations/" + "0" * 32
    told = watched(hers.name)
    assert told.code is grpc.StatusCode.NOT_FOUND
    assert told_of(told, hers.name) == told_of(watched(nowhere), nowhere)


def test_an_admin_may_end_and_share_anybodys_job(callers: Callers) -> None:
    job = callers.alice.wait(callers.alice.analyses.Influence(influence(pairs=pairs(count=6))))
    share = analysis_service_pb2.ShareOperationRequest(name=job.name)
    assert metadata_of(callers.admin.analyses.ShareOperation(share)).owner == "alice"
    callers.admin.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name=job.name))
    assert job.name not in listed(callers.alice)


def test_a_running_job_is_shared_while_it_runs(callers: Callers) -> None:
    job = callers.alice.analyses.Influence(influence(pairs=pairs(count=1_000_000)))
    share = analysis_service_pb2.ShareOperationRequest(name=job.name)
    callers.alice.analyses.ShareOperation(share)
    watch = analysis_service_pb2.WatchOperationRequest(name=job.name)
    stream = callers.bob.analyses.WatchOperation(watch, timeout=TIMEOUT_S)
    first = next(stream).operation
    assert metadata_of(first).shared
    stop = operations_pb2.CancelOperationRequest(name=job.name)
    callers.alice.operations.CancelOperation(stop)
    *_, last = stream
    assert last.operation.done


def digest(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(bytes(codec.encode(array)[1])).hexdigest()


def naming(
    image: Any,
    images: Any,
    z: Any,
    labels: Any,
    maps: Any,
    products: Any,
    values: Any,
    mask: Any,
    group_products: Any,
    photographs: Any,
    individual: Any,
    templates: Any,
    region: Any,
    network: Any,
    **groups: Any,
) -> list[Any]:
    """Requests that name arrays in every place where one can be named."""
    given = originals_pb2.Latents(inputs={"z": z})
    both = originals_pb2.LatentPairs(latents1=given, latents2=given)
    chosen = channels(0)
    swap = intervention_pb2.Swap(latents=given)
    edits = [
        module(labels, 0),
        edit(channels=chosen, swap=swap),
        edit(channels=chosen, swap=intervention_pb2.Swap(image=image)),
        edit(channels=chosen, constant=intervention_pb2.Constant(array=values)),
        edit(channels=chosen, add=intervention_pb2.Add(array=values)),
        edit(channels=chosen, mask=intervention_pb2.Mask(array=mask)),
    ]
    pca = {"products": products}
    own = {"labels": inline(ARRAYS["labels"]), "features": ENCODER}
    of_products = {**_GROUPS, "group_products": group_products, "products": _PRODUCTS}
    return [
        encode(images),
        generate(latents=given),
        generate(samples=originals(images=originals_pb2.Images(images=images))),
        generate(samples=images_given(images, images)),
        generate(samples=originals(latents=both)),
        generate(samples=pairs(fix=given)),
        *(hybridize(each) for each in edits),
        *(influence(each_intervention=each_of([each]), pairs=pairs(count=2)) for each in edits),
        influence(each_module=labels, pairs=pairs(count=2)),
        influence(pairs=originals(latents=both)),
        influence(pairs=originals(images=originals_pb2.Images(images=images))),
        modules(maps=maps),
        *(
            modules(maps=inline(ARRAYS["maps"]), **{**_GROUPS, name: groups[name]})
            for name in groups
        ),
        modules(maps=maps, method=analysis_service_pb2.METHOD_PCA, **pca),
        modules(maps=_MAPS, method=analysis_service_pb2.METHOD_PCA, **of_products),
        stability(maps=maps, methods=[analysis_service_pb2.METHOD_PCA], ks=[2], **pca),
        worth(worth_pb2.FaithfulnessRequest, labels=labels, features=ENCODER),
        worth(worth_pb2.FaithfulnessRequest, **own, data=photographs),
        worth(worth_pb2.FaithfulnessRequest, **own, individual=individual),
        worth(worth_pb2.FaithfulnessRequest, **own, templates=templates),
        worth(worth_pb2.IndependenceRequest, labels=labels, features=ENCODER),
        worth(worth_pb2.IndependenceRequest, **own, templates=templates),
        worth_pb2.ReachRequest(model=VAE, region=region, pairs=pairs(count=64)),
        worth(worth_pb2.ProbeRequest, labels=labels, classifiers=[_LOOKING]),
        worth(
            worth_pb2.ProbeRequest,
            labels=own["labels"],
            classifiers=[worth_pb2.ImageNetwork(file=network)],
        ),
    ]


ENCODER = worth_pb2.ImageNetwork(name="encoder")


def worth(kind: type[Message], **said: Any) -> Message:
    """A request about the modules of the layer whose arrays these are."""
    return kind(model=VAE, layer="intermediate", pairs=pairs(count=64), **said)


ARRAY = tensor_pb2.Array.DESCRIPTOR


def places(message: Descriptor, seen: set[str] | None = None) -> set[str]:
    """Fields in which a message, or one inside it, names an array."""
    seen = set() if seen is None else seen
    found = set()
    for field in message.fields:
        if field.message_type is ARRAY:
            found.add(field.full_name)
        elif field.message_type is not None and field.message_type.full_name not in seen:
            seen.add(field.message_type.full_name)
            found |= places(field.message_type, seen)
    return found


def places_in(message: Message) -> set[str]:
    """Those of them that are filled in."""
    found = set()
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inside = field.message_type.fields_by_name["value"]
            held = [(inside, each) for each in value.values()]
        else:
            held = [(field, each) for each in (value if field.is_repeated else [value])]
        for at, each in held:
            found |= {at.full_name} if at.message_type is ARRAY else places_in(each)
    return found


ARRAYS: dict[str, NDArray[np.generic]] = {
    "image": np.zeros((1, 16, 16, 3), np.uint8),
    "images": np.zeros((2, 16, 16, 3), np.uint8),
    "z": np.full((1, LATENT), 0.25, np.float32),
    "labels": np.array([0, 0, 1, 1, -1, 0]),
    "maps": np.random.default_rng(0).random((6, 8, 8)),
    "products": np.eye(6),
    "values": np.full((6,), 0.5, np.float32),
    "mask": np.ones((4, 4), bool),
    "group_maps": np.zeros((4, 6, 8, 8), np.float16),
    "group_pairs": np.full((4, 6), 32),
    "group_units": np.ones(6),
    "group_products": np.zeros((4, 6, 6), np.float32),
    "photographs": np.arange(64 * 16 * 16 * 3).reshape(64, 16, 16, 3).astype(np.uint8),
    "individual": np.arange(1.0, 7.0),
    "templates": np.random.default_rng(1).random((2, 8, 8)),
    "region": np.eye(16),
    "network": np.frombuffer(looks_at([(0, 8)]), np.uint8),
}


_LOOKING = worth_pb2.ImageNetwork(file=inline(ARRAYS["network"]))
_MAPS, _PRODUCTS = inline(ARRAYS["maps"]), inline(ARRAYS["products"])
_GROUPS = {name: inline(ARRAYS[name]) for name in ("group_maps", "group_pairs", "group_units")}
"""What whoever asks has themselves."""


def test_a_guessed_sha256_gives_nothing_wherever_it_is_named(callers: Callers) -> None:
    stored = {name: callers.alice.put(array) for name, array in ARRAYS.items()}
    absent = {
        name: artifact(NOTHING, each.artifact.datatype, *each.artifact.shape)
        for name, each in stored.items()
    }
    named = naming(**stored)
    services = ("ModelService", "AnalysisService")
    asked = [x for x in METHODS if x.split("/")[1].removeprefix("graftscope.v1.") in services]
    inputs = [descriptor(path).input_type for path in asked]
    assert set().union(*map(places_in, named)) == set().union(*map(places, inputs))
    for guessed, unknown in zip(named, naming(**absent), strict=True):
        told, nothing = (refused(call_for(callers.bob, x)) for x in (guessed, unknown))
        assert told.code is nothing.code is grpc.StatusCode.NOT_FOUND, guessed
        assert told.field == nothing.field
        assert re.sub("[0-9a-f]{64}", "IT", told.message) == nothing.message.replace(NOTHING, "IT")
        # Whose it is, is let further.
        assert call_for(callers.alice, guessed)()


def test_a_guessed_sha256_cannot_be_read(callers: Callers) -> None:
    job = callers.alice.wait(callers.alice.analyses.Influence(influence(pairs=pairs(count=7))))

    def told(sha256: str, offset: int) -> Refusal:
        request = artifact_service_pb2.ReadArtifactRequest(sha256=sha256, offset=offset)
        refusal = refused(lambda: list(callers.bob.artifacts.ReadArtifact(request)))
        return told_of(refusal, sha256)

    for array in (maps_of(job), callers.alice.put(np.arange(7.0))):
        for offset in (0, 8, 10**9):
            assert told(array.artifact.sha256, offset) == told(NOTHING, offset)
        assert callers.admin.read(array) is not None


def test_whoever_sends_the_same_bytes_may_read_them(callers: Callers) -> None:
    array = np.arange(11.0)
    stored = callers.alice.put(array)
    assert refused(partial(callers.bob.read, stored)).code is grpc.StatusCode.NOT_FOUND
    assert callers.bob.put(array) == stored
    np.testing.assert_array_equal(callers.bob.read(stored), array)


def test_another_ones_result_cannot_be_named(
    callers: Callers, hers: operations_pb2.Operation
) -> None:
    for request in (modules(maps=result(hers.name)), stability(maps=result(hers.name))):
        told = refused(call_for(callers.bob, request))
        assert told.code is grpc.StatusCode.NOT_FOUND
        assert "does not exist" in told.message


def test_a_large_reply_is_its_callers(callers: Callers) -> None:
    reply = callers.alice.models.Generate(generate(samples=pairs(count=400, seed=5)))
    assert reply.images.WhichOneof("source") == "artifact"
    assert callers.alice.read(reply.images).shape[0] == 400
    assert refused(partial(callers.bob.read, reply.images)).code is grpc.StatusCode.NOT_FOUND


def test_what_is_only_written_into_a_job_gives_nothing(callers: Callers) -> None:
    """A sha256 as a text inside somebody's own job is no array of it."""
    secret = callers.alice.put(np.arange(13.0))
    sha256 = secret.artifact.sha256
    his = influence(pairs=pairs(count=2, seed=77), request_id=sha256)
    callers.bob.wait(callers.bob.analyses.Influence(his))
    assert refused(partial(callers.bob.read, secret)).code is grpc.StatusCode.NOT_FOUND


def test_a_reader_runs_nothing_and_makes_samples(callers: Callers) -> None:
    told = refused(call_for(callers.reader, influence()))
    assert told.code is grpc.StatusCode.PERMISSION_DENIED
    assert callers.reader.models.Generate(generate(samples=pairs(count=1))).images
    assert digest(callers.reader.read(callers.reader.put(np.arange(3.0)))) == digest(np.arange(3.0))


def test_a_stream_ends_with_the_token_that_opened_it(callers: Callers) -> None:
    state = callers.alice.state
    with tokens_of(state) as store:
        text, _ = store.create("carol", Role.ANALYST)
        carol = stubs_of(callers.alice.address, callers.alice.channel, text, state)
        endless = carol.analyses.Influence(influence(pairs=pairs(count=1_000_000)))
        watch = analysis_service_pb2.WatchOperationRequest(name=endless.name)
        stream = carol.analyses.WatchOperation(watch, timeout=TIMEOUT_S)
        next(stream)
        store.revoke("carol")
    assert refused(lambda: list(stream)).reason == "REVOKED_TOKEN"
    stop = operations_pb2.CancelOperationRequest(name=endless.name)
    callers.admin.operations.CancelOperation(stop)
