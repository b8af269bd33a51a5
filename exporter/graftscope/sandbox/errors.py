"""What the sandbox says of a model that is not opened, in one tree.

::

    SandboxError (ValueError)
    ├── ModelRefusedError         a model that may not be opened here; has a stable reason
    └── SandboxUnavailableError   no child can be started, so nothing is opened

It knows no library.
"""


class SandboxError(ValueError):
    """The root of what the sandbox raises on purpose."""

    reason = "MODEL_REFUSED"


class ModelRefusedError(SandboxError):
    """A model that may not be opened here.

    Args:
        line: What is wrong with it, in one line without paths.
        reason: A word that stays the same, of `graftscope.sandbox.Reason`.
    """

    def __init__(self, line: str, reason: str) -> None:
        """Keep the line as the message."""
        super().__init__(line)
        self.reason = reason


class SandboxUnavailableError(SandboxError):
    """No child process can be started, so that no model is opened at all."""

    reason = "SANDBOX_UNAVAILABLE"
