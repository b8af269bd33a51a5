"""What is known of the server at the other end: its version, and how to explain its errors."""

import warnings
from collections.abc import Iterable
from typing import Protocol

import grpc

from graftscope.client.calls._addresses import proxy_to
from graftscope.client.errors import GraftscopeError, VersionError
from graftscope.client.version import METADATA_KEY, VersionWarning, client_version, differs
from graftscope.client.wire import DETAILS_KEY, ErrorDetails, error_class, told_in_own_words

Metadata = Iterable[tuple[str, str | bytes]]


class FailedCall(Protocol):
    """What synchronous and asynchronous calls tell of their failure."""

    def code(self) -> grpc.StatusCode:
        """Tell the status."""

    def details(self) -> str | None:
        """Tell the message."""

    def initial_metadata(self) -> Metadata | None:
        """Tell what came before the reply."""

    def trailing_metadata(self) -> Metadata | None:
        """Tell what came after it."""


class Peer:
    """A server, as far as its replies have told.

    Args:
        address: Where it is, for messages.
        ca_given: Whether the authority of its certificate was named.
    """

    def __init__(self, address: str, *, ca_given: bool = False) -> None:
        self._ca_given = ca_given
        self.address = address
        self.version = ""

    def heard(self, *received: Metadata | None) -> None:
        """Take note of a call's metadata; warns once if the versions differ."""
        if self.version:
            return
        self.version = _text([x for metadata in received for x in metadata or ()], METADATA_KEY)
        if self.version and differs(client_version(), self.version):
            warnings.warn(
                f"the server at {self.address} is graftscope {self.version}, this client is"
                f" {client_version()}: some calls may fail",
                VersionWarning,
                stacklevel=2,
            )

    def error(self, call: FailedCall, method: str) -> GraftscopeError:
        """Turn a failed call into the tree's error.

        Args:
            call: The call.
            method: What was called, for the message.

        Returns:
            The error to raise.
        """
        self.heard(call.initial_metadata(), call.trailing_metadata())
        status, message = call.code(), call.details() or ""
        details = _details(call)
        if not details.reason:
            if status is grpc.StatusCode.UNIMPLEMENTED:
                return VersionError(self._unknown_method(method))
            message = self._explained(status, message)
        return error_class(status, details.reason)(
            told_in_own_words(message),
            reason=details.reason,
            field=details.field,
            retry_after_s=details.retry_after_s,
        )

    def _unknown_method(self, method: str) -> str:
        mine = client_version()
        if self.version:
            return (
                f"the server at {self.address} is graftscope {self.version} and does not know"
                f" {method}, which this client ({mine}) calls: upgrade the older of the two"
            )
        return (
            f"what listens at {self.address} speaks gRPC but does not know {method}: it is not a"
            f" Graftscope server, or one of another version than this client ({mine})"
        )

    def _explained(self, status: grpc.StatusCode, message: str) -> str:
        """Say what a status of gRPC itself means here."""
        match status:
            case grpc.StatusCode.UNAVAILABLE:
                proxy = proxy_to(self.address)
                way = f"; it was called {proxy}" if proxy else ""
                return f"{self._why_unavailable(message)} ({_last_part(message)}){way}"
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return (
                    f"the server at {self.address} did not answer in time;"
                    " allow more with `timeout_s`"
                )
            case _:
                return message or f"the server at {self.address} answered {status.name}"

    def _why_unavailable(self, message: str) -> str:
        if told := self._why_no_tls(message):
            return told
        if "SETTINGS" in message or "HTTP/2" in message or "http1" in message:
            return f"what listens at {self.address} does not speak gRPC"
        if "resolv" in message or "lookup" in message:
            return f"the host of server {self.address} is unknown"
        if "onnect" in message and not self.version:
            return f"no server answers at {self.address}"
        return f"the connection to the server at {self.address} is lost"

    def _why_no_tls(self, message: str) -> str:
        """Say why no connection through TLS came about; empty where it is something else."""
        if "WRONG_VERSION_NUMBER" in message:
            return (
                f"what listens at {self.address} does not speak TLS: leave out `tls`, and unset"
                " GRAFTSCOPE_CA, if it is a server without"
            )
        if "Hostname Verification" in message or "peer name" in message.lower():
            return f"the certificate of the server at {self.address} is for another host"
        if "CERTIFICATE_VERIFY_FAILED" in message:
            why = (
                "the authority that was named has not signed it"
                if self._ca_given
                else "name the file of its authority with `tls` or GRAFTSCOPE_CA"
            )
            return f"the certificate of the server at {self.address} is not trusted: {why}"
        if "Socket closed" in message and not self.version:
            why = (
                "speak no TLS"
                if self._ca_given
                else "speak TLS (name the file of its authority with `tls` or GRAFTSCOPE_CA)"
            )
            return (
                f"what listens at {self.address} broke off at once: it may {why}, or ask for a"
                " client's certificate"
            )
        return ""


def _details(call: FailedCall) -> ErrorDetails:
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return ErrorDetails.from_trailers(value)
    return ErrorDetails()


def _text(metadata: Metadata, wanted: str) -> str:
    return next((str(value) for key, value in metadata if key == wanted), "")


def _last_part(message: str) -> str:
    """Cut gRPC's chain of causes to its last one."""
    return message.rpartition("last error: ")[2].removeprefix("UNKNOWN: ").strip() or "no reason"
