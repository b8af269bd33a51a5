"""How whatever goes wrong becomes one line, in the words of the command line, and an exit code."""

import os
import re
import sys
import traceback
from collections.abc import Mapping

import typer

from graftscope.client.errors import EXIT_BROKEN_PIPE, EXIT_UNEXPECTED, GraftscopeError

_SENTENCES = (
    (r"No such option: (\S+) \(Possible options: (.+)\)", r"there is no option \1; near are: \2"),
    (r"No such option: (\S+)", r"there is no option \1"),
    (r"No such command ('.*')\. Did you mean (.+)\?", r"there is no verb \1; near are: \2"),
    (r"No such command ('.*')\.", r"there is no verb \1"),
    (r"Missing option '(.+?)'\.", r"\1 is missing"),
    (r"Missing argument '(.+?)'\.", r"\1 is missing"),
    (r"Missing command\.", "say which verb"),
    (r"Option '(.+?)' requires an argument\.", r"\1 takes a value"),
    (r"Option '(.+?)' does not take a value\.", r"\1 takes no value"),
    (r"Got unexpected extra argument\(?s?\)? \((.+)\)", r"nothing takes the argument \1"),
)
"""What typer says, and how it is said here."""


def failed(error: Exception) -> int:
    """Say in one line what went wrong, and give its exit code."""
    from graftscope.client.calls import DEBUG_VARIABLE  # all that calls is slow to import

    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
    message, code = _told(error)
    sys.stderr.write(f"graftscope: {message}\n")
    return code


def unread() -> int:
    """End in silence, as programs do whose reader went away; gives the exit code.

    What is still in a buffer would break the pipe again when the interpreter ends.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    return EXIT_BROKEN_PIPE


def call_by_options(error: GraftscopeError, options: Mapping[str, str]) -> None:
    """Have an error name options where it names fields of requests.

    Args:
        error: Of the library, which calls fields as Python does: at the beginning of the message
            the one that is to blame, others between backquotes.
        options: What a verb's options are called, by the fields' names.
    """
    message = re.sub(r"`(\w+)`", lambda found: options.get(found[1], found[0]), str(error))
    if error.field in options:
        message = re.sub(rf"^{re.escape(error.field)}\b", options[error.field], message)
    error.args = (message,)


def _told(error: Exception) -> tuple[str, int]:
    from graftscope.client.calls import DEBUG_VARIABLE, foreign_error

    if isinstance(error, typer.TyperException):
        return f"{_usage(_one_line(error.format_message()))} (see --help)", error.exit_code
    known = error if isinstance(error, GraftscopeError) else foreign_error(error)
    if known is not None:
        return _one_line(str(known)), known.exit_code
    kind = type(error).__name__
    hint = f"{DEBUG_VARIABLE}=1 shows where"
    return f"unexpected {kind}: {_one_line(str(error))} ({hint})", EXIT_UNEXPECTED


def _usage(sentence: str) -> str:
    """Say what typer says as everything else is said."""
    for pattern, ours in _SENTENCES:
        if found := re.fullmatch(pattern, sentence):
            return found.expand(ours)
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


def _one_line(text: str) -> str:
    return " ".join(text.split())
