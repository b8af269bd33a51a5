"""What travels to the nodes of a cluster, and what they make of it; Ray is not needed for that."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import cast

import numpy as np
import pytest

from executor_toys import PAIRS, channels_of, generator_of
from graftscope.bundle import read_bundle
from graftscope.server.analysis import Gaussian
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ConstrainedPairs,
    Device,
    EncodedPairs,
    Generator,
    Plan,
    PriorPairs,
    Subject,
    shard_effects,
)
from graftscope.server.errors import (
    Cancelled,
    ClusterUnavailable,
    Corrupt,
    DeviceUnavailable,
    InvalidInput,
)
from graftscope.server.executors.cluster import Where, cluster_of
from graftscope.server.executors.cluster._bundles import BundleCache, Files, files_of
from graftscope.server.executors.cluster._facts import facts_here, require_equal
from graftscope.server.executors.cluster._node import Node, Sent
from graftscope.server.executors.cluster._travel import packed, unpacked


@pytest.fixture
def generator(toy_vae_bundle: Path) -> Generator:
    return generator_of(toy_vae_bundle)


def node(cache: Path, fetch: Callable[[object], object] = lambda held: held) -> Node:
    return Node(Device.CPU, 16, cache, fetch)


def test_a_node_gives_the_bits_of_this_process(generator: Generator, tmp_path: Path) -> None:
    subject = channels_of(generator)
    size = generator.manifest.inputs[0].shape[0]
    encodings = Gaussian.of(np.arange(float(size)), np.eye(size))
    source = ConstrainedPairs(EncodedPairs(generator, 3, encodings, True), generator, 3)
    plan, rows = subject.plan(), np.array([1, 2])
    known = shard_effects(subject.only(rows), plan, source, PAIRS, Cancellation())
    work: Sent[bytes] = Sent("work", [packed((subject, source, plan))])
    bundle: Sent[Files] = Sent("bundle", [files_of(generator.folder)])
    told, found = node(tmp_path).shard("call", work, bundle, rows, PAIRS, ())
    assert told.error is None
    assert found is not None
    assert found.moments.mean.tobytes() == known.moments.mean.tobytes()
    assert found.moments.m2.tobytes() == known.moments.m2.tobytes()
    assert found.pixel_means.tobytes() == known.pixel_means.tobytes()


def test_generators_travel_as_their_digests(generator: Generator) -> None:
    data = packed((channels_of(generator), PriorPairs(generator, 7)))
    assert len(data) < 10_000
    asked: list[str] = []

    def find(digest: str) -> Generator:
        asked.append(digest)
        return generator

    subject, source = cast(tuple[Subject, PriorPairs], unpacked(data, find))
    assert set(asked) == {generator.manifest.digest}
    assert subject.generator is source.generator is generator


def test_what_jobs_have_in_common_is_fetched_once(generator: Generator, tmp_path: Path) -> None:
    subject = channels_of(generator)
    source, plan = PriorPairs(generator, 0), subject.plan()
    fetched: list[str] = []
    values = {"work": packed((subject, source, plan)), "bundle": files_of(generator.folder)}

    def fetch(held: object) -> object:
        fetched.append(str(held))
        return values[str(held)]

    work: Sent[bytes] = Sent("work", ["work"])
    bundle: Sent[Files] = Sent("bundle", ["bundle"])
    for _ in range(2):
        actor = node(tmp_path, fetch)
        for first in (0, SHARD_PAIRS):
            pairs = range(first, first + SHARD_PAIRS)
            told, _effects = actor.shard("call", work, bundle, None, pairs, ())
            assert told.error is None
    assert fetched == ["work", "bundle", "work"], "two actors of a node fetch a bundle once"


def test_a_damaged_bundle_is_fetched_again(toy_vae_bundle: Path, tmp_path: Path) -> None:
    bundle, cache = read_bundle(toy_vae_bundle), BundleCache(tmp_path / "cache")
    digest = bundle.manifest.digest
    held = cache.open(digest, lambda: files_of(bundle))
    held.file(bundle.manifest.generator).write_bytes(b"something else")
    again = cache.open(digest, lambda: files_of(bundle))
    assert again.manifest.digest == digest
    held.file(bundle.manifest.generator).write_bytes(b"something else")
    with pytest.raises(Corrupt, match="has digest"):
        cache.open("another", lambda: files_of(bundle))


def test_a_call_that_is_cancelled_before_it_comes_is_not_made(tmp_path: Path) -> None:
    actor = node(tmp_path)
    actor.cancel("call")
    told, value = actor.run("call", Sent("abs", [abs]), (-1,))
    assert isinstance(told.error, Cancelled)
    assert value is None
    assert actor.run("another", Sent("abs", [abs]), (-1,))[1] == 1


def test_a_call_that_goes_on_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    from time import sleep

    actor, ended = node(tmp_path), []
    thread = Thread(target=lambda: ended.append(actor.run("call", Sent("s", [sleep]), (600,))))
    thread.start()
    while not actor._calls:
        thread.join(0.01)
    actor.cancel("call")
    thread.join(60)
    ((told, _),) = ended
    assert isinstance(told.error, Cancelled)


def test_a_node_says_what_it_cannot_run(generator: Generator, tmp_path: Path) -> None:
    subject = channels_of(generator)
    plan = replace(subject.plan(), provider="CUDAExecutionProvider")
    told = _error_of(subject, plan, generator, tmp_path)
    assert isinstance(told, DeviceUnavailable)
    assert facts_here().host in str(told)


def test_an_error_that_cannot_be_sent_is_told(tmp_path: Path) -> None:
    told, _ = node(tmp_path).run("call", Sent("x", [_strange]), ())
    assert str(told.error) == "Strange: one two"
    pickle.loads(pickle.dumps(told))


class Strange(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def _strange() -> None:
    raise Strange("one", "two")


def _error_of(subject: Subject, plan: Plan, generator: Generator, cache: Path) -> Exception | None:
    work: Sent[bytes] = Sent("work", [packed((subject, PriorPairs(generator, 0), plan))])
    bundle: Sent[Files] = Sent("bundle", [files_of(generator.folder)])
    told, _ = node(cache).shard("call", work, bundle, None, PAIRS, ())
    return told.error


def test_another_version_on_a_node_is_refused_by_name() -> None:
    ours = facts_here()
    require_equal(replace(ours, host="node7", processor="another"), ours)
    theirs = replace(ours, host="node7", numpy="1.0", code="0123")
    with pytest.raises(ClusterUnavailable, match=r"'node7' .* code 0123 .* numpy 1\.0 \(here"):
        require_equal(theirs, ours)


@pytest.mark.parametrize(
    ("executor", "where"),
    [
        ("local", None),
        ("ray", Where()),
        ("ray://head.example:6379", Where("head.example", 6379)),
        ("ray://[::1]:6379", Where("::1", 6379)),
    ],
)
def test_an_executor_is_named(executor: str, where: Where | None) -> None:
    assert cluster_of(executor) == where


@pytest.mark.parametrize("executor", ["Ray", "ray://", "ray://head", "ray://head:0", "ray://a:1:2"])
def test_what_names_no_executor_is_refused(executor: str) -> None:
    with pytest.raises(InvalidInput, match="it must be local, ray or ray://HOST:PORT"):
        cluster_of(executor)
