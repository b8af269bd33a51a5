"""Work in processes comes back as it is, and ends with its job, its process or its server."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from graftscope.server.analysis import KTooLargeError, features_of, find_modules, import_libraries
from graftscope.server.engine import Cancellation
from graftscope.server.errors import Cancelled, WorkerLost
from graftscope.server.workers import SPARES, Spares, Workers, _pool
from graftscope.server.workers._process import Process
from reliability._processes import MIB, children
from waiting_toys import TIMEOUT_S, until

ENDED_WITHIN_S = 10.0
"""What would not be stopped goes on for hours."""

# A server that is killed with one process idle and one at work, in code that never lets another
# thread of it run: `sum` over a range holds the interpreter's lock.
SERVER = """
import sys, threading, time
from graftscope.server.engine import Cancellation
from graftscope.server.workers import SPARES, Workers

workers = Workers(2)
threading.Thread(target=workers.run, args=(Cancellation(), sum, range(10**12)), daemon=True).start()
print(workers.run(Cancellation(), __import__("os").getpid), flush=True)
sys.stdin.read()
"""


def is_there(pid: int) -> bool:
    """Whether a process has not ended; of one that has, some threads may be left for a moment."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def summed(workers: Workers, cancellation: Cancellation, numbers: Sequence[int]) -> int:
    return workers.run(cancellation, sum, numbers)


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers(2)


