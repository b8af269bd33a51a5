"""A server's memory is divided among calls and jobs; what cannot be had is refused with numbers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from graftscope.server.engine import GIB, MIB, MemoryBudget, Need
from graftscope.server.engine._machine_memory import group_limits, machine_bytes
from graftscope.server.errors import InvalidInput, Overloaded, TooLarge

ROOM = 1000 * MIB


def budget() -> MemoryBudget:
    return MemoryBudget(ROOM, base_bytes=0)


def need(mib: int) -> Need:
    return Need(mib * MIB, f"{mib} things", "ask for fewer", "pairs.count")


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


async def test_what_can_never_be_had_is_refused_with_both_numbers() -> None:
    memory = MemoryBudget(3 * GIB, base_bytes=GIB)
    with pytest.raises(TooLarge) as caught:
        await memory.take_in_call(Need(5 * GIB, "50 pairs", "ask for fewer", "pairs.count"))
    assert str(caught.value) == (
        "50 pairs would take 5.0 GiB of memory; the server's limit is 3.0 GiB, of which 2.0 GiB "
        "are left for requests; ask for fewer"
    )
    assert caught.value.field == "pairs.count"
    assert caught.value.retry_after_s is None
    with pytest.raises(TooLarge):
        await memory.take_for_job(Need(5 * GIB, "maps", "ask for fewer"))
    assert memory.held_bytes == 0


async def test_a_call_has_its_memory_until_its_task_is_over() -> None:
    memory, leave = budget(), asyncio.Event()

    async def call() -> None:
        await memory.take_in_call(need(600))
        await memory.take_in_call(need(300))
        await leave.wait()

    task = asyncio.create_task(call())
    await until(lambda: memory.held_bytes == 900 * MIB)
    leave.set()
    await task
    await until(lambda: memory.held_bytes == 0)


async def test_a_call_that_needs_more_beside_what_it_has_than_there_is_is_refused() -> None:
    memory = budget()

    async def call() -> None:
        await memory.take_in_call(need(600))
        await memory.take_in_call(need(500))

    with pytest.raises(TooLarge, match=r"500 things would take 1\.1 GiB"):
        await asyncio.create_task(call())
    await until(lambda: memory.held_bytes == 0)


async def test_a_call_that_is_cancelled_or_fails_gives_its_memory_back() -> None:
    memory = budget()

    async def call(error: Exception | None) -> None:
        await memory.take_in_call(need(600))
        if error is not None:
            raise error
        await asyncio.Event().wait()

    failing = asyncio.create_task(call(ValueError()))
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        await failing
    task = asyncio.create_task(call(None))
    await until(lambda: memory.held_bytes > 0)
    waiting = asyncio.create_task(call(None))
    await asyncio.sleep(0)
    for each in (waiting, task):
        each.cancel()
        with pytest.raises(asyncio.CancelledError):
            await each
    await until(lambda: memory.held_bytes == 0)


async def test_a_call_waits_for_what_others_give_back() -> None:
    memory = budget()
    give_back = await memory.take_for_job(need(800))

    async def call() -> int:
        await memory.take_in_call(need(500))
        return memory.held_bytes

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    assert not task.done()
    give_back()
    assert await task == 500 * MIB


async def test_calls_beyond_the_memory_that_there_is_are_told_when_to_ask_again() -> None:
    memory = budget()
    give_back = await memory.take_for_job(need(800))

    async def call() -> None:
        await memory.take_in_call(need(600))

    waiting = asyncio.create_task(call())
    await asyncio.sleep(0)
    told = r"600 things would take 600 MiB of memory, and .* 1000 MiB what goes on already leaves"
    with pytest.raises(Overloaded, match=told) as caught:
        await call()
    assert caught.value.retry_after_s
    give_back()
    await waiting


async def test_jobs_wait_in_their_order_however_small_the_next_is() -> None:
    memory, order = budget(), list[int]()
    give_back = await memory.take_for_job(need(800))

    async def job(mib: int) -> None:
        done = await memory.take_for_job(need(mib))
        order.append(mib)
        done()

    tasks = [asyncio.create_task(job(mib)) for mib in (900, 100)]
    await asyncio.sleep(0)
    assert order == []
    give_back()
    await asyncio.gather(*tasks)
    assert order == [900, 100]


async def test_many_small_calls_do_not_keep_a_waiting_job_out() -> None:
    memory = budget()
    first = await memory.take_for_job(need(500))
    job = asyncio.create_task(memory.take_for_job(need(900)))
    await asyncio.sleep(0)

    async def call(mib: int, leave: asyncio.Event) -> None:
        await memory.take_in_call(need(mib))
        await leave.wait()

    leave = asyncio.Event()
    calls = [asyncio.create_task(call(60, leave)) for _ in range(5)]
    await asyncio.sleep(0)
    # 400 MiB are free, and 100 are left beside the job that waits: one call of 60.
    assert memory.held_bytes == 560 * MIB
    first()
    give_back = await job
    assert memory.held_bytes == 960 * MIB
    give_back()
    leave.set()
    await asyncio.gather(*calls)


async def test_a_job_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    memory = budget()
    first = await memory.take_for_job(need(800))
    second, third = (asyncio.create_task(memory.take_for_job(need(mib))) for mib in (900, 100))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    (await third)()
    first()
    assert memory.held_bytes == 0


async def test_idle_sessions_are_closed_for_what_does_not_fit_beside_them() -> None:
    memory, asked = budget(), list[int]()

    def close(missing: int) -> None:
        asked.append(missing)
        memory.sessions_hold(200 * MIB)

    memory.reclaim_by(close)
    memory.sessions_hold(700 * MIB)
    give_back = await memory.take_for_job(need(500))
    assert asked == [200 * MIB]
    give_back()


def test_a_limit_that_leaves_no_room_is_refused() -> None:
    said = r"memory_gib 1 \(--memory\) is not allowed: .* at least 1\.25"
    with pytest.raises(InvalidInput, match=said):
        MemoryBudget(GIB, base_bytes=GIB)


def test_the_default_limit_is_three_quarters_of_what_there_is() -> None:
    assert MemoryBudget(base_bytes=0).limit_bytes == int(0.75 * machine_bytes())


def test_the_least_limit_of_all_groups_around_a_process_counts(tmp_path: Path) -> None:
    membership, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    membership.write_text("9:cpu:/a\n4:memory:/a/b\n0::/c/d\n")
    for path, text in {
        "memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/a/memory.limit_in_bytes": "3000\n",
        "c/d/memory.max": "max\n",
        "c/memory.max": "2000\n",
        "memory.max": "5000\n",
    }.items():
        (mounted / path).parent.mkdir(parents=True, exist_ok=True)
        (mounted / path).write_text(text)
    assert sorted(group_limits(membership, mounted)) == [2000, 3000, 5000, 9223372036854771712]
    assert list(group_limits(tmp_path / "none", mounted)) == []
