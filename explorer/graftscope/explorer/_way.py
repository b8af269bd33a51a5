"""The way to the server that a page shows, for those who go there without the page.

It must not know what is asked there.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

NEEDS = {
    "token": "set GRAFTSCOPE_TOKEN to your token, which the server asks for",
    "ca": "set GRAFTSCOPE_CA to the file of the authority that signed the server's certificate",
    "own authority": "set GRAFTSCOPE_CA to the file of the authority that signed the server's "
    "certificate, if no public one has",
    "cert": "add your certificate and its key: --cert FILE --key FILE, in Python tls=TLS(...)",
}
"""What a server may ask for, and how it is given."""

_OF_TLS = ("ca", "cert", "key")


@dataclass(frozen=True)
class Way:
    """How a command line, or a program, reaches the server that the page shows.

    Args:
        server: Its address; None for one inside the process.
        bundles: Those of a server inside the process; none for those that come with the package.
        program: How the command line is called.
        python: How the Python is called that has it.
        files: The files that are shown to the server, or that its certificate is checked by:
            option names of the command line, ``ca``, ``cert``, ``key`` and ``token_file``.
        needs: What it takes besides, which is in no file that this machine could name: keys of
            `NEEDS`.
    """

    server: str | None = None
    bundles: tuple[str, ...] = ()
    program: str = "graftscope"
    python: str = "python"
    files: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def command(self, words: Sequence[str]) -> str:
        """A line for a shell.

        Args:
            words: A verb and its options, without those that name the server.
        """
        return shlex.join([self.program, *words, *self.options()])

    def options(self) -> list[str]:
        """Those of every verb that name the server."""
        words = [] if self.server is None else ["--server", self.server]
        for name, file in self.files.items():
            words += [f"--{name.replace('_', '-')}", file]
        return words + [word for bundle in self.bundles for word in ("--bundle", bundle)]

    def before(self) -> list[str]:
        """What stands before commands, or Python: comments that say what to do first."""
        return [f"# First {NEEDS[each]}." for each in self.needs]

    def client(self) -> str:
        """In Python; needs `TLS` where there is a certificate of one's own."""
        if self.server is None:
            return f"Client(bundles={list(self.bundles)!r})" if self.bundles else "Client()"
        words = [repr(self.server)]
        if "cert" in self.files:
            tls = [f"{name}={self.files[name]!r}" for name in _OF_TLS if name in self.files]
            words.append(f"tls=TLS({', '.join(tls)})")
        elif "ca" in self.files:
            words.append(f"tls={self.files['ca']!r}")
        if "token_file" in self.files:
            words.append(f"token=Path({self.files['token_file']!r}).read_text().strip()")
        return f"Client({', '.join(words)})"

    def imports(self, names: Sequence[str]) -> list[str]:
        """Lines that import what `client` needs, and other names of the client library."""
        needed = sorted([*names, "Client", *(["TLS"] if "cert" in self.files else [])])
        path = ["from pathlib import Path", ""] if "token_file" in self.files else []
        return [*path, f"from graftscope.client import {', '.join(needed)}", ""]
