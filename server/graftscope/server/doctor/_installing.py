"""How an extra is installed here: from an index, or from the folder that Graftscope came from."""

import json
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def origin() -> str | None:
    """What the installer noted of where the package came from (PEP 610); None for an index."""
    try:
        return metadata.distribution("graftscope").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None


def install(extra: str, noted: str | None = None) -> str:
    """The command that installs an extra, with the one for a checkout where this is one.

    Args:
        extra: its name.
        noted: as of `origin`, which is asked where nothing is given.
    """
    command = f"pip install 'graftscope[{extra}]'"
    noted = origin() if noted is None else noted
    url = urlsplit(json.loads(noted)["url"] if noted else "")
    folder = Path(url2pathname(url.path))
    if url.scheme != "file" or not (folder / "constraints.txt").is_file():
        return command
    here = f"cd {shlex.quote(str(folder))} && pip install -c constraints.txt '.[{extra}]'"
    return f"{command}; as no index has it: {here}"
