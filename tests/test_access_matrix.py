"""Every method, for every kind of caller, over every transport: let in or refused as documented."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from access_toys import Papers, bearer, papers, protected, tokens_of
from graftscope.server.access import METHODS, Role
from graftscope.server.inference import described
from server_toys import TIMEOUT_S, refusal_of

TRANSPORTS = ("plaintext", "tls", "mutual-tls")
CALLERS = ("no", "bad", "expired", "revoked", "reader", "analyst", "admin")

REASONS = {
    "no": "NO_TOKEN",
    "bad": "BAD_TOKEN",
    "expired": "EXPIRED_TOKEN",
    "revoked": "REVOKED_TOKEN",
}
LET_IN = "let in"
ROLES = {role.word: role for role in Role}


def documented(transport: str, caller: str, path: str) -> str:
    """What docs/serving.md says of a cell."""
    needed = METHODS[path].role
    if needed is None:
        return LET_IN
    if caller == "no" and transport == "mutual-tls":
        caller = "analyst"  # Its certificate speaks for it.
    if caller in REASONS:
        return REASONS[caller]
    return LET_IN if ROLES[caller] >= needed else "PERMISSION_DENIED"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def shown(state: Path) -> dict[str, str | None]:
    """The token of each kind of caller."""
    with tokens_of(state) as store:
        texts = {word: store.create(word, role)[0] for word, role in ROLES.items()}
        expired, _ = store.create("expired", Role.ADMIN, lasts_s=1e-9)
        revoked, _ = store.create("revoked", Role.ADMIN)
        store.revoke("revoked")
    bad = texts["admin"][:-1] + ("A" if texts["admin"][-1] != "A" else "B")
    return {"no": None, "bad": bad, "expired": expired, "revoked": revoked, **texts}


@pytest.fixture(scope="module", params=TRANSPORTS)
def channel(
    request: pytest.FixtureRequest, toy_vae_bundle: Path, state: Path, made: Papers
) -> Iterator[tuple[str, grpc.Channel]]:
    transport: str = request.param
    settings: dict[str, object] = {}
    if transport != "plaintext":
        settings["tls_cert"], settings["tls_key"] = made.of_server()
    if transport == "mutual-tls":
        settings |= {"tls_client_ca": made.ca, "auth": "certificate"}
    with ExitStack() as stack:
        address = stack.enter_context(protected([toy_vae_bundle], state, **settings))
        channel = (
            grpc.insecure_channel(address)
            if transport == "plaintext"
            else grpc.secure_channel(address, made.credentials(client=transport == "mutual-tls"))
        )
        yield transport, stack.enter_context(channel)


def begin(channel: grpc.Channel, path: str, token: str | None) -> Any:
    """Starts a call with an empty request."""
    method, on = method_at(path), cast(Any, channel)
    options: dict[str, Any] = {"metadata": bearer(token), "timeout": TIMEOUT_S}
    match (method.client_streaming, method.server_streaming):
        case (False, False):
            return on.unary_unary(path).future(b"", **options)
        case (False, True):
            return on.unary_stream(path)(b"", **options)
        case (True, False):
            return on.stream_unary(path).future(iter(()), **options)
        case _:
            return on.stream_stream(path)(iter(()), **options)


def method_at(path: str) -> MethodDescriptor:
    service, _, name = path.lstrip("/").partition("/")
    return described([service]).FindServiceByName(service).methods_by_name[name]


def outcome(call: Any, path: str) -> str:
    """Let in, or the reason why not."""
    try:
        if not method_at(path).server_streaming:
            call.result()
        else:
            # Health's watch goes on for ever.
            next(call, None)
            call.cancel()
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        if refusal.code is grpc.StatusCode.UNAUTHENTICATED:
            return refusal.reason
        if refusal.code is grpc.StatusCode.PERMISSION_DENIED:
            return refusal.code.name
        assert refusal.code is not grpc.StatusCode.INTERNAL
    return LET_IN


@pytest.mark.parametrize("caller", CALLERS)
def test_each_cell_is_as_documented(
    channel: tuple[str, grpc.Channel], shown: dict[str, str | None], caller: str
) -> None:
    transport, open_channel = channel
    # All at once: whoever shows a token that nobody knows waits a moment.
    calls = {path: begin(open_channel, path, shown[caller]) for path in METHODS}
    found = {path: outcome(call, path) for path, call in calls.items()}
    assert found == {path: documented(transport, caller, path) for path in METHODS}


def test_a_refusal_says_what_to_do_and_never_the_token(
    channel: tuple[str, grpc.Channel], shown: dict[str, str | None]
) -> None:
    transport, open_channel = channel
    path = "/graftscope.v1.AnalysisService/Influence"
    said = {
        "no": "asks for a token: name its file with --token-file, or set GRAFTSCOPE_TOKEN",
        "bad": "does not know the token",
        "expired": "token 'expired' has expired",
        "revoked": "token 'revoked' was revoked",
        "reader": "to compute influence maps (Influence) takes the role analyst, and 'reader' has",
    }
    for caller, text in said.items():
        if (transport, caller) == ("mutual-tls", "no"):
            continue
        with pytest.raises(grpc.RpcError) as caught:
            begin(open_channel, path, shown[caller]).result()
        message = refusal_of(caught.value).message
        assert text in message
        assert "graftscope token create" in message
        assert str(shown[caller]) not in str(caught.value)


def test_what_is_no_bearer_token_is_refused(channel: tuple[str, grpc.Channel]) -> None:
    call = cast(Any, channel[1]).unary_unary("/graftscope.v1.ModelService/ListModels")
    for header in (
        "Basic YTpi",
        "gs_abc",
        "Bearer",
        "Bearer ",
        "Bearer gs_",
        "Bearer " + "x" * 4000,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=[("authorization", header)], timeout=TIMEOUT_S)
        told = refusal_of(caught.value)
        assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "BAD_TOKEN")
