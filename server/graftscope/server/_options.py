"""The options of gRPC's server: how large, how many, and how long a silence."""

from graftscope.server.inference import REPLY_LIMIT_BYTES

MESSAGE_LIMIT_BYTES = 4 * 2**20
"""gRPC's own default; what is larger travels as an artifact."""

METADATA_LIMIT_BYTES = 16 * 2**10
STREAMS_A_CONNECTION = 8_192
_PENDING_CALLS = 100_000
# A client that is asked whether it is still there has this much of the interval to answer.
_ANSWER_SHARE = 0.5


def server_options(connections: int, keepalive_s: float, request_mib: int) -> list[tuple[str, int]]:
    """The options of `grpc.aio.server`.

    Args:
        connections: how many may be open at a time; those above are closed at once.
        keepalive_s: after how long a silence a client is asked whether it is still there.
        request_mib: how large a message may be that a client sends.
    """
    answer_ms = round(1e3 * _ANSWER_SHARE * keepalive_s)
    return [
        # Said on both ends, so that no default of another version changes the contract.
        ("grpc.max_receive_message_length", request_mib * 2**20),
        # Replies of the Open Inference Protocol have no other way; all others stay below.
        ("grpc.max_send_message_length", REPLY_LIMIT_BYTES + MESSAGE_LIMIT_BYTES),
        # A port in use is an error, not a share of the traffic.
        ("grpc.so_reuseport", 0),
        # A watcher behind a proxy may be silent for minutes: let clients ping that often.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Finds clients that vanished or froze, so that nothing is computed for them any longer; the
        # ping's own limit has to be set beside the interval.
        ("grpc.keepalive_time_ms", round(1e3 * keepalive_s)),
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),
        # What is too much is refused with a reason. Left to itself the library drops calls without
        # a word as soon as a thousand wait to be looked at.
        ("grpc.server.max_pending_requests", _PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS),
        # Likewise those that waited for half a minute. In seconds.
        ("grpc.server_max_unrequested_time_in_server", 600),
        # Calls above wait in the client until others of its connection have ended.
        ("grpc.max_concurrent_streams", STREAMS_A_CONNECTION),
        ("grpc.max_allowed_incoming_connections", connections),
        # Clients connect again without noticing: who is idle, or was once sent here, need not stay.
        ("grpc.max_connection_idle_ms", 10 * 60_000),
        ("grpc.max_connection_age_ms", 60 * 60_000),
        # Of a connection on which nobody speaks HTTP/2.
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.max_metadata_size", METADATA_LIMIT_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_LIMIT_BYTES),
    ]
