"""Calls: channels, sequences of calls for both clients, and the server that a client starts itself.

It must not know what is done with the answers.
"""

# Before gRPC is imported, which reads once whether it is to survive a fork.
from graftscope.client.calls._forks import refuse_pickling

# isort: split
from graftscope.client.calls import _analyses as analyses
from graftscope.client.calls import _models as models
from graftscope.client.calls import _operations as operations
from graftscope.client.calls import _partials as partials
from graftscope.client.calls._access import TLS, Access, GivenTLS, Way, read_token
from graftscope.client.calls._async import AsyncDriver
from graftscope.client.calls._channel import DEFAULT_TIMEOUT_S
from graftscope.client.calls._embedded import (
    DEVICES,
    Reached,
    ServerChoice,
    close_at_exit,
    foreign_error,
    import_room,
    reached,
    translated,
)
from graftscope.client.calls._environment import (
    ADDRESS_VARIABLE,
    CA_VARIABLE,
    CONFIG_VARIABLE,
    DEBUG_VARIABLE,
    TOKEN_VARIABLE,
    check_environment,
    unknown_variables,
)
from graftscope.client.calls._exploration import AsyncExploration, Exploration
from graftscope.client.calls._server_settings import SERVER_SETTINGS, Setting
from graftscope.client.calls._sync import SyncDriver

__all__ = [
    "ADDRESS_VARIABLE",
    "CA_VARIABLE",
    "CONFIG_VARIABLE",
    "DEBUG_VARIABLE",
    "DEFAULT_TIMEOUT_S",
    "DEVICES",
    "SERVER_SETTINGS",
    "TLS",
    "TOKEN_VARIABLE",
    "Access",
    "AsyncDriver",
    "AsyncExploration",
    "Exploration",
    "GivenTLS",
    "Reached",
    "ServerChoice",
    "Setting",
    "SyncDriver",
    "Way",
    "analyses",
    "check_environment",
    "close_at_exit",
    "foreign_error",
    "import_room",
    "models",
    "operations",
    "partials",
    "reached",
    "read_token",
    "refuse_pickling",
    "translated",
    "unknown_variables",
]
