"""Facts about the tree of errors, its table and its exit codes."""

import re

import grpc
import pytest

from graftscope.client import errors
from graftscope.client.calls import foreign_error
from graftscope.client.errors import GraftscopeError
from graftscope.client.wire import ERRORS, error_class


def all_errors() -> list[type[GraftscopeError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [each for each in found if issubclass(each, GraftscopeError)]


@pytest.mark.parametrize("status", [code for code in grpc.StatusCode if code.name != "OK"])
def test_every_status_has_an_error_of_its_own(status: grpc.StatusCode) -> None:
    assert error_class(status) is not GraftscopeError


def test_no_row_of_the_table_is_hidden_by_an_earlier_one() -> None:
    keys = [(row.status, row.reason) for row in ERRORS]
    assert len(set(keys)) == len(keys)
    assert all((row.status is None) == bool(row.reason) for row in ERRORS)


def test_a_reason_says_more_than_its_status() -> None:
    status = grpc.StatusCode.FAILED_PRECONDITION
    assert error_class(status, "DEVICE_UNAVAILABLE") is errors.UnsupportedError
    assert error_class(status, "PRECISION_UNAVAILABLE") is errors.UnsupportedError
    assert error_class(status, "REGISTRATION_OFF") is errors.UnsupportedError
    assert error_class(grpc.StatusCode.RESOURCE_EXHAUSTED, "MEMORY_LIMIT") is errors.InputError
    assert error_class(None, "REQUEST_ID_REUSED") is errors.InputError
    assert error_class(grpc.StatusCode.PERMISSION_DENIED, "BAD_TOKEN").exit_code == 4
    assert error_class(status, "A_REASON_OF_THE_FUTURE") is errors.JobError


def test_every_error_is_drawn_with_its_exit_code_and_its_builtin_base() -> None:
    drawn = errors.__doc__ or ""
    for error in all_errors():
        line = next(
            line for line in drawn.splitlines() if re.search(rf"\b{error.__name__}\b", line)
        )
        assert re.search(rf"\s{error.exit_code}\b", line), line
        builtin = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins"]
        assert builtin in ([], ["Exception"]) or f"({builtin[0]})" in line, line


def test_every_error_can_be_raised_with_a_message_a_reason_and_a_field() -> None:
    for error in all_errors():
        raised = error("what was wrong", reason="A_REASON", field="pairs.count")
        assert (str(raised), raised.reason, raised.field) == (
            "what was wrong",
            "A_REASON",
            "pairs.count",
        )


def test_another_rooms_refusals_become_errors_of_their_kind() -> None:
    def refused(*bases: type[Exception]) -> Exception:
        kind = type("Refusal", bases, {"__module__": "graftscope.bundle.errors"})
        made: Exception = kind("the bundle is\n damaged")
        return made

    assert isinstance(foreign_error(refused(ValueError)), errors.InputError)
    assert isinstance(foreign_error(refused(ValueError, LookupError)), errors.NotFoundError)
    assert isinstance(foreign_error(refused(ImportError)), errors.MissingExtraError)
    assert str(foreign_error(refused(ValueError))) == "the bundle is damaged"
    assert foreign_error(ValueError("of nobody's")) is None


def test_another_rooms_reason_decides_before_its_kind() -> None:
    kind = type(
        "AddressInUse",
        (Exception,),
        {"__module__": "graftscope.server.errors", "reason": "ADDRESS_IN_USE"},
    )
    assert isinstance(foreign_error(kind("port 80")), errors.UnavailableError)
