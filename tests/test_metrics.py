"""Metrics agree with what was done, come back to what they were, and say what they mean."""

import gc
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from google.longrunning import operations_pb2

from access_toys import stubs_of, token_of
from graftscope.server.errors import AddressInUse, InvalidInput
from graftscope.server.telemetry import _metrics_calls
from graftscope.server.telemetry._metrics import AREAS
from graftscope.server.telemetry._metrics_http import MOST_CONNECTIONS
from graftscope.server.telemetry._metrics_principals import OTHER, Principals
from graftscope.v1 import (
    analysis_service_pb2,
    artifact_service_pb2,
    intervention_pb2,
    model_service_pb2,
)
from metric_toys import Scrape, Watched, addresses, watched
from request_toys import (
    CHANNELS,
    IMAGES,
    VAE,
    channels,
    edit,
    encode,
    generate,
    hybridize,
    influence,
    inline,
    modules,
    pairs,
)
from server_toys import TIMEOUT_S
from waiting_toys import until

REQUESTS, SECONDS = "graftscope_requests_total", "graftscope_request_duration_seconds_count"
CREATED, RELEASED = "graftscope_objects_created_total", "graftscope_objects_released_total"

METRICS = [metric for area in AREAS.values() for metric in area]

SWAP = edit(channels=channels(0, 1))


@pytest.fixture
def server(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Watched]:
    with watched(toy_vae_bundle, tmp_path / "state") as made:
        yield made


class Load:
    """Makes calls, and counts by itself what it asked for and what came of it."""

    def __init__(self, server: Watched) -> None:
        self._stubs, self._lock = server.stubs, Lock()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.hybrids: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()
        self.samples = self.encodings = 0

    def call(self, method: str, ask: Callable[[], Any]) -> Any:
        """What a call answers; a stream to its end."""
        status, answer = "OK", None
        try:
            answer = ask()
            if isinstance(answer, grpc.Call) and hasattr(answer, "__next__"):
                answer = list(answer)  # type: ignore[call-overload]
        except grpc.RpcError as error:
            status = error.code().name
        with self._lock:
            self.calls[method, status] += 1
        return answer

    def hybridize(self, count: int) -> None:
        request = hybridize(SWAP, pairs=pairs(count=count, seed=count))
        if self.call("ModelService/Hybridize", lambda: self._stubs.models.Hybridize(request)):
            self._made("hybridize", count, count)

    def refused(self, _: int) -> None:
        request = hybridize(edit(layer="nothing", channels=channels(0)))
        self.call("ModelService/Hybridize", lambda: self._stubs.models.Hybridize(request))

    def missing(self, _: int) -> None:
        request = model_service_pb2.GetModelRequest(name="models/nothing")
        self.call("ModelService/GetModel", lambda: self._stubs.models.GetModel(request))

    def unknown(self, number: int) -> None:
        nobody: Any = self._stubs.channel.unary_unary(f"/nobody.Knows/It{number}")
        self.call("other", lambda: nobody(b"", timeout=TIMEOUT_S))

    def generate(self, count: int) -> None:
        request = generate(samples=pairs(count=count, seed=count))
        if self.call("ModelService/Generate", lambda: self._stubs.models.Generate(request)):
            with self._lock:
                self.samples += count

    def encode(self, _: int) -> None:
        request = encode(inline(IMAGES))
        if self.call("ModelService/Encode", lambda: self._stubs.models.Encode(request)):
            with self._lock:
                self.encodings += len(IMAGES)

    def explore(self, count: int) -> None:
        """Two swaps, the second asked once the first was seen, so that none is skipped."""
        seen = Semaphore(0)

        def requests() -> Iterator[model_service_pb2.ExploreRequest]:
            start = model_service_pb2.ExploreStart(
                model=VAE, pairs=pairs(count=2, seed=count), eight_bits=True
            )
            for number in (1, 2):
                yield model_service_pb2.ExploreRequest(
                    number=number,
                    start=start if number == 1 else None,
                    intervention=intervention_pb2.Intervention(edits=[SWAP]),
                )
                assert seen.acquire(timeout=TIMEOUT_S)

        def ask() -> int:
            answers = 0
            for _ in self._stubs.models.Explore(requests(), timeout=TIMEOUT_S):
                answers += 1
                seen.release()
            return answers

        answers = self.call("ModelService/Explore", ask)
        self._made("explore", 2 * answers, 2 * answers)

    def influence(self, seed: int) -> None:
        """A job over all channels, watched to its end; its maps are read."""
        count = 40 + seed
        request = influence(pairs=pairs(count=count, seed=seed))
        begun = self.call(
            "AnalysisService/Influence", lambda: self._stubs.analyses.Influence(request)
        )
        watch = analysis_service_pb2.WatchOperationRequest(name=begun.name)
        told = self.call(
            "AnalysisService/WatchOperation", lambda: self._stubs.analyses.WatchOperation(watch)
        )
        response = analysis_service_pb2.InfluenceResponse()
        assert told[-1].operation.response.Unpack(response)
        if response.maps.WhichOneof("source") == "artifact":
            read = artifact_service_pb2.ReadArtifactRequest(sha256=response.maps.artifact.sha256)
            self.call(
                "ArtifactService/ReadArtifact", lambda: self._stubs.artifacts.ReadArtifact(read)
            )
        self._made("influence", CHANNELS * count, count)

    def _made(self, work: str, hybrids: int, count: int) -> None:
        with self._lock:
            self.hybrids[work] += hybrids
            self.pairs[work] += count


