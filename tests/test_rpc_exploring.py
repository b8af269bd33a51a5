"""Explore: the latest request wins, the images are Hybridize's, and nothing is left behind."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from PIL import Image

from graftscope.server.access import Gate
from graftscope.server.engine import Batching, Catalogue, Device, SessionPool, Turns, open_bundles
from graftscope.server.errors import InvalidInput
from graftscope.server.rpc import (
    Admission,
    Arrays,
    Belongings,
    Drain,
    Guard,
    InteractiveRuns,
    Limits,
    ModelServicer,
    Reading,
    Registration,
)
from graftscope.server.rpc._latest import Inbox
from graftscope.v1 import intervention_pb2, model_service_pb2, model_service_pb2_grpc
from job_toys import bench
from request_toys import VAE, channels, edit, hybridize, inline, pairs
from server_toys import TIMEOUT_S, Refusal, Stubs, refusal_of
from waiting_toys import until_in_loop

PAIRS = pairs(seed=5, count=2)
MANY = 30
IMAGES = ("original1", "original2", "hybrid")

Asked = model_service_pb2.ExploreRequest
Answer = model_service_pb2.ExploreResponse


def start(**fields: Any) -> model_service_pb2.ExploreStart:
    return model_service_pb2.ExploreStart(**{"model": VAE, "pairs": PAIRS, **fields})


def asked(number: int, *edits: intervention_pb2.Edit, **fields: Any) -> Asked:
    if edits:
        fields["intervention"] = intervention_pb2.Intervention(edits=edits)
    return Asked(number=number, **fields)


def swap(*indices: int, layer: str = "deconv1") -> intervention_pb2.Edit:
    return edit(layer=layer, channels=channels(*indices))


def blend(weight: float, *indices: int) -> intervention_pb2.Edit:
    return edit(channels=channels(*indices), blend=intervention_pb2.Blend(weight=weight))


class Dragging:
    """A stream of which one waits for each answer before asking the next."""

    def __init__(self, server: Stubs) -> None:
        self._requests: list[Asked] = []
        self._more = threading.Semaphore(0)
        self._call: Any = server.models.Explore(self._sent(), timeout=TIMEOUT_S)

    def _sent(self) -> Iterator[Asked]:
        while self._more.acquire(timeout=TIMEOUT_S) and self._requests:
            yield self._requests.pop(0)

    def show(self, request: Asked) -> Answer:
        self._requests.append(request)
        self._more.release()
        answer: Answer = next(self._call)
        assert answer.number == request.number
        return answer

    def end(self) -> list[Answer]:
        self._more.release()
        return list(self._call)


@pytest.fixture
def dragging(toy_server: Stubs) -> Iterator[Dragging]:
    made = Dragging(toy_server)
    yield made
    made.end()


def refused(server: Stubs, *requests: Asked) -> Refusal:
    with pytest.raises(grpc.RpcError) as error:
        list(server.models.Explore(iter(requests), timeout=TIMEOUT_S))
    return refusal_of(error.value)


MASK = np.zeros((4, 4), dtype=np.bool_)
MASK[1:3] = True

EDITS: dict[str, Sequence[intervention_pb2.Edit]] = {
    "a swap": [swap(0, 3)],
    "no channel": [swap()],
    "a swap of the latent": [swap(1, layer="z")],
    "the widest layer": [swap(1, 2, layer="deconv3")],
    "a blend": [blend(0.25, 1, 2)],
    "a constant": [edit(channels=channels(4), constant=intervention_pb2.Constant(scalar=0.5))],
    "a masked swap": [edit(channels=channels(2), mask=intervention_pb2.Mask(array=inline(MASK)))],
    "two layers": [swap(0), swap(1, layer="deconv2")],
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_images_are_those_of_hybridize_to_the_bit(
    toy_server: Stubs, dragging: Dragging, edits: Sequence[intervention_pb2.Edit]
) -> None:
    expected = toy_server.models.Hybridize(hybridize(*edits, pairs=PAIRS))
    first = dragging.show(asked(1, *edits, start=start()))
    for name in IMAGES:
        np.testing.assert_array_equal(
            toy_server.numbers(getattr(first, name)), toy_server.numbers(getattr(expected, name))
        )
    assert first.execution == expected.execution
    dragging.show(asked(2, swap(5)))
    later = dragging.show(asked(3, *edits))
    assert later.hybrid == expected.hybrid
    assert not later.HasField("original1")
    assert not later.HasField("execution")


def test_a_weight_that_is_dragged_gives_each_hybrid(toy_server: Stubs, dragging: Dragging) -> None:
    dragging.show(asked(1, start=start()))
    for number, weight in enumerate(np.linspace(0, 1, 5), 2):
        shown = dragging.show(asked(number, blend(weight, 0, 1)))
        alone = toy_server.models.Hybridize(hybridize(blend(weight, 0, 1), pairs=PAIRS))
        assert shown.hybrid == alone.hybrid
        assert shown.dropped == 0


def test_without_an_intervention_there_are_the_originals(
    toy_server: Stubs, dragging: Dragging
) -> None:
    shown = dragging.show(asked(1, start=start()))
    assert not shown.HasField("hybrid")
    nothing = dragging.show(asked(2, swap()))
    np.testing.assert_allclose(
        toy_server.numbers(shown.original1), toy_server.numbers(nothing.hybrid), atol=1e-6
    )


def test_another_start_changes_the_originals(toy_server: Stubs, dragging: Dragging) -> None:
    dragging.show(asked(1, swap(0), start=start()))
    others = pairs(seed=6, count=1)
    shown = dragging.show(asked(7, swap(0), start=start(pairs=others)))
    expected = toy_server.models.Hybridize(hybridize(swap(0), pairs=others))
    assert [getattr(shown, x) for x in IMAGES] == [getattr(expected, x) for x in IMAGES]
    assert dragging.show(asked(8, swap(0))).hybrid == expected.hybrid


def test_images_come_as_levels_or_as_files(toy_server: Stubs) -> None:
    floats = toy_server.models.Hybridize(hybridize(swap(0), pairs=PAIRS)).hybrid
    png = model_service_pb2.IMAGE_ENCODING_PNG
    files = toy_server.models.Hybridize(hybridize(swap(0), pairs=PAIRS, encoding=png)).hybrid

    def shown(**fields: Any) -> Answer:
        call = toy_server.models.Explore(iter([asked(1, swap(0), start=start(**fields))]))
        return next(call)

    assert shown().hybrid == floats
    assert shown(encoding=png).hybrid == files
    levels = toy_server.read(shown(eight_bits=True).hybrid)
    assert levels.dtype == np.uint8
    length = int.from_bytes(files.tensor.data[:4], "little")
    first = Image.open(io.BytesIO(files.tensor.data[4 : 4 + length]))
    np.testing.assert_array_equal(levels[0], np.asarray(first))


WRONG: dict[str, tuple[list[Asked], str]] = {
    "no start": ([asked(1, swap(0))], "start"),
    "number 0": ([asked(0, swap(0), start=start())], "number"),
    "a number twice": ([asked(1, start=start()), asked(1, swap(0))], "number"),
    "too many pairs": ([asked(1, start=start(pairs=pairs(count=17)))], "pairs.count"),
    "an unknown channel": ([asked(1, swap(99), start=start())], "channels"),
    "both": ([asked(1, start=start(encoding=1, eight_bits=True))], "eight_bits"),
}


@pytest.mark.parametrize(("requests", "field"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_ends_the_stream_and_names_the_field(
    toy_server: Stubs, requests: list[Asked], field: str
) -> None:
    refusal = refused(toy_server, *requests)
    assert (refusal.code, refusal.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    toy_server.goes_on()


async def test_the_start_of_a_dropped_request_holds() -> None:
    async def requests() -> AsyncIterator[Asked]:
        yield asked(1, start=start())
        yield asked(2, swap(1))

    inbox = Inbox()
    await inbox.read(requests())
    latest = await inbox.arrived()
    assert latest is not None
    assert (latest.place, latest.request) == (1, asked(2, swap(1), start=start()))
    inbox.take(latest)
    assert await inbox.arrived() is None


async def test_what_is_wrong_with_a_request_is_told_to_whoever_takes_the_next() -> None:
    async def requests() -> AsyncIterator[Asked]:
        yield asked(2, start=start())
        yield asked(1)

    inbox = Inbox()
    await inbox.read(requests())
    with pytest.raises(InvalidInput, match="number 1 follows 2"):
        await inbox.arrived()


class GatedThread(ThreadPoolExecutor):
    """One thread, whose work waits while the gate is shut."""

    def __init__(self) -> None:
        super().__init__(1)
        self.gate = threading.Event()
        self.gate.set()

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> "Future[Any]":
        def gated() -> Any:
            assert self.gate.wait(TIMEOUT_S)
            return work(*given, **named)

        return super().submit(gated)


class CountedReading(Reading):
    """It counts what came in streams."""

    came = 0

    async def messages(self, *given: Any) -> AsyncIterator[Any]:
        async for message in super().messages(*given):
            self.came += 1
            yield message


@dataclass(frozen=True)
class Gated:
    """A real server, all of whose runs go through one thread with a gate."""

    models: Any
    gate: threading.Event
    reading: CountedReading
    drain: Drain

    async def opened(self) -> None:
        """Sessions are open."""
        await self.models.Hybridize(hybridize(swap(0), pairs=PAIRS))


@asynccontextmanager
async def gated(
    bundle: Path, state: Path, explore_idle_s: float = TIMEOUT_S
) -> AsyncIterator[Gated]:
    catalogue = Catalogue(open_bundles([bundle]), SessionPool(Device.CPU, 8))
    reading, drain = CountedReading(TIMEOUT_S, explore_idle_s), Drain()
    async with bench(bundle, state) as here:
        arrays = Arrays(here.runner, Belongings(here.runner, None))
        with GatedThread() as thread:
            runs = InteractiveRuns(Batching(thread, 1, Turns()))
            servicer = ModelServicer(catalogue, arrays, runs, reading, cast(Registration, None))
            guard = Guard(Gate(), Admission(Limits(8, 1, 8)), reading, drain)
            server = grpc.aio.server(interceptors=[guard])
            model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                models = model_service_pb2_grpc.ModelServiceStub(channel)
                yield Gated(models, thread.gate, reading, drain)
            thread.gate.set()
            await server.stop(None)
        reading.close()


async def rest(call: Any) -> list[Answer]:
    """All answers that are left."""
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def test_the_latest_request_wins_and_the_others_are_dropped(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with gated(toy_vae_bundle, tmp_path) as server:
        await server.opened()
        call = server.models.Explore()
        await call.write(asked(1, swap(0), start=start()))
        first = await call.read()
        assert (first.number, first.dropped) == (1, 0)
        server.gate.clear()
        for number in range(2, 2 + MANY):
            await call.write(asked(10 * number, blend(number / 100, 1)))
        await until_in_loop(lambda: server.reading.came == 1 + MANY)
        server.gate.set()
        await call.done_writing()
        answers = await rest(call)
        # At most one is made beside the latest: what had its thread when that came.
        assert len(answers) <= 2
        assert answers[-1].number == 10 * (1 + MANY)
        assert len(answers) + sum(x.dropped for x in answers) == MANY
        alone = await server.models.Hybridize(hybridize(blend((1 + MANY) / 100, 1), pairs=PAIRS))
        assert answers[-1].hybrid == alone.hybrid


async def test_an_exploration_of_which_nothing_is_asked_is_ended(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with gated(toy_vae_bundle, tmp_path, explore_idle_s=0.05) as server:
        call = server.models.Explore()
        with pytest.raises(grpc.aio.AioRpcError, match=r"nothing came for 0\.05 s"):
            await call.read()
        assert not server.drain.going_on


async def test_a_server_that_stops_ends_explorations_and_does_not_wait_for_them(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with gated(toy_vae_bundle, tmp_path) as server:
        call = server.models.Explore()
        await call.write(asked(1, start=start()))
        await call.read()
        server.drain.refuse()
        async with asyncio.timeout(TIMEOUT_S):
            await server.drain.finish(TIMEOUT_S)
        assert server.drain.going_on == 1
        await server.drain.end(TIMEOUT_S)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert "the server stops" in await call.details()
