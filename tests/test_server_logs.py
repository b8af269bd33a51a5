"""The server's log, as text and as JSON."""

import contextvars
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from access_toys import bearer, protected, token_of
from graftscope.server import logs
from request_toys import VAE, generate, influence, pairs
from server_toys import TIMEOUT_S, Stubs

TOKEN = "gs_" + "x" * 43
URL = "postgresql+psycopg://graftscope:s3cr3t@db.example/jobs"


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Leaves the loggers as they were."""
    both = [logging.getLogger(name) for name in (None, "graftscope.server")]
    before = [(each.level, each.handlers, each.propagate) for each in both]
    yield
    logging.captureWarnings(False)
    for each, (level, handlers, propagate) in zip(both, before, strict=True):
        each.setLevel(level)
        each.handlers, each.propagate = handlers, propagate


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_in_json_an_event_is_an_object_with_its_fields_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = datetime.now(UTC)
    logs.log_to_stderr("info", "json")
    told = {"model": "toy", "pairs": 3, "seconds": 0.25, "rewrites": ["fold"], "plain": True}
    logs.get_logger("test").info("an event", path=Path("a"), rate=float("inf"), **told)
    logs.get_logger("test").debug("too low")
    (line,) = lines(capsys)
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert abs((at - began).total_seconds()) < 60
    assert at.utcoffset() is not None
    assert list(line)[:3] == ["level", "logger", "event"]
    assert line == {
        "level": "info",
        "logger": "graftscope.server.test",
        "event": "an event",
        "path": "a",
        "rate": "inf",
        **told,
    }


def test_an_exception_is_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    logs.log_to_stderr("info", "json")
    try:
        raise KeyError("missing")
    except KeyError as error:
        logs.get_logger("test").error("it broke", exc_info=error)
    (line,) = lines(capsys)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("KeyError: 'missing'")


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\u2028b", 'a" b', "a\x1b[31mb", "a\udc80b"])
def test_no_name_breaks_a_line(
    name: str, log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.log_to_stderr("info", log_format)
    logs.get_logger("test").info("an event", model=name)
    written = capsys.readouterr().err
    assert written.splitlines() == [written.removesuffix("\n")]
    assert written.isprintable() or written[:-1].isprintable()
    if log_format == "json":
        assert json.loads(written)["model"] == name


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_holds_a_token_or_the_password_of_a_url(
    log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.log_to_stderr("info", log_format)
    try:
        raise ValueError(f"cannot open {URL} with {TOKEN}")
    except ValueError as error:
        logs.get_logger("test").error("it broke", url=URL, list=[TOKEN], exc_info=error)
    logging.getLogger("graftscope.server.test").error("of %s and %s", URL, TOKEN)
    logging.getLogger("graftscope.server.test").error("at graftscope:s3cr3t@db.example:5432")
    logging.getLogger("graftscope.server.test").error("at s3://ann@server:a/b:c@s3cr3t@db.example")
    written = capsys.readouterr().err
    assert "s3cr3t" not in written
    assert TOKEN not in written
    assert written.count("postgresql+psycopg://***@db.example/jobs") == 3


def test_no_token_reaches_the_log_of_a_program_that_embeds_a_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs.get_logger("test").warning("an event", url=URL, token=TOKEN)
    (told,) = caplog.messages
    assert told == "event='an event' url='postgresql+psycopg://***@db.example/jobs' token='***'"


def test_in_json_what_other_libraries_say_is_an_object_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.log_to_stderr("info", "json")
    logging.getLogger("somebody.else").warning("%d things\nhappened", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    other, warning = lines(capsys)
    assert (other["logger"], other["event"]) == ("somebody.else", "2 things\nhappened")
    assert warning["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in warning["event"]


def test_lines_of_one_task_share_what_they_are_joined_by(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.log_to_stderr("info", "json")

    def of_a_call() -> None:
        logs.join(request="r1", trace="")
        logs.get_logger("test").info("inside")

    contextvars.copy_context().run(of_a_call)
    logs.get_logger("test").info("outside")
    inside, outside = lines(capsys)
    assert inside["request"] == "r1"
    assert "trace" not in inside
    assert "request" not in outside


def test_a_call_is_a_line_that_tells_what_it_was_and_its_job_is_told_by_the_same_request(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.log_to_stderr("debug", "json")
    token = token_of(tmp_path, "alice")
    with (
        protected([toy_vae_bundle], tmp_path) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stubs: Any = Stubs(address, channel, tmp_path)
        health: Any = health_pb2_grpc.HealthStub(channel)
        mine = (*bearer(token), ("x-request-id", "mine-1"))
        request = generate(samples=pairs(count=3, seed=1))
        _, call = stubs.models.Generate.with_call(request, metadata=mine, timeout=TIMEOUT_S)
        echoed = dict(call.trailing_metadata())["x-request-id"]
        forged = (*bearer(token), ("x-request-id", "a b"))
        with pytest.raises(grpc.RpcError):
            stubs.models.Generate(generate(model="no\nsuch"), metadata=forged)
        asked = influence(layer="fc", pairs=pairs(count=32, seed=1))
        job = stubs.analyses.Influence(asked, metadata=mine, timeout=TIMEOUT_S)
        waited = operations_pb2.WaitOperationRequest(name=job.name)
        stubs.operations.WaitOperation(waited, metadata=tuple(bearer(token)), timeout=TIMEOUT_S)
        health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    told = lines(capsys)
    generated, refused, started, waiting, checked = (x for x in told if x["event"] == "call")
    assert echoed == generated["request"] == started["request"] == "mine-1"
    assert {key: generated[key] for key in ("level", "method", "status", "principal")} == {
        "level": "info",
        "method": "/graftscope.v1.ModelService/Generate",
        "status": "OK",
        "principal": "alice",
    }
    assert (generated["model"], generated["pairs"], generated["device"]) == (VAE, 3, "cpu")
    assert generated["peer"].startswith("ipv4:127.0.0.1:")
    assert 0 < generated["seconds"] < TIMEOUT_S
    assert (refused["status"], refused["model"]) == ("INVALID_ARGUMENT", "no\nsuch")
    assert refused["request"] != "a b"
    assert (started["layer"], started["pairs"]) == ("fc", 32)
    assert f"operations/{started['job']}" == job.name == f"operations/{waiting['job']}"
    assert (checked["level"], checked["method"]) == ("debug", "/grpc.health.v1.Health/Check")
    of_job = [line for line in told if line["event"].startswith("job ")]
    assert [line["event"] for line in of_job] == ["job created", "job started", "job done"]
    for line in of_job:
        assert (line["job"], line["request"]) == (started["job"], "mine-1")
        assert (line["layer"], line["pairs"], line["owner"]) == ("fc", 32, "alice")
    done = of_job[-1]
    assert (done["shards_done"], done["shards_total"], done["device"]) == (1, 1, "cpu")
    assert done["hybrids_a_second"] > 0
    assert 0 < done["seconds"] < TIMEOUT_S
