"""Dataclasses to and from messages, field by field, by their names.

What a field of the contract becomes:

1. a number or a text itself; a number that does not fit is refused with its name;
2. an enumeration its word;
3. a repeated field a tuple, a map a dict;
4. an `Array` whatever `put` takes and `get` gives;
5. a duration its seconds; a timestamp a datetime, or seconds since 1970 where a number is wanted;
6. another message a dataclass; or, where it holds a single field or a single oneof, that one's own
   value;
7. a oneof one value under the oneof's own name, whose type tells which member it is (`Unions`), as
   well as each member under its name. A dataclass that stands for a member of another kind is that
   of its only field, or what its attribute `sent` says.

What is not there is the default, or None. A value's field that the message lacks is an error of
whoever wrote the value, unless it is named as left out: nothing is dropped in silence.
"""

import reprlib
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from graftscope.codec._errors import CodecError
from graftscope.codec._words import number_of, word_of
from graftscope.v1 import tensor_pb2

Put: TypeAlias = Callable[[Any], tensor_pb2.Array]
"""Gives an array its place in a message, or beside it."""

Get: TypeAlias = Callable[[tensor_pb2.Array, str, Any], Any]
"""Takes an array of a message, its name as ``FIELD`` or ``FIELD.KEY``, and what is wanted (the
annotation of the dataclass's field, with its extras); gives the array."""

Unions: TypeAlias = Mapping[str, Mapping[str, type]]
"""The type that each member of a oneof is in values, by ``MESSAGE.ONEOF`` and the member's name."""

Value = TypeVar("Value")

# protobuf has two classes of each, which share no base.
_Kind: TypeAlias = Any
_Field: TypeAlias = Any
_Oneof: TypeAlias = Any

_ARRAY = tensor_pb2.Array.DESCRIPTOR.full_name
_MICRO = 1e6


def fill(
    message: Message,
    value: object,
    put: Put,
    *,
    unions: Unions | None = None,
    leave: Collection[str] = (),
) -> None:
    """Fill a message with a value's fields.

    Args:
        message: Filled in place; it is there afterwards, also where nothing had to be said.
        value: A dataclass, or a mapping by the fields' names.
        put: Places arrays.
        unions: The types of oneofs' members.
        leave: Fields of the value that the message does not have.

    Raises:
        CodecError: If the contract cannot say a value.
        TypeError: If the message lacks a field that is not left out.
    """
    _Writer(put, unions or {}).fill(message, value, leave)


def made(
    message: Message,
    kind: type[Value],
    get: Get,
    /,
    *,
    unions: Unions | None = None,
    **given: object,
) -> Value:
    """Make a dataclass of a message.

    Args:
        message: As it came.
        kind: The dataclass.
        get: Reads arrays.
        unions: The types of oneofs' members.
        **given: Fields that are said elsewhere.

    Raises:
        UnknownNumberError: If an enumeration's number is of another version.
    """
    return _Reader(get, unions or {}).made(message, kind, given)


def unmapped(message: _Kind, kind: type, beside: Collection[str] = ()) -> set[str]:
    """List the fields of a message that a dataclass does not have; a test's question.

    Args:
        message: The message's descriptor.
        kind: The dataclass.
        beside: Fields that are said elsewhere.
    """
    names = {field.name for field in fields(kind)} | set(beside)
    return {
        field.name
        for field in message.fields
        if field.name not in names
        and not (field.containing_oneof and field.containing_oneof.name in names)
    }


