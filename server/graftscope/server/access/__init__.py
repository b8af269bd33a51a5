"""Who calls, and what each method takes of a caller and of the server.

It must not know jobs, the engine or what the methods do.
"""

from graftscope.server.access._certificates import CertificateFiles, Certificates, Pem
from graftscope.server.access._gate import Authentication, Gate, Shown
from graftscope.server.access._grants import Grants, GrantStore
from graftscope.server.access._handshake import (
    Certificate,
    authorities_in,
    certificate_of,
    names_of,
    shown_certificate,
)
from graftscope.server.access._known_tokens import KnownTokens
from graftscope.server.access._methods import METHODS, Method, Work, method_of
from graftscope.server.access._principal import ANYBODY, Principal, Role, caller, set_caller
from graftscope.server.access._tokens import PREFIX, Token, TokenStore, kept_tokens

__all__ = [
    "ANYBODY",
    "METHODS",
    "PREFIX",
    "Authentication",
    "Certificate",
    "CertificateFiles",
    "Certificates",
    "Gate",
    "GrantStore",
    "Grants",
    "KnownTokens",
    "Method",
    "Pem",
    "Principal",
    "Role",
    "Shown",
    "Token",
    "TokenStore",
    "Work",
    "authorities_in",
    "caller",
    "certificate_of",
    "kept_tokens",
    "method_of",
    "names_of",
    "set_caller",
    "shown_certificate",
]
