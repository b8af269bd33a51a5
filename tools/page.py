"""Whether the explorer's page is built from its sources, without building it.

``python tools/page.py write`` notes, beside the built files, which sources they were built from and
what they are; ``python tools/page.py check`` compares, and says how large the page is. So `make
lint` needs no node.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "explorer" / "page"
BUILT = ROOT / "explorer" / "graftscope" / "explorer" / "static"
NOTE = BUILT / "built.json"

MOST_BYTES = 300_000
"""Of the built files, compressed: so many a page may be that opens at once."""

_NOT_SOURCES = ("node_modules",)


def hashes(folder: Path) -> str:
    """One hash of all files below a folder: of their names and of what is in them."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in _NOT_SOURCES and path != NOTE:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{name.as_posix()} {content}\n".encode())
    return whole.hexdigest()


def compressed() -> int:
    """How many bytes the built files are, each compressed by itself."""
    built = (each for each in BUILT.rglob("*") if each.is_file() and each != NOTE)
    return sum(len(gzip.compress(each.read_bytes())) for each in built)


def note() -> dict[str, str]:
    """What is noted: of the sources and of the built files."""
    return {"sources": hashes(SOURCES), "files": hashes(BUILT)}


def _too_large() -> int:
    if compressed() < MOST_BYTES:
        return 0
    print(f"that is too much: it must stay under {MOST_BYTES / 1000:.0f} kB")
    return 1


def main() -> int:
    """Write the note, or check it."""
    match sys.argv[1:]:
        case ["write"]:
            NOTE.write_text(json.dumps(note(), indent=2) + "\n")
            return 0
        case ["check"]:
            found = json.loads(NOTE.read_text()) if NOTE.is_file() else {}
            if found == note():
                print(f"the explorer's page is up to date: {compressed() / 1000:.0f} kB compressed")
                return _too_large()
            print("the explorer's page is not built from its sources: run `make page`, and commit")
            return 1
        case _:
            print("say write or check")
            return 2


if __name__ == "__main__":
    sys.exit(main())
