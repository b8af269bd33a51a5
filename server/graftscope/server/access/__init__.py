"""Who calls, and what each method takes of a caller and of the server.

It must not know jobs, the engine or what the methods do.
"""

from graftscope.server.access._methods import METHODS, Method, Work, method_of
from graftscope.server.access._principal import ANYBODY, Principal, Role, caller, set_caller

__all__ = [
    "ANYBODY",
    "METHODS",
    "Method",
    "Principal",
    "Role",
    "Work",
    "caller",
    "method_of",
    "set_caller",
]
