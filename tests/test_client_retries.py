"""What a server has no room for is asked again when it says, in time and not for ever."""

from typing import Any

import numpy as np
import pytest

from _either_client import opened
from _fake_server import Faults
from graftscope.client import LatentPairs
from graftscope.client.calls import _transfers
from graftscope.client.calls._retries import MOST_TRIES, Retries
from graftscope.client.errors import InputError, OverloadedError

CLIENTS = ("sync", "async")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfers, "DELAYS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def faults() -> Faults:
    return Faults(inline_limit_bytes=100)


def _large() -> LatentPairs:
    first, second = np.random.default_rng(0).standard_normal((2, 250_000, 6)).astype(np.float32)
    return LatentPairs({"z": first}, {"z": second})


def test_a_call_that_there_is_no_room_for_is_made_again(client: Any, faults: Faults) -> None:
    faults.overloads = {"Hybridize": 2}
    client.hybridize("toy", "conv1", (0,), pairs=1)
    assert faults.calls.count("Hybridize") == 3


def test_every_step_of_a_job_is(client: Any, faults: Faults) -> None:
    steps = ("PutArtifact", "ReadArtifact", "Influence", "WatchOperation")
    faults.overloads = dict.fromkeys(steps, 2)
    client.influence("toy", "conv1", (0,), originals=_large())
    assert faults.overloads == dict.fromkeys(steps, 0)


def test_it_is_given_up_after_so_many_tries_and_said(client: Any, faults: Faults) -> None:
    faults.overloads = {"Hybridize": 1000}
    with pytest.raises(OverloadedError, match=rf"too many calls \(tried {MOST_TRIES} times in "):
        client.hybridize("toy", "conv1", (0,), pairs=1)
    assert faults.calls.count("Hybridize") == MOST_TRIES


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_time_beyond_the_timeout_is_not_waited_for(
    kind: str, address: str, faults: Faults
) -> None:
    faults.overloads, faults.overload_s = {"Hybridize": 1000}, 60.0
    with opened(kind, address, timeout_s=30.0) as client, pytest.raises(OverloadedError) as caught:
        client.hybridize("toy", "conv1", (0,), pairs=1)
    assert "tried once in" in str(caught.value)
    assert "`timeout_s` of 30 leaves no time for another" in str(caught.value)
    assert faults.calls.count("Hybridize") == 1


def test_all_tries_share_one_timeout_and_waits_have_jitter() -> None:
    now_s = 0.0
    retries = Retries(10.0, clock=lambda: now_s, chance=lambda: 0.4)
    assert retries.left_s == 10.0
    assert retries.wait_s(OverloadedError("full", retry_after_s=2.0)) == pytest.approx(2.2)
    now_s = 7.0
    assert retries.left_s == 3.0
    with pytest.raises(OverloadedError, match=r"full \(tried 2 times in 7 s, and `timeout_s`"):
        retries.wait_s(OverloadedError("full", retry_after_s=3.0))


def test_what_the_server_names_no_time_for_is_not_asked_again() -> None:
    with pytest.raises(InputError, match=r"^wrong$"):
        Retries(10.0).wait_s(InputError("wrong"))