class _Writer:
    """Fills messages."""

    def __init__(self, put: Put, unions: Unions) -> None:
        self._put, self._unions = put, unions

    def fill(self, message: Message, value: object, leave: Collection[str] = ()) -> None:
        message.SetInParent()
        kind = message.DESCRIPTOR
        for name, item in _items(value).items():
            if name in kind.fields_by_name:
                self._set(message, kind.fields_by_name[name], item)
            elif name in kind.oneofs_by_name:
                self._set_member(message, kind.oneofs_by_name[name], item)
            elif name not in leave:
                raise TypeError(f"{kind.name} has no field {name!r} of {type(value).__name__}")

    def _set_member(self, message: Message, oneof: _Oneof, value: object) -> None:
        if value is None:
            return
        union = self._unions[f"{message.DESCRIPTOR.name}.{oneof.name}"]
        for field in oneof.fields:
            if isinstance(value, union[field.name]):
                self._set(message, field, value)
                return
        raise TypeError(f"{oneof.full_name} takes no {type(value).__name__}")

    def _set(self, message: Message, field: _Field, value: Any) -> None:
        if value is None:
            return
        try:
            self._set_said(message, field, value)
        except CodecError as error:
            if error.field:
                raise
            raise CodecError(f"{field.name}: {error}", field.name) from error

    def _set_said(self, message: Message, field: _Field, value: Any) -> None:
        if _is_map(field):
            self._set_map(getattr(message, field.name), field, value)
        elif field.is_repeated and field.message_type is not None:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise CodecError(f"{reprlib.repr(value)} is not a list")
            for each in value:
                self._write(getattr(message, field.name).add(), each)
        elif field.message_type is not None:
            self._write(getattr(message, field.name), value)
        else:
            self._set_plain(message, field, value)

    def _set_map(self, target: Any, field: _Field, value: Mapping[str, Any]) -> None:
        inner = field.message_type.fields_by_name["value"]
        for key, each in value.items():
            if inner.message_type is None:
                target[key] = each
            else:
                self._write(target[key], each)

    def _set_plain(self, message: Message, field: _Field, value: Any) -> None:
        value = _single(value)  # Of a oneof's member whose value is no message.
        try:
            if field.is_repeated:
                getattr(message, field.name).extend(_plain(field, each) for each in value)
            else:
                setattr(message, field.name, _plain(field, value))
        except (TypeError, ValueError) as error:
            if isinstance(error, CodecError):
                raise
            raise CodecError(
                f"{field.name} {value!r} is not allowed: {error}", field.name
            ) from error

    def _write(self, message: Any, value: Any) -> None:
        """Fill a message of its own."""
        if message.DESCRIPTOR.full_name == _ARRAY:
            message.CopyFrom(self._put(_single(value)))
        elif isinstance(message, Duration):
            message.FromMicroseconds(round(value * _MICRO))
        elif isinstance(message, Timestamp):
            seconds = value.timestamp() if isinstance(value, datetime) else value
            message.FromMicroseconds(round(seconds * _MICRO))
        elif oneof := _only_oneof(message.DESCRIPTOR, value):
            message.SetInParent()
            self._set_member(message, oneof, value)
        elif only := _only_field(message.DESCRIPTOR, value):
            message.SetInParent()
            self._set(message, only, _single(value))
        else:
            self.fill(message, value)


