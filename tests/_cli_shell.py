"""Runs the command line in the test's process, and reads what it wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftscope.client.cli import run


class Shell:
    """Runs commands against a server, as a user would."""

    def __init__(self, address: str, capture: pytest.CaptureFixture[str]) -> None:
        self._address, self._capture = address, capture

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        code = run([*map(str, arguments), "--server", self._address])
        told = self._capture.readouterr()
        return code, told.out, told.err

    def json(self, *arguments: object) -> Any:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def refused(self, *arguments: object) -> tuple[int, str]:
        """The exit code and the one line of a command that fails."""
        code, out, err = self(*arguments)
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.startswith("graftscope: ")
        return code, err


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
