"""Who a caller is, by what they show, and whether they may call the method.

It must not know gRPC, or what the methods do.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from graftscope.server.access._known_tokens import KnownTokens
from graftscope.server.access._methods import method_of
from graftscope.server.access._principal import Principal, Role
from graftscope.server.access._refusals import Refusals
from graftscope.server.errors import (
    BadCertificate,
    BadToken,
    ExpiredToken,
    NoToken,
    PermissionDenied,
    RevokedToken,
    Unauthenticated,
)

_BEARER = re.compile("bearer +(.*)", re.IGNORECASE)
_IDENTITY = re.compile(r"[!-~]{1,100}")

_HOW_TO_SHOW_ONE = (
    "name its file with --token-file, or set GRAFTSCOPE_TOKEN; in Python, Client(token=...)"
)
_HOW_TO_GET_ONE = (
    "whoever runs the server makes one with `graftscope token create --name NAME --role ROLE`"
)

_WANTED = {
    "Influence": "compute influence maps",
    "Modules": "find modules",
    "Stability": "compute stability",
    "Magnitude": "compute magnitudes",
    "Faithfulness": "measure faithfulness",
    "Independence": "measure independence",
    "Reach": "measure what is reached",
    "Probe": "probe classifiers",
    "ShareOperation": "share a job",
    "CancelOperation": "cancel a job",
    "DeleteOperation": "delete a job",
    "RegisterModel": "add a model",
    "DeleteModel": "remove a model",
}
"""What methods that not everybody may call are for, in plain words."""


class Authentication(StrEnum):
    """How callers show who they are."""

    NONE = "none"
    """Nobody is asked."""
    TOKEN = "token"
    """By a bearer token."""
    CERTIFICATE = "certificate"
    """By their certificate, or by a token where they send one."""


@dataclass(frozen=True)
class Shown:
    """What a caller shows.

    Attributes:
        authorization: the header of this name; empty if there is none.
        identities: gives the subject alternative names of the client's certificate, which TLS
            verified.
        address: where the call comes from, without its port.
    """

    authorization: str
    identities: Callable[[], Sequence[str]]
    address: str


class Gate:
    """Lets callers in, or not.

    Args:
        authentication: how callers show who they are.
        tokens: the tokens that are known; None where nobody is asked.
        certificate_role: the role of who shows a certificate alone.
    """

    def __init__(
        self,
        authentication: Authentication = Authentication.NONE,
        tokens: KnownTokens | None = None,
        certificate_role: Role = Role.ANALYST,
    ) -> None:
        self._authentication = authentication
        self._tokens = tokens
        self._certificate_role = certificate_role
        self._refusals = Refusals()

    async def admit(self, path: str, shown: Shown) -> Principal:
        """Who calls the method of this path.

        Raises:
            Unauthenticated: they do not show who they are.
            PermissionDenied: they may not call it.
        """
        try:
            return await self._admitted(path, shown)
        except (Unauthenticated, PermissionDenied) as error:
            self._refusals.tell(error, shown.address)
            raise

    async def _admitted(self, path: str, shown: Shown) -> Principal:
        method = method_of(path)
        if method is None:
            raise PermissionDenied("this method is nobody's to call")
        if method.role is None:
            return Principal(Role.READER, address=shown.address)
        principal = await self._principal(shown)
        if principal.role < method.role:
            name = path.rpartition("/")[2]
            raise PermissionDenied(
                f"to {_WANTED.get(name, 'do this')} ({name}) takes the role {method.role.word}, and"
                f" {principal.owner!r} has the role {principal.role.word}; whoever runs the server"
                f" makes a token with `graftscope token create --name NAME"
                f" --role {method.role.word}`"
            )
        return principal

    async def _principal(self, shown: Shown) -> Principal:
        if self._tokens is None:
            return Principal(Role.ADMIN, address=shown.address)
        if shown.authorization:
            return await self._by_token(self._tokens, shown)
        if self._authentication is Authentication.CERTIFICATE:
            return Principal(self._certificate_role, _identity(shown), shown.address)
        raise NoToken(f"this server asks for a token: {_HOW_TO_SHOW_ONE}; {_HOW_TO_GET_ONE}")

    async def _by_token(self, tokens: KnownTokens, shown: Shown) -> Principal:
        bearer = _BEARER.fullmatch(shown.authorization)
        if bearer is None:
            raise BadToken("the authorization header is not `Bearer TOKEN`")
        token = await tokens.find(bearer[1].strip())
        if token is None:
            raise BadToken(f"this server does not know the token; {_HOW_TO_GET_ONE}")
        match token.state(time.time()):
            case "revoked":
                raise RevokedToken(f"token {token.name!r} was revoked; {_HOW_TO_GET_ONE}")
            case "expired":
                raise ExpiredToken(f"token {token.name!r} has expired; {_HOW_TO_GET_ONE}")
        return Principal(token.role, token.name, shown.address)


def _identity(shown: Shown) -> str:
    names = shown.identities()
    if not names:
        raise BadCertificate(
            "the client's certificate has no subject alternative name, which is who a caller is"
            " here; send a token, or get a certificate with one"
        )
    if not _IDENTITY.fullmatch(names[0]):
        raise BadCertificate(
            "the client's certificate has a subject alternative name that is not 1 to 100 ASCII"
            " characters without spaces"
        )
    return names[0]
