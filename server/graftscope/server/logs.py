"""The server's log: structured events through the standard library's loggers, to stderr.

Embedded in somebody's process the library only names its loggers; `serve` sets up where they go.
"""

import logging
import sys

import structlog

# Where nobody set up logging, Python would print warnings to stderr, beside the caller's own words.
logging.getLogger("graftscope.server").addHandler(logging.NullHandler())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of events with fields, below the logger `graftscope.server`."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"graftscope.server.{name}"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger


def tells_details(name: str) -> bool:
    """Whether the logger of this name tells the level debug; a look-up, as every call asks."""
    return logging.getLogger(f"graftscope.server.{name}").isEnabledFor(logging.DEBUG)


def log_to_stderr(level: str) -> None:
    """Sends events from this level up to stderr, a line each.

    Args:
        level: debug, info, warning or error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("graftscope.server")
    logger.setLevel(level.upper())
    logger.handlers = [handler]
    logger.propagate = False
