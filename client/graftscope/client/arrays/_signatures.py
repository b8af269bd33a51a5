"""What `help` shows of a value's arguments: their types, without what the command line knows.

Fields carry ranges, flags and help (`Annotated`), and types that are spelled out take lines each.
"""

import inspect
import re
from typing import Any, get_type_hints

from numpy.typing import ArrayLike

_MODULES = re.compile(r"\b(?:\w+\.)+(?=\w)")
_ARRAY = re.compile(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]")


class ShortSignature:
    """Gives a class of values the signature that `inspect`, and with it `help`, shows."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        """Make it from the types of the class's own `__init__`."""
        made: Any = owner.__init__  # type: ignore[misc]  # of the class itself
        plain = {key: _short(hint) for key, hint in _hints(made).items()}
        whole = inspect.Signature.from_callable(made)
        parameters = [
            each.replace(annotation=plain.get(each.name, each.annotation))
            for each in whole.parameters.values()
        ]
        first, *rest = parameters
        # What help shows of the method itself, which it asks for after the class.
        if not hasattr(made, "__signature__") and inspect.isfunction(made):
            made.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]
        return inspect.Signature(rest)


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError:  # Of something that is imported for type checkers alone.
        return {}


def _short(hint: Any) -> str:
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return hint.__name__
    told = repr(hint).replace(repr(ArrayLike), "ArrayLike")
    told = _MODULES.sub("", told)
    return _ARRAY.sub(r"NDArray[\1]", told)
