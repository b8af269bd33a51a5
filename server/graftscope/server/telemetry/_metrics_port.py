"""A port of its own on which Prometheus reads metrics, over plain HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from graftscope.server._listening import host_and_port, is_local
from graftscope.server.errors import AddressInUse
from graftscope.server.logs import get_logger
from graftscope.server.telemetry._look import Watched

_log = get_logger("server")


@contextmanager
def metrics_port(address: str | None, watched: Watched) -> Iterator[str | None]:
    """Answers scrapes until the block is left, in threads of its own.

    There is neither TLS nor a question who asks: metrics name methods and principals, and tell
    nothing that was computed.

    Args:
        address: HOST:PORT, where port 0 takes any free one; a port alone, which is loopback's;
            None for no such port, at no cost.
        watched: what is told of.

    Yields:
        HOST:PORT that is listened on.

    Raises:
        InvalidInput: the address is malformed.
        AddressInUse: somebody listens there already, or the host is not this machine's.
    """
    if address is None:
        yield None
        return
    # Slow to import, and few servers have such a port.
    from prometheus_client import disable_created_metrics

    from graftscope.server.telemetry._metrics import Metrics
    from graftscope.server.telemetry._metrics_http import MetricsServer

    host, port = host_and_port(address, "metrics", "")
    # A series more for each counter, about which nobody asks.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics = Metrics(watched)
    try:
        server = MetricsServer(host.strip("[]"), port, metrics.registry)
    except (OSError, OverflowError) as error:
        raise AddressInUse(
            f"cannot serve metrics on {address!r}: the port is in use or the host is not this "
            "machine's; choose another with --metrics HOST:PORT (port 0 takes any free one)"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    watched.calls.listen(metrics.observe)
    bound = f"{host}:{server.server_port}"
    seen_by = "this machine alone" if is_local(bound) else "other machines too, unprotected"
    _log.info("metrics", address=f"http://{bound}/metrics", seen_by=seen_by)
    try:
        yield bound
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
