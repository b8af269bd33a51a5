"""Facts about servers that are not there, are something else, or are of another version."""

import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest

from _either_client import opened
from _fake_server import Faults, fake_server
from graftscope.client import Client, VersionWarning, client_version
from graftscope.client.calls._channel import channel_options, deadline
from graftscope.client.errors import (
    DeadlineError,
    InputError,
    OverloadedError,
    UnavailableError,
    UnsupportedError,
    VersionError,
)
from graftscope.client.version import UNKNOWN, differs


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def other_service() -> Iterator[str]:
    """An address where something speaks first, and not gRPC."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _greet(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"220 mail.example ready\r\n")


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_not_there_is_one_clear_line(kind: str) -> None:
    address = free_address()
    with opened(kind, address) as client:
        with pytest.raises(UnavailableError, match=f"no server answers at {address}") as caught:
            client.models()
        assert "Connection refused" in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(UnavailableError, match="no server answers"):
            client.wait("operations/1")


def test_something_else_at_the_address_is_told_apart(kind: str, other_service: str) -> None:
    with (
        opened(kind, other_service) as client,
        pytest.raises(UnavailableError, match="does not speak gRPC"),
    ):
        client.models()


def test_a_grpc_server_that_is_not_graftscope_is_told_apart(kind: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with (
        opened(kind, address) as client,
        pytest.raises(VersionError, match="does not know ListModels: it is not a Graftscope"),
    ):
        client.models()
    server.stop(None).wait()


def test_a_server_of_another_version_is_warned_of_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftscope.client.calls._peer.client_version", lambda: "0.1.7")
    with fake_server(Faults(version="0.2.0")) as (address, _), opened(kind, address) as client:
        with pytest.warns(VersionWarning, match=r"is graftscope 0\.2\.0, this client is 0\.1\.7"):
            client.models()
        client.models()


def test_a_method_that_the_server_lacks_is_explained_by_its_version(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftscope.client.calls._peer.client_version", lambda: "0.1.7")
    faults = Faults(version="0.1.0")
    faults.refusals["Encode"] = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", "", "")
    with fake_server(faults) as (address, _), opened(kind, address) as client:
        client.models()
        with pytest.raises(VersionError, match=r"is graftscope 0\.1\.0 and does not know Encode"):
            client.encode("toy", _image())


def test_what_the_server_does_not_implement_yet_is_said_in_its_words(kind: str) -> None:
    faults = Faults()
    message = "precision PRECISION_BF16 is not implemented yet"
    faults.refusals["Encode"] = (
        grpc.StatusCode.UNIMPLEMENTED,
        message,
        "NOT_IMPLEMENTED",
        "method",
    )
    with (
        fake_server(faults) as (address, _),
        opened(kind, address) as client,
        pytest.raises(UnsupportedError, match=message) as caught,
    ):
        client.encode("toy", _image())
    assert caught.value.field == "method"


def test_a_layer_of_a_kind_of_the_future_asks_for_a_newer_client(kind: str) -> None:
    with (
        fake_server(Faults(layer_kind=9)) as (address, _),
        opened(kind, address) as client,
        pytest.raises(VersionError, match="layer kind number 9 is unknown to this client"),
    ):
        client.models()


def test_a_server_that_does_not_tell_its_version_is_taken_as_it_is(kind: str) -> None:
    with fake_server(Faults(version=None)) as (address, _), opened(kind, address) as client:
        assert client.models()


def test_a_slow_answer_names_the_timeout(kind: str) -> None:
    faults = Faults()
    faults.refusals["Encode"] = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "", "")
    with (
        fake_server(faults) as (address, _),
        opened(kind, address) as client,
        pytest.raises(DeadlineError, match="did not answer in time; allow more"),
    ):
        client.encode("toy", _image())


def test_a_status_without_details_still_says_what_the_server_said(kind: str) -> None:
    faults = Faults()
    faults.refusals["Encode"] = (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many samples", "", "")
    with (
        fake_server(faults) as (address, _),
        opened(kind, address) as client,
        pytest.raises(OverloadedError, match="too many samples"),
    ):
        client.encode("toy", _image())


def _image() -> Any:
    return np.zeros((1, 6, 6, 3), np.uint8)


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan")])
def test_a_timeout_that_cannot_be_kept_is_refused(timeout_s: float) -> None:
    with pytest.raises(InputError, match="it must be above 0"):
        deadline(timeout_s)


def test_a_timeout_of_ages_means_none() -> None:
    # gRPC would take one of 1e10 seconds as already over.
    assert deadline(1e10) is None
    assert deadline(float("inf")) is None
    assert deadline(None) is None
    assert deadline(5.0) == 5.0


def test_the_message_limit_stays_grpcs_own() -> None:
    assert not [name for name, _ in channel_options("127.0.0.1:1") if "message_length" in name]


def test_versions_differ_in_major_or_minor_alone() -> None:
    assert not differs("1.2.3", "1.2.9")
    assert differs("1.2.3", "1.3.3")
    assert differs("1.2.3", "2.2.3")
    assert not differs(UNKNOWN, "2.2.3")


def test_the_versions_of_this_suite_agree() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with (
            fake_server(Faults(version=client_version())) as (address, _),
            Client(address) as client,
        ):
            assert client.models()
