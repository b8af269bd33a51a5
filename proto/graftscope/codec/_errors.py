"""What the codec refuses; each side turns it into an error of its own.

::

    CodecError (ValueError)     a value that the contract cannot say
    ├── UnknownWordError        a word that an enumeration does not have
    └── UnknownNumberError      a number that an enumeration does not have: of another version
"""


class CodecError(ValueError):
    """A value that the contract cannot say, or bytes that do not add up.

    Args:
        message: What was wrong, and what is allowed.
        field: The message's field that is to blame; empty if none.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class UnknownWordError(CodecError):
    """A word that an enumeration of the contract does not have."""


class UnknownNumberError(CodecError):
    """A number that an enumeration does not have, as another version's may."""
