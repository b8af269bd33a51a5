"""Settings from a file, the environment and flags, each value with where it comes from.

The later wins; what one of them says is checked even where a later one overrides it. It must not
know what the settings do.
"""

import difflib
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from graftscope.server.errors import InvalidInput, NotFound
from graftscope.server.settings._declared import PREFIX, SECRETS, allowed, flag, is_list
from graftscope.server.settings._fields import Settings

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""The variable that names a file where no flag does."""

_PLACES = ("state", "jobs_url")
"""What says where jobs and tokens are kept."""

_MOST_BYTES = 2**20
"""Of a configuration file."""

_MOST_CHARACTERS = 200
"""Of what was said, in a message."""


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Attributes:
        kind: what said it.
        place: FILE:LINE, the variable or the flag; empty for a default.
    """

    kind: Literal["default", "file", "variable", "flag"]
    place: str = ""

    def __str__(self) -> str:
        """As it is printed."""
        return self.place or self.kind


@dataclass(frozen=True)
class Configuration:
    """Settings, and where those come from that are not defaults."""

    settings: Settings
    origins: Mapping[str, Origin]

    def origin(self, name: str) -> Origin:
        """Where a setting comes from."""
        return self.origins.get(name, Origin("default"))


def configure(
    flags: Mapping[str, object],
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Configuration:
    """Settings of a server that is started by a command.

    Args:
        flags: values that were given as options, by the settings' names, as text or parsed.
        config: a file of TOML whose keys are settings' names, and whose relative paths are
            relative to it; None for the one that GRAFTSCOPE_CONFIG names, if any.
        environ: variables such as GRAFTSCOPE_WORKERS; one that is empty sets nothing.

    Raises:
        NotFound: the file is not there.
        InvalidInput: a key is unknown, or a value is not allowed; names the place of both.
    """
    called = {name: flag(name) for name in flags if name in Settings.model_fields}
    return _configured(flags, called, config, environ)


def make_settings(**chosen: object) -> Settings:
    """Settings from what is chosen; file, environment and defaults fill in the rest.

    Raises:
        NotFound: the file that GRAFTSCOPE_CONFIG names is not there.
        InvalidInput: a value is not allowed; names the setting, its variable, or its place.
    """
    return _configured(chosen, {name: name for name in chosen}, None, os.environ).settings


def _configured(
    chosen: Mapping[str, object],
    called: Mapping[str, str],
    config: Path | None,
    environ: Mapping[str, str],
) -> Configuration:
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    named = environ.get(CONFIG_VARIABLE)
    if file := config or (Path(named) if named else None):
        found, places = _of_file(file)
        values |= found
        origins |= {name: Origin("file", place) for name, place in places.items()}
    variables = {name: PREFIX + name.upper() for name in Settings.model_fields}
    set_there = {name: environ[each] for name, each in variables.items() if environ.get(each)}
    values |= _checked(_from_texts, set_there, variables)
    origins |= {name: Origin("variable", variables[name]) for name in set_there}
    for name in chosen:
        if name not in Settings.model_fields:
            raise InvalidInput(_unknown(name), field=name)
    values |= _checked(Settings.model_validate, chosen, called)
    origins |= {name: Origin("flag", called[name]) for name in chosen}
    settings = Settings.model_validate(values)
    if file and not any(origins[x].kind != "file" for x in _PLACES if x in origins):
        settings._file = file.absolute()
    return Configuration(settings, origins)


def _of_file(path: Path) -> tuple[dict[str, object], dict[str, str]]:
    """A file's settings, and the place of each."""
    text = _read(path)
    given = _parsed(path, text)
    places = {name: _place(path, text, name) for name in given}
    for name, value in given.items():
        if isinstance(value, dict):
            raise InvalidInput(
                f"{path}: there are no tables here, such as [{_shortened(name)}]: all settings "
                "stand at the top"
            )
        if name not in Settings.model_fields:
            raise InvalidInput(f"{places[name]}: {_unknown(name)}")
    found = _checked(_from_toml, given, {name: f"{at}: {name}" for name, at in places.items()})
    folder = path.absolute().parent
    return {name: _below(folder, value) for name, value in found.items()}, places


def _read(path: Path) -> str:
    try:
        if (why := _unreadable(path)) is None:
            # Editors on Windows put a mark before the first character.
            return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"configuration file {str(path)!r} is not there") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    raise InvalidInput(f"configuration file {str(path)!r} cannot be read: {why}")


def _unreadable(path: Path) -> str | None:
    """Why a file is not read: a pipe may never end, and what is this large is no such file."""
    told = path.stat()
    if not stat.S_ISREG(told.st_mode):
        return "it is a folder" if stat.S_ISDIR(told.st_mode) else "it is no regular file"
    if told.st_size > _MOST_BYTES:
        return f"it has {told.st_size} bytes; at most {_MOST_BYTES} are allowed"
    return None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InvalidInput(f"{path} is not allowed: its lists or tables are too deep") from error
    except ValueError as error:
        # A number of thousands of digits is not TOML's error, but Python's.
        is_toml = isinstance(error, tomllib.TOMLDecodeError)
        why = str(error) if is_toml else "a number in it has too many digits"
        raise InvalidInput(f"{path} is not TOML: {why}") from error


def _place(path: Path, text: str, name: str) -> str:
    """FILE:LINE of a key, or the file alone where several lines look like it."""
    key = re.compile(rf"""\s*(["']?){re.escape(name)}\1\s*=""")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if key.match(line)]
    return f"{path}:{lines[0]}" if len(lines) == 1 else str(path)


def _from_toml(given: Mapping[str, object]) -> Settings:
    """Read as strictly as TOML is written: a number in quotes is a text."""
    # What JSON does not know, times and dates, no setting may be.
    text = json.dumps(given, default=lambda value: {type(value).__name__: str(value)})
    return Settings.model_validate_json(text, strict=True)


def _from_texts(given: Mapping[str, Any]) -> Settings:
    """Read variables, which have lists as PATH has them, or as JSON."""
    return Settings.model_validate(
        {name: _divided(text) if is_list(name) else text for name, text in given.items()}
    )


def _divided(text: str) -> object:
    if not text.startswith("["):
        return [each for each in text.split(os.pathsep) if each]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # which is no list, and is refused as such


def _below(folder: Path, value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_below(folder, each) for each in value)
    return folder / value if isinstance(value, Path) else value


def _checked(
    read: Callable[[Mapping[str, Any]], Settings],
    given: Mapping[str, Any],
    called: Mapping[str, str],
) -> dict[str, object]:
    """What is given, as the settings' types; its first error names what it is called."""
    try:
        settings = read(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        told = "" if name in SECRETS else f" {_told(given[name])}"
        raise InvalidInput(
            f"{called[name]}{told} is not allowed: it must be {allowed(name)}", field=name
        ) from error
    return {name: getattr(settings, name) for name in given}


def _told(value: object) -> str:
    """As TOML has it, nearly."""
    return _shortened(repr(value) if isinstance(value, str | list) else str(value).lower())


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."


def _unknown(name: str) -> str:
    # Who writes a flag's name, or a setting's without its unit, means the setting.
    known = {flag(each).lstrip("-").replace("-", "_"): each for each in Settings.model_fields}
    known |= {each: each for each in Settings.model_fields}
    (nearest,) = difflib.get_close_matches(name[:_MOST_CHARACTERS].lower(), known, 1, 0.0)
    return f"there is no setting {_shortened(repr(name))}; the nearest is {known[nearest]!r}"
