"""Results that are saved and come back: an `.npz` file's arrays, and in its comment the rest.

The comment is JSON: ``format`` and ``kind``, the result's other fields under ``result``, and what
the arrays are of, as `Source` says it. A file without ``format`` is of a version before there was
one, which kept arrays and source alone: what it does not say is told as not known.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays._checks import file_name
from graftscope.client.arrays._displayed import Displayed
from graftscope.client.arrays._fields import axes_of, misfit
from graftscope.client.arrays._frozen import ByValue
from graftscope.client.arrays._npz import read_comment, read_npz, write_npz
from graftscope.client.arrays._plain import fields_of, to_plain
from graftscope.client.arrays._source import Source, source_from_comment
from graftscope.client.errors import GraftscopeError, InputError

FORMAT = 1
"""Of the comment. It rises when an earlier version could read a file, and misunderstand it."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class About:
    """What a file says beside its arrays.

    Args:
        kind: Which class saved it; empty where it does not say.
        told: Its fields that are no arrays, and whatever else was said.
        source: What the arrays are of, if that is known.
    """

    kind: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None

    @property
    def is_older(self) -> bool:
        """Whether a version wrote it that said no more than the source."""
        return not self.kind

    def require(self, kind: str, path: Path) -> None:
        """Refuse a file that another class saved.

        Raises:
            InputError: If it is one.
        """
        if self.kind not in ("", kind):
            raise InputError(
                f"{path} holds {_with_article(self.kind)}, not {_with_article(kind)}: read it with"
                f" {self.kind}.load"
            )

    def to_comment(self) -> bytes:
        """Make an archive's comment: JSON."""
        source = {} if self.source is None else json.loads(self.source.to_comment())
        document = {**source, "format": FORMAT, "kind": self.kind, "result": dict(self.told)}
        return json.dumps(document, allow_nan=False).encode()


def read_about(path: str | Path) -> About:
    """Read what an `.npz` file says beside its arrays.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is no `.npz` file, or a later version wrote it in a way of its own.
    """
    comment = read_comment(path)
    source = source_from_comment(comment)
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "format" not in found:
        return About(source=source)
    if not isinstance(found["format"], int) or found["format"] > FORMAT:
        raise InputError(
            f"{path} is of format {found['format']}, and this version reads up to {FORMAT}:"
            " upgrade graftscope"
        )
    told = found.get("result")
    return About(str(found.get("kind", "")), told if isinstance(told, dict) else {}, source)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Have what is refused inside say which file it came from."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}", reason=error.reason, field=error.field) from error


class Saved(ByValue, Displayed):
    """A base for results: they are saved, come back, and are equal where their contents are."""

    IN_ARRAYS: ClassVar[tuple[str, ...]] = ()
    """Fields that files hold as arrays, though they are none."""

    def save(self, path: str | Path) -> None:
        """Write all of it to an `.npz` file: arrays by their names, the rest in its comment.

        Args:
            path: The file, whose name ends in ``.npz``; it is replaced if it exists.

        Raises:
            InputError: If its name ends otherwise.
            OutputError: If the file cannot be written.
        """
        write_saved(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of `save`.

        What an earlier version did not write is told as not known: numbers are NaN or 0, words
        empty, the rest None.

        Args:
            path: The file.

        Returns:
            The result, equal to the one that was saved.

        Raises:
            NotFoundError: If there is no such file.
            InputError: If it holds something else, or is damaged.
        """
        source = file_name(path)
        about, arrays = read_about(source), read_npz(source)
        about.require(cls.__name__, source)
        with naming(path):
            return cls._loaded(arrays, about)

    @classmethod
    def _loaded(cls, arrays: Arrays, about: About, **given: Any) -> Self:
        try:
            rest = cls._not_said(arrays, about.source) if about.is_older else cls._told(about.told)
            found = cls(**{**rest, **cls._of_arrays(arrays), **given})
        except (TypeError, ValueError) as error:
            if isinstance(error, GraftscopeError):
                raise
            raise InputError(f"damaged, or of another version: {error}") from error
        if problem := misfit(found):
            raise InputError(problem)
        return found

    @classmethod
    def _told(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        return fields_of(cls, told, (*axes_of(cls), *cls.IN_ARRAYS))

    def about(self, beside: Mapping[str, Any] | None = None) -> About:
        """Say what a file says beside its arrays.

        Args:
            beside: Whatever else it is to say.
        """
        in_arrays = (*axes_of(type(self)), *self.IN_ARRAYS)
        told = {
            each.name: to_plain(getattr(self, each.name))
            for each in fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
            if each.name not in in_arrays
        }
        told |= beside or {}
        return About(type(self).__name__, told, getattr(self, "source", None))

    def arrays(self) -> Arrays:
        """The arrays that a file holds, by their names."""
        found = {name: getattr(self, name) for name in axes_of(type(self))}
        return {name: array for name, array in found.items() if array is not None}

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        """The fields that the file's arrays are."""
        hints = get_type_hints(cls)
        return {
            name: typed(name, taken(arrays, name), _dtype(hints[name]))
            for name, axes in axes_of(cls).items()
            if name in arrays or not axes.optional
        }

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        """The other fields, for a file that says no more than what its arrays are of."""
        raise NotImplementedError


def _with_article(kind: str) -> str:
    return f"{'an' if kind[:1] in 'AEIO' else 'a'} {kind}"


def write_saved(result: Saved, path: str | Path, beside: Mapping[str, Any] | None = None) -> None:
    """Write a result's file.

    Args:
        result: The result.
        path: The file, whose name ends in ``.npz``.
        beside: Whatever else the file is to say.

    Raises:
        InputError: If its name ends otherwise.
        OutputError: If it cannot be written.
    """
    write_npz(file_name(path, ".npz"), result.arrays(), result.about(beside).to_comment())


def taken(arrays: Arrays, name: str) -> NDArray[Any]:
    """Take an array of a file.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in arrays:
        raise InputError(f"no array {name!r}; it has: {', '.join(arrays) or 'no arrays'}")
    return arrays[name]


def typed(name: str, array: NDArray[Any], wanted: "np.dtype[Any]") -> NDArray[Any]:
    """Give an array of a file the type that its field has.

    Raises:
        InputError: If its values are of another kind.
    """
    text = wanted.kind == "U"
    if (array.dtype.kind == "U") != text or not np.can_cast(array.dtype, wanted, "same_kind"):
        raise InputError(f"array {name!r} is of type {array.dtype}, not {wanted}")
    return array if text else array.astype(wanted, copy=False)


def _dtype(hint: Any) -> "np.dtype[Any]":
    """The element type of an array's annotation, which may also be None."""
    array = next(each for each in (hint, *get_args(hint)) if get_origin(each) is np.ndarray)
    wanted: np.dtype[Any] = np.dtype(get_args(get_args(array)[1])[0])
    return wanted
