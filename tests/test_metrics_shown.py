"""What is shown of metrics elsewhere exists: on the page, on the dashboard, in rules."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from access_toys import papers
from graftscope.server.telemetry._metrics import AREAS
from graftscope.server.telemetry._metrics_declared import Kind
from metric_toys import watched
from tools import metrics
from tools.dashboard import ROWS, expressions

ROOT = Path(__file__).parents[1]
_NAME = re.compile(r"\b(?:graftscope|process)_[a-z_]+\b")
_ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture(scope="module")
def told(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all series that a real server with TLS may tell."""
    cert, key = papers(tmp_path_factory.mktemp("papers")).of_server()
    state = tmp_path_factory.mktemp("state")
    with watched(toy_vae_bundle, state, tls_cert=cert, tls_key=key) as server:
        kinds = server.scrape().kinds
    return {f"{name}{end}" for name, kind in kinds.items() for end in _ENDS.get(kind, ("",))}


def test_the_tables_and_the_dashboard_are_those_of_the_declarations() -> None:
    assert metrics.main(["check"]) == 0


def test_the_dashboard_asks_for_nothing_that_no_server_tells(told: set[str]) -> None:
    asked = {name for each in expressions() for name in _NAME.findall(each)}
    assert len(asked) > 30
    assert asked <= told


def test_alerts_ask_for_nothing_that_no_server_tells(told: set[str]) -> None:
    asked = {name for rule in metrics.alerts() for name in _NAME.findall(rule["expr"])}
    assert len(asked) > 15
    assert asked <= told


def test_the_dashboard_shows_every_metric_but_those_that_only_bound_others() -> None:
    asked = {name for each in expressions() for name in _NAME.findall(each)}
    own = {
        f"{metric.name}_bucket" if metric.kind is Kind.HISTOGRAM else metric.name
        for area in AREAS.values()
        for metric in area
    }
    assert own - asked == {
        "graftscope_calls_limit",
        "graftscope_event_loop_tasks",
        "graftscope_jobs_limit",
        "graftscope_jobs_started_total",
        "graftscope_memory_room_bytes",
        "graftscope_models",
        "graftscope_principal_seconds_total",
        "graftscope_stored_files",
        "graftscope_stored_look_timestamp_seconds",
    }


def test_legends_name_labels_that_the_expressions_keep() -> None:
    for row in ROWS.values():
        for panel in row:
            for legend, expression in panel.series.items():
                kept = {x for by in re.findall(r"by \(([^)]*)\)", expression) for x in _words(by)}
                assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= (kept or {"instance"})


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_the_dashboard_can_be_imported() -> None:
    """What Grafana asks of a file: an id of its own, panels that do not overlap, and a source."""
    read: dict[str, Any] = json.loads(metrics.DASHBOARD.read_text())
    ids = [panel["id"] for panel in read["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in read["panels"]:
        where = panel["gridPos"]
        cells = {
            (where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    names = {variable["name"] for variable in read["templating"]["list"]}
    assert names == {"datasource", "instance"}
    assert "id" not in read  # Grafana gives one.


def test_every_alert_says_what_to_do() -> None:
    rules = list(metrics.alerts())
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["annotations"]["summary"].rstrip().endswith(".")
        assert rule["annotations"]["description"].endswith(".")


def test_prometheus_reads_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; it comes with Debian's package prometheus")
    for kind, file in (("rules", "alerts.yaml"), ("config", "prometheus.yml")):
        command = [promtool, "check", kind, str(ROOT / "deploy/prometheus" / file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