def agrees(load: Load, told: Scrape) -> bool:
    """Whether what is told is what the load counted, to the last call."""
    return (
        told.by(REQUESTS, "method", "status") == load.calls
        and told.by(SECONDS, "method", "status") == load.calls
        and told.by("graftscope_hybrids_total", "work") == _keyed(load.hybrids)
        and told.by("graftscope_pairs_total", "work") == _keyed(load.pairs)
        and told("graftscope_samples_total") == load.samples
        and told("graftscope_encodings_total") == load.encodings
    )


def _keyed(counts: Counter[str]) -> dict[tuple[str], float]:
    return {(key,): number for key, number in counts.items()}


def test_what_is_told_during_a_load_agrees_with_what_the_load_counted(server: Watched) -> None:
    load, scrapes = Load(server), list[Scrape]()
    kinds: list[Callable[[int], None]] = [load.hybridize, load.refused, load.missing]
    kinds += [load.unknown, load.generate, load.encode, load.explore]
    work = [(kind, number) for number in range(1, 9) for kind in kinds]
    work += [(load.influence, seed) for seed in range(3)]
    with ThreadPoolExecutor(6) as callers:
        going_on = [callers.submit(kind, number) for kind, number in work]
        while not all(each.done() for each in going_on):
            scrapes.append(server.scrape())
    for each in going_on:
        each.result()
    # Who called may have the answer a moment before the call is over here.
    until(lambda: agrees(load, server.scrape()))
    told = server.scrape()
    assert agrees(load, told)
    assert load.calls["other", "UNIMPLEMENTED"] == 8
    assert told("graftscope_errors_total", reason="INVALID_INPUT") > 0
    for series in (REQUESTS, "graftscope_hybrids_total", "graftscope_shards_total"):
        totals = [sum(each.by(series).values()) for each in (*scrapes, told)]
        assert totals == sorted(totals)
    assert told.by("graftscope_jobs_ended_total", "analysis", "end") == {("influence", "done"): 3}
    assert told("graftscope_jobs", state="done") == 3


def test_what_was_made_is_gone_when_it_is_needed_no_more(server: Watched) -> None:
    load = Load(server)

    load.explore(1)
    load.hybridize(1)
    load.influence(1)
    server.stubs.wait(server.stubs.analyses.Modules(modules()))
    before = _current(server)
    for number in range(2, 6):
        load.hybridize(number)
        load.explore(number)
        load.influence(1)  # Found, not made again.
    until(lambda: _current(server) == before)
    told = server.scrape()
    assert told(CREATED, kind="exploration") == 5
    assert told(CREATED, kind="exploration_call") == 5
    assert told(CREATED, kind="worker_process") > 0
    assert before["call"] == before["memory_grant"] == before["artifact_transfer"] == 0
    assert before["exploration"] == before["job"] == 0


def _current(server: Watched) -> dict[str, float]:
    gc.collect()  # The server is in this process.
    told = server.scrape()
    created, released = told.by(CREATED, "kind"), told.by(RELEASED, "kind")
    return {kind[0]: number - released.get(kind, 0) for kind, number in created.items()}


def test_what_is_created_less_what_is_released_is_what_there_is(server: Watched) -> None:
    load = Load(server)
    load.influence(1)
    load.hybridize(2)
    until(lambda: _current(server)["call"] == 0)
    now, told = _current(server), server.scrape()
    files = list((server.stubs.state / "artifacts").iterdir())
    assert now["artifact"] == len(files) > 0
    assert now["session"] == told("graftscope_sessions_open") > 0
    assert told("graftscope_sessions_opened_total") == told(CREATED, kind="session")
    assert told("graftscope_sessions_closed_total") == 0
    name = (
        server.stubs.operations.ListOperations(operations_pb2.ListOperationsRequest())
        .operations[0]
        .name
    )
    server.stubs.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name=name))
    until(lambda: _current(server)["artifact"] == 0)
    assert not list((server.stubs.state / "artifacts").iterdir())


def test_open_watches_are_told_while_they_are_open(server: Watched) -> None:
    request = influence(pairs=pairs(count=20_000, seed=3))
    begun = server.stubs.analyses.Influence(request)
    watch = server.stubs.analyses.WatchOperation(
        analysis_service_pb2.WatchOperationRequest(name=begun.name)
    )
    next(watch)
    told = server.scrape()
    assert told("graftscope_calls_open", kind="watch") == 1
    assert sum(told.by("graftscope_jobs_here", "analysis").values()) == 1
    server.stubs.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=begun.name))
    list(watch)
    until(lambda: server.scrape()("graftscope_calls_open", kind="watch") == 0)
    until(lambda: not server.scrape().by("graftscope_jobs_here", "analysis"))
    ended = server.scrape().by("graftscope_jobs_ended_total", "end")
    assert ended == {("cancelled",): 1}


