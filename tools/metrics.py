"""Writes what is told of metrics elsewhere from where they are declared.

Written are the tables of metrics and of alerts in docs/operations.md, and Grafana's dashboard::

    python tools/metrics.py          # writes them
    python tools/metrics.py check    # fails if what is committed differs
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from graftscope.server.telemetry._metrics import AREAS
from graftscope.server.telemetry._metrics_declared import Declared

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools.dashboard import dashboard  # noqa: E402 - a script finds its neighbours so

PAGE: Final = ROOT / "docs/operations.md"
ALERTS: Final = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD: Final = ROOT / "deploy/grafana/graftscope.json"
_BEGIN, _END = "<!-- {} by tools/metrics.py -->\n", "<!-- to here -->"
_VALUE = re.compile(r"\{\{ *\$(?:labels\.)?(\w+)(?: *\| *\w+)? *\}\}")


def metric_tables() -> str:
    """The page's tables of metrics, one an area."""
    head = "| metric | kind | by | what it says |\n| --- | --- | --- | --- |\n"
    parts = (
        f"### {area}\n\n{head}" + "".join(map(_metric, metrics)) for area, metrics in AREAS.items()
    )
    return "\n" + "\n".join(parts) + "\n"


def _metric(metric: Declared) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {metric.help} |\n"


def alerts() -> Iterator[dict[str, Any]]:
    """The rules, as Prometheus reads them."""
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def alert_table() -> str:
    """The page's table of alerts."""
    head = "| alert | when | what to do |\n| --- | --- | --- |\n"
    return "\n" + head + "".join(map(_alert, alerts())) + "\n"


def _alert(rule: dict[str, Any]) -> str:
    said = _VALUE.sub(lambda found: f"_{found[1]}_", rule["annotations"]["summary"])
    name = f"`{rule['alert']}` ({rule['labels']['severity']})"
    return f"| {name} | {said} | {rule['annotations']['description']} |\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or compare them with what is there."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in (("metrics", metric_tables()), ("alerts", alert_table())):
        begin = page.index(_BEGIN.format(name)) + len(_BEGIN.format(name))
        page = page[:begin] + table + page[page.index(_END, begin) :]
    stale = []
    for path, text in ((PAGE, page), (DASHBOARD, dashboard())):
        if arguments != ["check"]:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        sys.stderr.write(f"{', '.join(stale)}: stale; run 'python tools/metrics.py'\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
