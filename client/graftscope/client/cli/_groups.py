"""Groups of options that several verbs share, each a frozen dataclass.

A verb that takes such a group as an argument gets its options; typer, which knows no groups, sees
them one by one.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Replace a function's arguments that are groups by the groups' options.

    Args:
        verb: Its arguments' annotations are types or dataclasses whose fields are options.

    Returns:
        A function of the single options that calls `verb` with the groups.
    """
    signature = inspect.signature(verb, eval_str=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def call(**values: Any) -> None:
        given = {name: _take(group, values) for name, group in groups.items()}
        verb(**given, **values)

    call.__name__, call.__doc__, call.__module__ = verb.__name__, verb.__doc__, verb.__module__
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    # Both are needed: typer reads the one for order and defaults, the other for types.
    setattr(call, "__signature__", inspect.Signature(parameters))  # noqa: B010
    return call


def _options(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]


def _default(field: "Field[Any]") -> object:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _take(group: type, values: dict[str, Any]) -> object:
    return group(**{field.name: values.pop(field.name) for field in fields(group)})
