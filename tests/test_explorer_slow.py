"""What the explorer's page shows while a hybrid takes long: the model waits for the test."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from access_toys import protected
from browser_toys import Browser, with_chromium
from explorer_toys import explored
from graftscope.client import (
    AsyncClient,
    AsyncExploration,
    Blend,
    Client,
    Edit,
    GraftscopeError,
    Intervention,
    LatentPairs,
)
from graftscope.client.errors import InputError, OverloadedError
from page_toys import DESK, LEFT, SHOWN, Opened, behind, button
from server_toys import Stubs

pytestmark = with_chromium

TAG = "document.querySelector('.hybrid .waiting')?.innerText ?? ''"
SLIDER = "document.querySelector('.weight input')"


class Gate:
    """Lets hybrids through, or holds them."""

    def __init__(self) -> None:
        self.refusals: list[GraftscopeError] = []
        """What the next hybrids end in."""
        self._open = asyncio.Event()
        self._open.set()
        self._loop = asyncio.get_running_loop()

    async def passed(self) -> None:
        await self._open.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._open.clear)

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)


class Held(AsyncExploration):
    """An exploration whose answers wait at a gate."""

    gate: Gate

    async def show(self, intervention: Intervention) -> Any:
        await self.gate.passed()
        if self.gate.refusals:
            raise self.gate.refusals.pop()
        return await super().show(intervention)

    async def begin(self, task: Any) -> Any:
        await self.gate.passed()
        return await super().begin(task)


class Sluggish(AsyncClient):
    """A client of the real server whose explorations are as slow as the test wants."""

    async def __aenter__(self) -> Any:
        self.gate = Gate()
        return await super().__aenter__()

    def explore(self, *arguments: Any, **named: Any) -> AsyncExploration:
        exploration = super().explore(*arguments, **named)
        exploration.__class__ = Held
        exploration.gate = self.gate  # type: ignore[attr-defined]  # it is Held now
        return exploration


def hybrid(server: str, weight: float) -> Any:
    """Of seeds 7 and 8 with their left halves blended: (H, W, 4) as a page draws it."""
    with Client(server) as client:
        first, second = (
            client.generate("toy-blocks", count=1, seed=seed).latents for seed in (7, 8)
        )
        given = LatentPairs(first, second)
        with client.explore("toy-blocks", originals=given, eight_bits=True) as session:
            made = session.show(Intervention([Edit("fc", [0, 1], action=Blend(weight))]))
    assert made is not None
    pixels = np.asarray(made.hybrid)[0]
    colours = pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels
    return np.concatenate([colours, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=-1)


@contextmanager
def sluggish(tab: Browser, server: Stubs) -> Iterator[tuple[Opened, Gate]]:
    """A page with one graft, and the gate that its hybrids pass."""
    clients: list[Sluggish] = []

    def client(address: str) -> AsyncClient:
        clients.append(Sluggish(address))
        return clients[-1]

    with explored(server.address, client=client) as running:
        tab.open("about:blank", DESK)
        tab.open(running.addresses[-1] + behind(steps=[LEFT]), DESK)
        tab.until(SHOWN)
        yield Opened(tab, running), clients[0].gate


def test_a_slow_hybrid_is_previewed_from_known_ones_and_marked_until_it_comes(
    tab: Browser, toy_server: Stubs
) -> None:
    with sluggish(tab, toy_server) as (at, gate):
        one, grafted = at.pixels(0).astype(float), at.pixels(2).astype(float)

        gate.close()
        tab.value(f"{SLIDER}.focus()")
        for _ in range(10):
            tab.key("ArrowLeft")
        weight = float(tab.value(f"{SLIDER}.value"))
        assert 0 < weight < 1
        tab.until(f"/^preview; computing \\d\\.\\d s …$/.test({TAG})")
        at.until_hybrid(np.rint(one + weight * (grafted - one)).astype(np.uint8))
        tab.key("ArrowLeft")
        weight = float(tab.value(f"{SLIDER}.value"))
        at.until_hybrid(np.rint(one + weight * (grafted - one)).astype(np.uint8))
        gate.open()
        tab.until(f"{TAG} === ''")
        at.until_hybrid(hybrid(toy_server.address, weight))

        gate.close()
        tab.click(button("The next seed, for original 1"))
        tab.until(f"/^last picture; computing \\d\\.\\d s …$/.test({TAG})")
        np.testing.assert_array_equal(at.pixels(2), hybrid(toy_server.address, weight))
        assert "last picture" in tab.value("document.querySelector('.originals').innerText")
        tab.click(button("Undo"))
        gate.open()
        tab.until(f"{TAG} === ''")
        at.until_hybrid(hybrid(toy_server.address, weight))


def test_a_server_that_lacks_memory_is_told_of_where_the_picture_is_and_asked_again(
    tab: Browser, toy_server: Stubs
) -> None:
    error = "document.querySelector('.hybrid [role=alert]')?.innerText ?? ''"
    with sluggish(tab, toy_server) as (at, gate):
        shown = at.pixels(2)
        gate.refusals = [InputError("this would take 3 GiB; the server's limit is 2 GiB")]
        tab.value(f"{SLIDER}.focus()")
        tab.key("ArrowLeft")
        tab.until(f"{error}.includes('limit is 2 GiB')")
        np.testing.assert_array_equal(at.pixels(2), shown)
        gate.refusals = [OverloadedError("what goes on already leaves too little memory")]
        tab.key("ArrowLeft")
        tab.until(f"{error}.includes('too little memory')")
        tab.until(f"{error} === ''")
        at.until_hybrid(hybrid(toy_server.address, float(tab.value(f"{SLIDER}.value"))))


def test_a_model_that_is_gone_is_told_of_and_another_one_is_shown(
    tab: Browser, block_bundle: Path, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    listen = f"unix:{tmp_path}/s"
    settings = {"listen": listen, "auth": "none"}
    with explored(listen) as running:
        with protected([block_bundle], tmp_path / "state", **settings):
            tab.open("about:blank", DESK)
            tab.open(running.addresses[-1] + behind(steps=[LEFT]), DESK)
            tab.until(SHOWN)
        with protected([toy_vae_bundle], tmp_path / "state", **settings):
            tab.key("k")
            told = "document.querySelector('.status').innerText"
            tab.until(f"{told}.includes('has no model toy-blocks; it has toy-vae')")
            tab.until("!document.querySelector('.hybrid [role=alert]')")
            assert tab.value("document.querySelector('.model select').value") == "toy-vae"
