"""The server: generators and analyses over gRPC.

    from pathlib import Path
    from graftscope.server import embedded_server

    with embedded_server([Path("bundles/vae-celeba")]) as address:
        ...  # graftscope.client.Client(address)

Rooms: `engine` computes, `analysis` is arrays in and arrays out, `workers` can be killed, `jobs`
last, `rpc` is thin. The server must not know torch or how generators are trained.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graftscope.server._running import embedded_server, serve
    from graftscope.server.engine import Device
    from graftscope.server.settings import Settings, make_settings

__all__ = ["Device", "Settings", "embedded_server", "make_settings", "serve"]

_ROOMS = {
    "Device": "engine",
    "Settings": "settings",
    "embedded_server": "_running",
    "make_settings": "settings",
    "serve": "_running",
}


def __getattr__(name: str) -> object:
    """What is named, from its room, imported when it is first asked for.

    The processes of `workers` import single rooms, and must not wait for the whole server.
    """
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
