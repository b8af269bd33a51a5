"""Runs what the documents show, and compares or renews what they say comes back.

    python tools/transcripts.py check [PAGE ...]
    python tools/transcripts.py [PAGE ...]

Of every ``console`` block those lines after ``$`` are run that begin with ``graftscope`` or
``cat``, in one folder a page and from top to bottom; what follows a line is its output. A line
``...`` stands for any lines. Progress and estimates of time are left out. Numbers may differ by 2 %
and identifiers altogether, since processors and versions do.

A block of Python whose paragraph begins with its file's name in backquotes is written there first.
`FILES` names what else a page finds: files that other people published, in the folder that
GRAFTSCOPE_GENERATORS names. A block after ``<!-- not run: REASON -->`` is left alone.
"""

import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graftscope.client.cli import run

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ("README.md", "docs/bring-your-own.md", "docs/cli.md", "docs/operations.md")
FILES: Final = {
    "dcgan.onnx": "celeba64_dcgan.onnx",
    "cvae.onnx": "mnist_cvae.onnx",
    "wgan.safetensors": "cifar10_wgangp.safetensors",
}
"""Files that pages speak of, by their names there, and what they are called in the folder."""

TOLERANCE: Final = 0.02
_BLOCK = re.compile(
    r"(?P<skip><!-- not run: .*? -->\n+)?^```console\n(?P<text>.*?)^```$", re.M | re.S
)
_MODULE = re.compile(r"^`(?P<name>\w+\.py)`.*?^```python\n(?P<code>.*?)^```$", re.M | re.S)
_ENDLESS = re.compile(r"graftscope (serve|explore)\b(?!.*--(print-config|help)\b)")
_PROGRESS = re.compile(
    r"^(\w[\w ]*: .*\d+( of \d+)? .*(left|done|/s)"
    r"|\w+: (\w+: )?[\d,]+ of (at most )?[\d,]+ \w+.*"
    r"|(at most )?[\d,]+ hybrids, (about .*|.* of results)"
    r"|answered already on .*|goes on from .*)$"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])")
_IDENTIFIER = re.compile(r"\b[0-9a-f]{12,64}\b")


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        line: What is typed, without the prompt; with its continuation lines.
        output: The lines that the page says come back.
    """

    line: str
    output: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether it is one of Graftscope's own, or shows a file that one wrote."""
        return self.line.startswith(("graftscope ", "cat "))


@dataclass(frozen=True)
class Difference:
    """A command whose output is another than the page says."""

    command: Command
    found: tuple[str, ...]

    def __str__(self) -> str:
        """Show both."""
        wanted, found = "\n".join(self.command.output), "\n".join(self.found)
        return f"$ {self.command.line}\n--- the page\n{wanted}\n--- what came back\n{found}"


def commands_of(block: str) -> Iterator[Command]:
    """Take a block of a console apart."""
    line, output = "", list[str]()
    for text in block.splitlines():
        if text.startswith("$ "):
            if line:
                yield Command(line, tuple(output))
            line, output = text.removeprefix("$ "), []
        elif line.endswith("\\"):
            line += "\n" + text
        else:
            output.append(text)
    if line:
        yield Command(line, tuple(output))


def same(wanted: Sequence[str], found: Sequence[str]) -> bool:
    """Whether lines are those that a page says, a line of three dots standing for any."""
    if not wanted:
        return not found
    if wanted[0] == "...":
        return any(same(wanted[1:], found[at:]) for at in range(len(found) + 1))
    return bool(found) and _same_line(wanted[0], found[0]) and same(wanted[1:], found[1:])


def _same_line(wanted: str, found: str) -> bool:
    one, other = (" ".join(_IDENTIFIER.sub("#", text).split()) for text in (wanted, found))
    if _NUMBER.sub("0", one) != _NUMBER.sub("0", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(_close(*(float(text.replace(",", "")) for text in pair)) for pair in pairs)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= max(TOLERANCE * max(abs(one), abs(other)), 0.011)


def executed(line: str) -> tuple[str, ...]:
    """Run a command in this process; returns the lines that it says, without progress.

    Raises:
        ValueError: If it would not end by itself.
    """
    if _ENDLESS.match(line):
        raise ValueError(f"`{line}` does not end: show it in a block of sh, without its output")
    if line.startswith("cat "):
        return tuple(Path(line.removeprefix("cat ")).read_text(encoding="utf-8").splitlines())
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        run(shlex.split(line)[1:])
    return tuple(
        x.rstrip() for x in said.getvalue().rstrip().splitlines() if not _PROGRESS.match(x)
    )


def published_by_others(page: str) -> list[str]:
    """Return the files of other people that a page speaks of, by their names there."""
    return [name for name in FILES if re.search(rf"(?<![\w/]){re.escape(name)}", page)]


def stage(page: str, folder: Path) -> None:
    """Put into the folder what the page's commands find there.

    Raises:
        FileNotFoundError: If a file that the page speaks of is not on this machine.
    """
    for module in _MODULE.finditer(page):
        (folder / module["name"]).write_text(module["code"], encoding="utf-8")
    for name in published_by_others(page):
        place = Path(os.environ.get("GRAFTSCOPE_GENERATORS", "")) / FILES[name]
        if not place.is_file():
            raise FileNotFoundError(f"{name}: GRAFTSCOPE_GENERATORS has no {FILES[name]}")
        (folder / name).symlink_to(place.resolve())


def differences(page: str, folder: Path) -> Iterator[Difference]:
    """Run a page's commands in a folder, and give those whose output it does not say."""
    stage(page, folder)
    with chdir(folder):
        for block in _BLOCK.finditer(page):
            for command in () if block["skip"] else commands_of(block["text"]):
                if not command.runs:
                    continue
                found = executed(command.line)
                if not same(command.output, found):
                    yield Difference(command, found)


def renewed(page: str, found: Sequence[Difference]) -> str:
    """Return the page with the output that came back."""
    for each in found:
        head = f"$ {each.command.line}\n"
        old = head + "".join(f"{line}\n" for line in each.command.output)
        page = page.replace(old, head + "".join(f"{line}\n" for line in each.found), 1)
    return page


def main(arguments: Sequence[str]) -> int:
    """Check or renew pages; returns the exit code."""
    checks = "check" in arguments
    wrong = 0
    for name in [x for x in arguments if x != "check"] or PAGES:
        path = ROOT / name
        page = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_STATE_HOME"] = folder
            sys.path.insert(0, folder)
            found = list(differences(page, Path(folder)))
            sys.path.remove(folder)
        wrong += len(found)
        for each in found:
            print(f"{name}: {each}\n")
        if not checks:
            path.write_text(renewed(page, found), encoding="utf-8")
    return 1 if checks and wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
