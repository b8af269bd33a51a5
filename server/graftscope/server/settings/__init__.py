"""What can be set of a server: by a file, by variables of the environment, by flags, in Python.

Each setting is declared once, in `_fields`; its flag, variable, help and line in the documents
follow from there (`python tools/settings.py`). The later of file, environment and flag wins.
"""

from graftscope.server.settings._configured import (
    CONFIG_VARIABLE,
    Configuration,
    Origin,
    configure,
    make_settings,
)
from graftscope.server.settings._declared import PREFIX, SECRETS, Setting, declared
from graftscope.server.settings._fields import Settings, database_url, default_state
from graftscope.server.settings._printed import documented, printed

__all__ = [
    "CONFIG_VARIABLE",
    "PREFIX",
    "SECRETS",
    "Configuration",
    "Origin",
    "Setting",
    "Settings",
    "configure",
    "database_url",
    "declared",
    "default_state",
    "documented",
    "make_settings",
    "printed",
]
