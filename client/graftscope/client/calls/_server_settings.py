"""What the client knows of servers' settings: how each is given, never what it does.

The list beside this file is written by ``python tools/settings.py``, from where settings are
declared: in the server, which may not be installed here.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """A setting of a server.

    Args:
        name: Its key in a file, and, after GRAFTSCOPE_, its variable.
        flags: Its options of `graftscope serve`.
        metavar: What stands for its value in help; empty for a switch.
        panel: The heading below which help shows it; empty for none.
        words: The words that it may be, if it may be nothing else.
        several: Whether it is a list.
        help: What it is, what it may be, and its default.
    """

    name: str
    flags: list[str]
    metavar: str
    panel: str
    words: list[str]
    several: bool
    help: str


SERVER_SETTINGS = tuple(
    Setting(**each)
    for each in json.loads(
        Path(__file__).with_name("server_settings.json").read_text(encoding="utf-8")
    )
)
"""What can be set of a server, also of one inside this process."""
