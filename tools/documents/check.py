"""Looks at the site that was built, as a reader's browser would see it.

``python -m tools.documents.check FOLDER`` follows every link within the site, anchors too, and
refuses pictures without a text, and whatever a browser would load from elsewhere. Links to other
sites are only for people to follow: they are not requested.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urldefrag, urlsplit

LOADED: Final = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("img", "src"),
    ("link", "href"),
    ("script", "src"),
    ("source", "src"),
    ("video", "src"),
}
"""What a browser loads by itself."""

_IN_STYLE: Final = re.compile(
    r"(?:url\(\s*['\"]?|@import\s+['\"])(?P<address>(?:https?:)?//[^'\")]+)"
)


@dataclass
class Page(HTMLParser):
    """What one page holds.

    Attributes:
        ids: What can be linked to within it.
        links: Where it leads.
        loaded: What a browser loads for it.
        untold: Pictures without a text.
    """

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to read."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag says."""
        given = {name: value or "" for name, value in attrs}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loaded += [given[name] for on, name in LOADED if on == tag and name in given]
        if tag == "img" and not given.get("alt"):
            self.untold.append(given.get("src", ""))


def faults(site: Path) -> Iterator[str]:
    """What is wrong with a site, a line each.

    Args:
        site: The folder that it was built into.
    """
    pages = {path.resolve(): _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for link in page.links:
            if not urlsplit(link).scheme and not _leads_somewhere(link, path, pages):
                yield f"{name}: links to {link}, which is not there"
        for address in page.loaded:
            if _is_foreign(address):
                yield f"{name}: loads {address} from elsewhere"
            elif not address.startswith("data:") and not _target(address, path).exists():
                yield f"{name}: loads {address}, which is not there"
        for picture in page.untold:
            yield f"{name}: {picture} has no text for those who cannot see it"
    for path in sorted(site.rglob("*.css")):
        for found in _IN_STYLE.finditer(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: loads {found['address']} from elsewhere"


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _leads_somewhere(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    where, anchor = urldefrag(link)
    target = _target(where, path) if where else path
    if target in pages:
        return not anchor or unquote(anchor) in pages[target].ids
    return target.exists()


def _target(address: str, path: Path) -> Path:
    return (path.parent / unquote(urlsplit(address).path)).resolve()


def _is_foreign(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https") or address.startswith("//")


def main() -> int:
    """Print what is wrong, and fail if anything is."""
    wrong = list(faults(Path(sys.argv[1])))
    print("\n".join(wrong) or "every link leads somewhere, and nothing is loaded from elsewhere")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
