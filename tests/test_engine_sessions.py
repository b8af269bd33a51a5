"""Sessions are opened lazily, bounded, stoppable, and on the device that was asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from graftscope.server.engine import (
    MIB,
    Cancellation,
    Device,
    MemoryBudget,
    Need,
    SessionPool,
    check_device,
)
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._memo import Memo
from graftscope.server.engine._sessions import Session
from graftscope.server.errors import Cancelled, DeviceUnavailable
from onnx_chains import chain

TIMEOUT_S = 10.0
HAS_CUDA = (
    "CUDAExecutionProvider" in ort.get_available_providers() and Path("/dev/nvidia0").exists()
)
NO_GPU = "needs a CUDA device, and this machine has none"


def test_a_pool_keeps_the_sessions_that_were_used_last() -> None:
    pool = SessionPool(Device.CPU, limit=2)
    opened: list[str] = []

    def graph(name: str) -> Graph:
        opened.append(name)
        return chain(1, 2)

    for name in ("a", "b", "a", "c", "a", "b"):
        pool.get(name, lambda name=name: graph(name))  # type: ignore[misc]
    assert opened == ["a", "b", "c", "b"]
    assert len(pool) == 2


def _ran(pool: SessionPool, name: str) -> Session:
    """A session that has run, with a tensor of 16 MiB."""
    shape = [2048, 2048]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [x], [y])
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    source = Graph(model.SerializeToString(), Path())
    session = pool.get(name, lambda: source)
    session.run({"x": np.zeros(shape, np.float32)})
    return pool.get(name, lambda: source)


def test_open_sessions_take_at_most_half_of_the_memory_that_there_is() -> None:
    memory = MemoryBudget(256 * MIB, base_bytes=0)
    pool = SessionPool(Device.CPU, limit=64, memory=memory)
    one = _ran(pool, "0").bytes
    assert 16 * MIB < one < 32 * MIB
    for at in range(1, 6):
        _ran(pool, str(at))
    assert len(pool) == 128 * MIB // one
    assert memory.free_bytes == memory.room_bytes - one * len(pool)
    assert pool.is_open("5", Device.CPU.plain)
    assert not pool.is_open("0", Device.CPU.plain)


async def test_sessions_that_nobody_uses_are_closed_for_a_request() -> None:
    memory = MemoryBudget(256 * MIB, base_bytes=0)
    pool = SessionPool(Device.CPU, limit=64, memory=memory)
    _ran(pool, "a")
    assert memory.free_bytes < memory.room_bytes
    give_back = await memory.take_for_job(Need(memory.room_bytes, "all", "ask for less"))
    assert len(pool) == 0
    give_back()


def test_a_session_that_takes_long_to_open_holds_up_none_but_those_who_ask_for_it() -> None:
    pool = SessionPool(Device.CPU, limit=4)
    begun, let_go = threading.Event(), threading.Event()
    opened: list[str] = []

    def slow() -> Graph:
        opened.append("slow")
        begun.set()
        assert let_go.wait(TIMEOUT_S)
        return chain(1, 2)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.get, "slow", slow)
        assert begun.wait(TIMEOUT_S)
        second = threads.submit(pool.get, "slow", slow)
        assert pool.get("other", lambda: chain(1, 2)).inputs == ("x",)
        assert not first.done()
        let_go.set()
        assert first.result(TIMEOUT_S) is second.result(TIMEOUT_S)
    assert opened == ["slow"]


def test_who_waits_for_a_value_computes_it_where_the_one_before_was_stopped() -> None:
    memo = Memo()
    begun, let_go = threading.Event(), threading.Event()

    def stopped() -> int:
        begun.set()
        assert let_go.wait(TIMEOUT_S)
        raise Cancelled("the call was cancelled")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(memo.get, "mean", stopped)
        assert begun.wait(TIMEOUT_S)
        second = threads.submit(memo.get, "mean", lambda: 7)
        let_go.set()
        assert second.result(TIMEOUT_S) == 7
        assert isinstance(first.exception(TIMEOUT_S), Cancelled)
    assert len(memo) == 1


def test_arrays_that_a_run_gave_are_fed_to_the_next_one_where_they_lie() -> None:
    session = Session(chain(1, 4), Device.CPU.plain)
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    once = session.run({"x": x})["y"]
    assert isinstance(once, ort.OrtValue)
    twice = session.run({"x": once})["y"].numpy()
    np.testing.assert_array_equal(twice, (x @ x) @ (x @ x))


def test_a_view_is_fed_as_the_values_that_it_shows() -> None:
    session = Session(chain(1, 4), Device.CPU.plain)
    x = np.arange(64, dtype=np.float32).reshape(8, 8)[::2, ::2]
    np.testing.assert_array_equal(session.run({"x": x})["y"].numpy(), x @ x)


def test_a_run_is_stopped_while_it_goes_on() -> None:
    session = Session(chain(4000, 256), Device.CPU.plain)
    cancellation = Cancellation()
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            session.run({"x": np.zeros((256, 256), dtype=np.float32)}, cancellation)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not cancellation.running:
        pass  # The run registers itself before it starts.
    cancellation.cancel()
    thread.join()
    assert [type(error) for error in outcome] == [Cancelled]


def test_a_child_is_stopped_with_its_parent_and_by_itself() -> None:
    parent = Cancellation()
    one, other = parent.child(), parent.child()
    one.cancel()
    assert [each.cancelled for each in (one, other, parent)] == [True, False, False]
    parent.cancel()
    assert other.cancelled
    assert parent.child().cancelled


def test_a_cancellation_refuses_later_runs() -> None:
    session = Session(chain(1, 2), Device.CPU.plain)
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        session.run({"x": np.zeros((2, 2), dtype=np.float32)}, cancellation)


def test_the_cpu_is_always_there() -> None:
    check_device(Device.CPU)


@pytest.mark.skipif(HAS_CUDA, reason="this machine has a CUDA device")
def test_a_missing_gpu_is_an_error_and_not_a_silent_cpu() -> None:
    with pytest.raises(DeviceUnavailable, match=r"'cuda' cannot be used.*--device cpu"):
        check_device(Device.CUDA)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason=NO_GPU)
def test_a_gpu_gives_the_cpus_numbers() -> None:
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) / 8
    cpu, gpu = (Session(chain(4, 64), device.plain).run({"x": x})["y"].numpy() for device in Device)
    np.testing.assert_allclose(gpu, cpu, atol=1e-5)


def test_who_waits_for_what_another_computes_need_not_wait_once_cancelled() -> None:
    memo, release, cancellation = Memo(), threading.Event(), Cancellation()
    with ThreadPoolExecutor(2) as executor:
        computing = executor.submit(memo.get, "key", lambda: release.wait(TIMEOUT_S))
        waiting = executor.submit(cancellation.around(memo.get), "key", lambda: False)
        cancellation.cancel()
        with pytest.raises(Cancelled):
            waiting.result(1.0)
        assert not computing.done()
        release.set()
        assert computing.result(TIMEOUT_S)


def test_a_run_is_stopped_with_what_its_thread_works_for() -> None:
    session = Session(chain(2, 2), Device.CPU.plain)
    feeds = {"x": np.ones((2, 2), np.float32)}
    cancellation = Cancellation()
    with cancellation.here():
        session.run(feeds)
        cancellation.cancel()
        with pytest.raises(Cancelled):
            session.run(feeds)
    session.run(feeds)
