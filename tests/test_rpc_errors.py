"""Every error has one status and one reason, and fits into a reply."""

import errno
import inspect
import os
import re
from types import ModuleType

import grpc
import pytest

import graftscope.bundle.errors
import graftscope.graph.errors
import graftscope.server.analysis._errors
import graftscope.server.errors
from graftscope.bundle import BundleError
from graftscope.server import errors
from graftscope.server.jobs import Failure
from graftscope.server.rpc._errors import (
    TABLE,
    classify,
    describe_failure,
    status_of_error,
    status_of_failure,
)
from graftscope.v1 import originals_pb2
from request_toys import LAYER, generate, influence, tensor
from server_toys import Stubs, details_of, refused

ROOMS = (
    graftscope.server.errors,
    graftscope.server.analysis._errors,
    graftscope.bundle.errors,
    graftscope.graph.errors,
)
# Nobody raises the roots of these two trees themselves.
ROOTS = {errors.ServerError, graftscope.server.analysis._errors.AnalysisError}


def errors_of(room: ModuleType) -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(room, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == room.__name__ and kind not in ROOTS
    ]


ALL = [kind for room in ROOMS for kind in errors_of(room)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_mapped(kind: type[Exception]) -> None:
    status, reason = classify(kind("what was wrong"))
    assert reason != "INTERNAL"
    assert status not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.OK)


@pytest.mark.parametrize("kind", [kind for kind in ALL if issubclass(kind, errors.ServerError)])
def test_the_servers_errors_and_the_table_have_one_reason(kind: type[errors.ServerError]) -> None:
    assert classify(kind("what was wrong"))[1] == kind.reason


def test_no_row_of_the_table_hides_a_later_one() -> None:
    kinds = [kind for kind, _, _ in TABLE]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:index])


def test_a_reason_has_one_status() -> None:
    assert len({reason for _, _, reason in TABLE}) == len({(s, r) for _, s, r in TABLE})


def test_what_nobody_foresaw_is_told_by_its_kind_and_where_the_log_has_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = status_of_error(KeyError("z"))
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    told = re.fullmatch(
        "unexpected KeyError; the server's log tells more under (\\w{8})", status.message
    )
    assert told
    assert f"number='{told[1]}'" in caplog.text
    assert "KeyError: 'z'" in caplog.text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/state/artifacts/incoming-1"),
            "what the server keeps cannot be read or written: No space left on device",
        ),
        (BundleError("'/srv/my bundles/gan/graph.onnx' is damaged"), "'graph.onnx' is damaged"),
        (
            errors.Corrupt("Load from /srv/b/gan.onnx failed:/core/x.cc:12"),
            "Load from gan.onnx failed:x.cc:12",
        ),
        (errors.Corrupt(r"D:\bundles\gan.onnx, at 8/16 hybrids/s"), "gan.onnx, at 8/16 hybrids/s"),
        # What the caller said themselves is told as it was.
        (
            errors.InvalidInput("model '/etc/passwd' is malformed"),
            "model '/etc/passwd' is malformed",
        ),
    ],
)
def test_no_path_of_the_server_is_told(error: Exception, told: str) -> None:
    assert status_of_error(error).message == told
    assert describe_failure(error).message == told


def test_that_no_descriptor_is_left_is_no_damage_and_passes() -> None:
    status = status_of_error(OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/srv/x"))
    assert (status.code, details_of(status)) == (8, ("OVERLOADED", ""))
    assert "as many files and connections open as it may" in status.message


def test_an_error_of_the_system_is_told_without_the_file() -> None:
    status = status_of_error(PermissionError(errno.EACCES, "Permission denied", "/srv/secret"))
    assert status.message == "what the server keeps cannot be read or written: Permission denied"
    assert details_of(status) == ("STORAGE_FAILED", "")


def test_a_failure_keeps_its_reason_and_line() -> None:
    failure = describe_failure(errors.NotFound("no\nmodel", field="model"))
    assert failure == Failure("NOT_FOUND", "no model")
    status = status_of_failure(failure)
    assert (status.code, details_of(status)) == (5, ("NOT_FOUND", ""))


def test_a_reason_of_another_version_is_no_reason_to_fail() -> None:
    status = status_of_failure(Failure("GONE_SINCE", "why"))
    assert (status.code, status.message) == (grpc.StatusCode.INTERNAL.value[0], "why")


@pytest.mark.parametrize("letter", ["x", "é", "✂", "😀"])
def test_a_message_that_repeats_a_long_value_is_shortened(toy_server: Stubs, letter: str) -> None:
    told = refused(lambda: toy_server.analyses.Influence(influence(layer=letter * 100_000)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.message.startswith(f"layer '{letter}")
    assert "fc (coarse)" in told.message
    assert told.field == "layer"
    toy_server.goes_on()


def test_a_field_that_repeats_a_long_name_is_shortened(toy_server: Stubs) -> None:
    named = originals_pb2.Latents(inputs={"✂" * 100_000: tensor("FP16", b"")})
    told = refused(lambda: toy_server.models.Generate(generate(latents=named)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.field.startswith("latents[✂")
    toy_server.goes_on()


def test_messages_are_utf8(toy_server: Stubs) -> None:
    told = refused(lambda: toy_server.analyses.Influence(influence(layer="größe ✂")))
    assert "'größe ✂'" in told.message
    assert LAYER in told.message
