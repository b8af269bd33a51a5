"""The explorer: a page on which modules are grafted by hand, and the gateway that serves it.

The gateway is a client of the service, as any other is, and speaks with the page over a WebSocket.
It must not know the server's engine, sessions or torch, and it sends nothing anywhere but to the
page and to the service.
"""

from graftscope.explorer._access import Admission
from graftscope.explorer._certificate import Certificate
from graftscope.explorer._door import Door, Visitor
from graftscope.explorer._framing import Framing
from graftscope.explorer._gateway import gateway
from graftscope.explorer._listening import DEFAULT_PORT, listening
from graftscope.explorer._serving import reached_at, serve
from graftscope.explorer._signing_in import SignIn, require_tokens
from graftscope.explorer._states import MODULES, SEEDS, Shown, saved_state
from graftscope.explorer._way import Way

__all__ = [
    "DEFAULT_PORT",
    "MODULES",
    "SEEDS",
    "Admission",
    "Certificate",
    "Door",
    "Framing",
    "Shown",
    "SignIn",
    "Visitor",
    "Way",
    "gateway",
    "listening",
    "reached_at",
    "require_tokens",
    "saved_state",
    "serve",
]
