"""The server: generators and analyses over gRPC.

    from pathlib import Path
    from graftscope.server import embedded_server

    with embedded_server([Path("bundles/vae-celeba")]) as address:
        ...  # graftscope.client.Client(address)

Rooms: `engine` computes, `analysis` is arrays in and arrays out, `jobs` last, `rpc` is thin. The
server must not know torch or how generators are trained.
"""

from graftscope.server._running import embedded_server, serve
from graftscope.server.engine import Device
from graftscope.server.settings import Settings, make_settings

__all__ = ["Device", "Settings", "embedded_server", "make_settings", "serve"]
