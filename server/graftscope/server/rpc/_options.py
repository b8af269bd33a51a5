"""All options of the gRPC server, each with its reason."""

MESSAGE_LIMIT_BYTES = 4 * 2**20
"""gRPC's own default; what is larger travels as an artifact."""


def server_options() -> list[tuple[str, int]]:
    """The options of `grpc.aio.server`."""
    return [
        # Said on both ends, so that no default of another version changes the contract.
        ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        # A port in use is an error, not a share of the traffic.
        ("grpc.so_reuseport", 0),
        # A watcher behind a proxy may be silent for minutes: let clients ping that often.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Finds clients that vanished; the ping's own limit has to be set beside the interval.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.ping_timeout_ms", 20_000),
    ]