class _Reader:
    """Makes dataclasses."""

    def __init__(self, get: Get, unions: Unions) -> None:
        self._get, self._unions = get, unions

    def made(self, message: Message, kind: type[Value], given: Mapping[str, object]) -> Value:
        hints, descriptor = _hints(kind), message.DESCRIPTOR  # type: ignore[arg-type]
        found = dict(given)
        for field in fields(kind):  # type: ignore[arg-type]  # a dataclass
            name = field.name
            if name in given or not field.init:
                continue
            if name in descriptor.fields_by_name:
                value = self._field(message, descriptor.fields_by_name[name], hints[name])
            elif name in descriptor.oneofs_by_name:
                value = self._member(message, descriptor.oneofs_by_name[name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise TypeError(f"{descriptor.name} says nothing of {name!r} of {kind.__name__}")
            else:
                continue
            if value is not None or field.default is MISSING:
                found[name] = value
        return kind(**found)

    def _field(self, message: Message, field: _Field, hint: Any) -> Any:
        if field.has_presence and not message.HasField(field.name):
            return None
        value = getattr(message, field.name)
        if _is_map(field):
            inner = field.message_type.fields_by_name["value"]
            wanted = (get_args(_bare(hint)) or (Any,))[-1]
            return {
                key: self._read(value[key], inner, wanted, f"{field.name}.{key}") for key in value
            }
        if field.is_repeated:
            wanted = (get_args(_bare(hint)) or (Any,))[0]
            return tuple(self._read(each, field, wanted, field.name) for each in value)
        return self._read(value, field, hint, field.name)

    def _member(self, message: Message, oneof: _Oneof) -> Any:
        name = message.WhichOneof(oneof.name)
        if name is None:
            return None
        kind = self._unions[f"{message.DESCRIPTOR.name}.{oneof.name}"][name]
        field = message.DESCRIPTOR.fields_by_name[name]
        value = getattr(message, name)
        own = field.message_type is not None and is_dataclass(kind)
        if is_dataclass(kind) and not (own and _matches(field.message_type, kind)):
            only = fields(kind)[0].name
            return kind(**{only: self._read(value, field, _hints(kind)[only], name)})
        return self._read(value, field, kind, name)

    def _read(self, value: Any, field: _Field, hint: Any, path: str) -> Any:
        kind = _bare(hint)
        if field.enum_type is not None:
            return _worded(field, value, kind)
        if field.message_type is None:
            return value
        if field.message_type.full_name == _ARRAY:
            return self._get(value, path, hint)
        if isinstance(value, Duration | Timestamp):
            return _time(value, kind)
        return self._message(value, kind, hint, path)

    def _message(self, value: Any, kind: Any, hint: Any, path: str) -> Any:
        if is_dataclass(kind) and isinstance(kind, type):
            return self.made(value, kind, {})
        if oneof := _only_oneof(value.DESCRIPTOR):
            return self._member(value, oneof)
        if only := _only_field(value.DESCRIPTOR):
            return self._inside(value, only, hint, path)
        raise TypeError(f"{value.DESCRIPTOR.name} at {path} is no {hint!r}")

    def _inside(self, value: Any, only: _Field, hint: Any, path: str) -> Any:
        """The value of a message's single field, under the name of the message's own."""
        if not _is_map(only):
            return self._field(value, only, hint)
        entry = only.message_type.fields_by_name["value"]
        wanted = (get_args(_bare(hint)) or (Any,))[-1]
        inputs = getattr(value, only.name)
        return {key: self._read(inputs[key], entry, wanted, f"{path}.{key}") for key in inputs}


def _items(value: object) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    if not is_dataclass(value):
        raise CodecError(f"{reprlib.repr(value)} is not allowed here")
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(field: _Field, value: Any) -> Any:
    if field.enum_type is None:
        return value
    return number_of(field.enum_type, str(value.value if isinstance(value, Enum) else value))


def _worded(field: _Field, number: int, kind: Any) -> Any:
    word = word_of(field.enum_type, number)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(word) if word else next(iter(kind))
    return word or None


def _time(value: Duration | Timestamp, kind: Any) -> datetime | float:
    if isinstance(value, Timestamp) and kind is datetime:
        return value.ToDatetime(UTC)
    return value.ToMicroseconds() / _MICRO


def _is_map(field: _Field) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _only_field(message: _Kind, value: object = None) -> _Field | None:
    """A message's single field, unless a value says it under its own name."""
    only = message.fields[0] if len(message.fields) == 1 else None
    if only is None or (isinstance(value, Mapping) and _is_map(only)):
        return only  # A mapping is the map, whatever its keys are.
    return None if _says(value, only.name) else only


def _only_oneof(message: _Kind, value: object = None) -> _Oneof | None:
    """A message's single oneof, where that is all that it holds; likewise."""
    if len(message.oneofs) != 1 or len(message.oneofs[0].fields) != len(message.fields):
        return None
    if isinstance(value, Mapping):
        return None  # It names the member.
    return None if _says(value, message.oneofs[0].name) else message.oneofs[0]


def _says(value: object, name: str) -> bool:
    if isinstance(value, Mapping):
        return name in value
    return is_dataclass(value) and any(each.name == name for each in fields(value))


def _single(value: Any) -> Any:
    """What a dataclass stands for: what it says itself, or its only field; else itself."""
    if hasattr(value, "sent"):
        return value.sent
    if is_dataclass(value) and len(fields(value)) == 1:
        return getattr(value, fields(value)[0].name)
    return value


def _matches(message: _Kind, kind: Any) -> bool:
    """Whether a dataclass has a message's fields, or as few as it: it is not inside another one."""
    names = {field.name for field in fields(kind)}
    known = set(message.fields_by_name) | set(message.oneofs_by_name)
    return names <= known


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _bare(hint: Any) -> Any:
    """An annotation without its extras, and without None."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [each for each in get_args(hint) if each is not type(None)]
        return _bare(kinds[0]) if len(kinds) == 1 else hint
    return hint