def test_a_process_is_kept_however_large_the_server_is(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    SPARES.close()
    largest = 200 * MIB
    monkeypatch.setattr(_pool, "LARGE_BYTES", largest)
    of_the_server = np.ones(largest, np.uint8)
    pids = {workers.run(Cancellation(), os.getpid) for _ in range(3)}
    assert len(pids) == 1
    assert of_the_server[-1] == 1


def test_the_processor_time_of_processes_is_told_whether_they_end_or_are_ended() -> None:
    SPARES.close()
    workers, cancellation = Workers(1), Cancellation()
    workers.run(Cancellation(), sum, range(10))
    started_s = workers.used_s
    assert started_s > 0
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(summed, workers, cancellation, range(10**12))
        until(lambda: workers.used_s > started_s + 0.1)
        cancellation.cancel()
        with pytest.raises(Cancelled):
            endless.result()
    assert workers.used_s > started_s + 0.1


def test_a_process_does_without_pandas_and_collects_garbage_once_it_is_ready(
    workers: Workers,
) -> None:
    SPARES.close()
    run = workers.of(Cancellation())
    run(import_libraries)
    loaded = run(eval, "set(__import__('sys').modules)")
    assert "sklearn.decomposition" in loaded
    assert "pandas" not in loaded
    assert run(gc.isenabled)


def test_what_a_function_gives_comes_back_to_the_bit(workers: Workers) -> None:
    maps = np.random.default_rng(0).random((24, 16, 16))
    features = workers.run(Cancellation(), features_of, maps, 3, 75.0, None)
    np.testing.assert_array_equal(features.binary.matrix, features_of(maps, 3, 75.0).binary.matrix)
    found = workers.run(Cancellation(), find_modules, features, 4)
    expected = find_modules(features, 4)
    for name in ("labels", "templates", "weights", "purity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_what_a_function_raises_comes_back_with_its_field(workers: Workers) -> None:
    features = features_of(np.eye(4)[:, None] * np.ones((4, 4, 4)), 1)
    with pytest.raises(KTooLargeError, match="k = 9 exceeds") as caught:
        workers.run(Cancellation(), find_modules, features, 9)
    assert caught.value.field == "k"
    with pytest.raises(RuntimeError, match="No such file"):
        workers.run(Cancellation(), partial(_raise_what_does_not_travel, "No such file"))


class _Stubborn(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def _raise_what_does_not_travel(text: str) -> None:
    raise _Stubborn(text, "")


def test_what_is_printed_there_is_no_reply(workers: Workers) -> None:
    assert workers.run(Cancellation(), os.write, 1, b"") == 0
    assert workers.run(Cancellation(), print, "said in a worker") is None


def test_work_of_any_kind_can_be_sent_again(workers: Workers) -> None:
    for _ in range(2):
        assert workers.run(Cancellation(), np.shape, np.zeros((2, 3))) == (2, 3)


def _threads() -> list[dict[str, Any]]:
    import_module("sklearn.cluster")
    told: list[dict[str, Any]] = threadpoolctl.threadpool_info()
    return told


def test_a_process_computes_on_one_thread(workers: Workers) -> None:
    told = workers.run(Cancellation(), _threads)
    assert {each["user_api"] for each in told} == {"blas", "openmp"}
    assert {each["num_threads"] for each in told} == {1}


def test_a_call_that_is_cancelled_ends_its_process_and_leaves_its_place(workers: Workers) -> None:
    cancellation = Cancellation()
    with ThreadPoolExecutor(1) as executor:
        # Nothing else runs in that process meanwhile, so that it can be killed and no more.
        call = executor.submit(summed, workers, cancellation, range(10**12))
        until(lambda: workers.busy == 1 and not call.done())
        cancellation.cancel()
        with pytest.raises(Cancelled):
            call.result(ENDED_WITHIN_S)
    assert workers.busy == 0
    with pytest.raises(Cancelled):
        workers.run(cancellation, sum, [1, 2])
    assert workers.run(Cancellation(), sum, [1, 2]) == 3


def test_a_call_that_waits_for_its_turn_is_cancelled_and_others_keep_theirs() -> None:
    one, first, second = Workers(1), Cancellation(), Cancellation()
    with ThreadPoolExecutor(3) as executor:
        long = executor.submit(summed, one, first, range(10**12))
        until(lambda: one.busy == 1)
        waiting = executor.submit(summed, one, second, [1])
        last = executor.submit(summed, one, Cancellation(), [2])
        second.cancel()
        with pytest.raises(Cancelled):
            waiting.result(ENDED_WITHIN_S)
        first.cancel()
        with pytest.raises(Cancelled):
            long.result(ENDED_WITHIN_S)
        assert last.result(TIMEOUT_S) == 2


def test_a_process_that_is_killed_from_outside_fails_its_call_alone(workers: Workers) -> None:
    with pytest.raises(
        WorkerLost, match=r"was killed \(signal 9\), as Linux does where memory runs"
    ):
        workers.run(Cancellation(), signal.raise_signal, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"ended \(exit status 3\)"):
        workers.run(Cancellation(), os._exit, 3)
    # One that waits for work, too: it is replaced.
    pid = workers.run(Cancellation(), os.getpid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_there(pid))
    assert workers.run(Cancellation(), os.getpid) != pid


def test_signals_that_mean_the_server_do_not_end_a_process(workers: Workers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        workers.run(Cancellation(), signal.raise_signal, number)
    assert workers.run(Cancellation(), sum, [1]) == 1


def test_processes_are_used_again_and_ended_when_nobody_has_needed_them() -> None:
    spares = Spares(idle_s=0.05)
    spares.keep(Process())
    assert len(spares) == 1
    process = spares.take()
    assert process is not None
    spares.keep(process)
    until(lambda: len(spares) == 0)
    until(lambda: process.ended)


def test_a_process_sends_a_work_once_and_holds_none_here() -> None:
    process = Process()
    work = partial(sum, np.arange(3))
    assert process.call(work, (1,)).value == 4
    known = process._work
    assert known is not None
    assert known() is work
    assert process.call(work, (2,)).value == 5
    del work
    assert known() is None
    process.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_process_outlives_its_server() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline()
        left = children(server.pid)
        assert len(left) == 2
        server.kill()
        until(lambda: not any(is_there(pid) for pid in left), ENDED_WITHIN_S)


def test_a_fork_of_the_server_holds_nothing_of_its_processes(workers: Workers) -> None:
    workers.run(Cancellation(), sum, [1])
    assert len(SPARES)
    pid = os.fork()
    if not pid:
        os._exit(len(SPARES))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert workers.run(Cancellation(), sum, [1]) == 1
