"""What can be seen of a server from outside, in the tools that people have: metrics, and traces.

It reads what the other rooms count, and hears of calls that are over; none of them knows it.
"""

from graftscope.server.telemetry._look import Watched
from graftscope.server.telemetry._metrics_port import metrics_port
from graftscope.server.telemetry._tracing import chosen_tracing, tracing

__all__ = ["Watched", "chosen_tracing", "metrics_port", "tracing"]