def test_refusals_are_told_with_their_reason(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with watched(toy_vae_bundle, tmp_path / "state", queue=1, queued_jobs=1) as server:
        stub = server.stubs.models
        large = [stub.Hybridize.future(hybridize(SWAP, pairs=pairs(count=200))) for _ in range(8)]
        codes = Counter(each.code().name for each in large)
        told = server.scrape()
        refused = told("graftscope_refusals_total", of="interactive_call", reason="full")
        assert codes["RESOURCE_EXHAUSTED"] == refused > 0
        until(lambda: server.scrape()("graftscope_errors_total", reason="OVERLOADED") == refused)
        assert told("graftscope_calls_limit", kind="interactive") == 1


def test_principals_are_told_by_name(toy_vae_bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    token = token_of(state, "ann")
    with watched(toy_vae_bundle, state, auth="token") as server:
        stubs = stubs_of(server.stubs.address, server.stubs.channel, token, state)
        stubs.models.Hybridize(hybridize(SWAP, pairs=pairs(count=3)))
        until(lambda: server.scrape()("graftscope_principal_requests_total", principal="ann") == 1)
        told = server.scrape()
        assert told("graftscope_principal_hybrids_total", principal="ann") == 3
        assert told("graftscope_principal_seconds_total", principal="ann") > 0


def test_the_number_of_principals_that_are_told_apart_is_bounded() -> None:
    principals = Principals(most=2)
    labels = [principals.label(name) for name in ("ann", "bob", "cid", "ann", "dora")]
    assert labels == ["ann", "bob", OTHER, "ann", OTHER]


def test_every_metric_is_told_and_none_else(server: Watched) -> None:
    load = Load(server)
    load.hybridize(1)
    load.missing(1)
    load.influence(1)
    until(lambda: bool(server.scrape().by("graftscope_jobs_ended_total", "end")))
    told = server.scrape()
    own = {name for name in told.kinds if name.startswith("graftscope_")}
    declared = {x.name.removesuffix("_total"): x for x in METRICS}
    # This server has no certificate; test_metrics_shown.py asks one that has.
    assert own == set(declared) - {"graftscope_certificate_expires_timestamp_seconds"}
    for name in own:
        assert told.helps[name] == declared[name].help


def test_names_and_helps_follow_prometheus_conventions() -> None:
    names = [each.name for each in METRICS]
    assert len(set(names)) == len(names)
    for each in METRICS:
        assert re.fullmatch(r"graftscope(_[a-z]+)+", each.name)
        assert (each.kind.value == "counter") == each.name.endswith("_total")
        assert each.help.endswith(".")
        assert not re.search(r"_(ms|mib|gib|minutes)(_|$)", each.name)
        assert "le" not in each.labels


def test_methods_are_told_by_service_and_name() -> None:
    label = _metrics_calls.method_label
    assert label("/graftscope.v1.ModelService/Hybridize") == "ModelService/Hybridize"
    assert label(OTHER) == OTHER


def test_a_port_in_use_is_one_clear_error(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(AddressInUse, match=f"metrics on '{address}'.*--metrics HOST:PORT"):
            with watched(toy_vae_bundle, tmp_path / "state", metrics=address):
                pass
    with pytest.raises(InvalidInput, match="'unix:/x' is malformed"):
        with watched(toy_vae_bundle, tmp_path / "state", metrics="unix:/x"):
            pass


def answering() -> list[threading.Thread]:
    """The threads in which connections of ports of metrics are answered."""
    return [each for each in threading.enumerate() if "process_request" in each.name]


def test_who_only_holds_connections_keeps_nobody_from_scraping(server: Watched) -> None:
    place = urlsplit(server.url)
    address = (str(place.hostname), int(place.port or 0))
    with ExitStack() as held:
        silent = [
            held.enter_context(closing(socket.create_connection(address, TIMEOUT_S)))
            for _ in range(2 * MOST_CONNECTIONS)
        ]
        for each in silent:
            with suppress(OSError):
                each.sendall(b"GET /metr")
        assert "graftscope_build_info" in server.scrape().names
        # The oldest have ended, with what they had sent unread or not.
        with suppress(ConnectionResetError):
            assert silent[0].recv(1) == b""
        until(lambda: len(answering()) <= MOST_CONNECTIONS)


@pytest.mark.parametrize(
    ("address", "seen_by"), [("0", "this machine alone"), ("0.0.0.0:0", "other machines too")]
)
def test_a_server_says_who_sees_its_metrics(
    toy_vae_bundle: Path, tmp_path: Path, address: str, seen_by: str
) -> None:
    with addresses() as told, watched(toy_vae_bundle, tmp_path / "state", metrics=address):
        (said,) = told
    assert str(said["seen_by"]).startswith(seen_by)


def test_without_the_setting_there_is_no_such_port(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with addresses() as told:
        with pytest.raises(IndexError):
            with watched(toy_vae_bundle, tmp_path / "state", metrics=None):
                pass
    assert not told
