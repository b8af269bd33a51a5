"""The server's log: structured events through the standard library's loggers, to stderr.

A record's message is the event with its fields in one line, and the fields go along, so that a
formatter can write them as JSON. No line holds a token or the password of a URL, and what callers
name cannot break one: text is quoted as Python quotes it, JSON in ASCII.

Embedded in somebody's process the library only names its loggers; `serve` sets up where they go.
"""

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Literal, TypeAlias

import structlog
from structlog.typing import EventDict, WrappedLogger

LogFormat: TypeAlias = Literal["text", "json"]

_ROOT = "graftscope.server"
_FIELDS = "fields"
"""The attribute of a record that holds its event's fields."""

_HIDDEN = "***"
_SECRETS = re.compile(
    # A URL's password, with whose it is, up to the last @ that there is; the same without its
    # scheme; and a token of this server, wherever it stands.
    r"""(?<=://)[^\s/'"]*:[^\s'"]*(?=@)|[^\s/@'":=]*:[^\s/@'"]*(?=@)|\bgs_[A-Za-z0-9_-]{20,}"""
)

# Where nobody set up logging, Python would print warnings to stderr, beside the caller's own words.
logging.getLogger(_ROOT).addHandler(logging.NullHandler())

_as_text = structlog.processors.KeyValueRenderer(key_order=["event"])


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of events with fields, below the logger `graftscope.server`."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        _logger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _handed_on,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def join(**fields: str) -> None:
    """Adds fields to every event of this task from now on, and of what it starts.

    So the lines of a call and of its job tell that they belong together.

    Args:
        fields: such as the request's id; an empty one is left out.
    """
    structlog.contextvars.bind_contextvars(**{key: value for key, value in fields.items() if value})


def tells_details(name: str) -> bool:
    """Whether the logger of this name tells the level debug; a look-up, as every call asks."""
    return _logger(name).isEnabledFor(logging.DEBUG)


@cache
def _logger(name: str) -> logging.Logger:
    return logging.getLogger(f"{_ROOT}.{name}")


def log_to_stderr(level: str, log_format: LogFormat = "text") -> None:
    """Sends events from this level up to stderr, a line each.

    Args:
        level: debug, info, warning or error.
        log_format: text, or json for an object a line; then what other libraries warn of is one
            too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json() if log_format == "json" else _Text("%(asctime)s %(levelname)s %(message)s")
    )
    logger = logging.getLogger(_ROOT)
    logger.setLevel(level.upper())
    logger.handlers = [handler]
    logger.propagate = False
    if log_format == "json":
        logging.getLogger().handlers = [handler]
        logging.captureWarnings(True)


class _Line:
    """An event in one line, written when somebody reads it as text."""

    def __init__(self, event: EventDict) -> None:
        self._event = event

    def __str__(self) -> str:
        return _without_secrets(_as_text(None, "", dict(self._event)))


def _handed_on(
    logger: WrappedLogger, method: str, event: EventDict
) -> tuple[tuple[_Line], dict[str, dict[str, EventDict]]]:
    """What the standard library's logger is called with: the line, and the fields beside it."""
    return (_Line(event),), {"extra": {_FIELDS: event}}


def _without_secrets(text: str) -> str:
    # Most lines have nothing that could be one.
    return _SECRETS.sub(_HIDDEN, text) if "@" in text or "gs_" in text else text


class _Text(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        return _without_secrets(super().format(record))


class _Json(logging.Formatter):
    """One object a line: timestamp, level, logger, event, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, _FIELDS, None) or self._of_others(record))
        told = {
            "timestamp": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": fields.pop("event"),
            **fields,
        }
        return _without_secrets(json.dumps(_finite(told), default=str))

    def _of_others(self, record: logging.LogRecord) -> dict[str, object]:
        """The fields of a record that another library made."""
        fields: dict[str, object] = {"event": record.getMessage()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return fields


def _utc(seconds: float) -> str:
    """ISO 8601, in milliseconds."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _finite(value: object) -> object:
    """The value, where JSON has no numbers for some of it with their names instead."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {str(key): _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value
