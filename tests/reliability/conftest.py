"""What was measured is shown at the end, each figure beside its threshold."""

from collections.abc import Iterator

import pytest

from reliability import _processes

_KEY = "figure"


@pytest.fixture(autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hands the figures of a test to its report."""
    _processes.FIGURES.clear()
    yield
    for figure in _processes.FIGURES:
        request.node.user_properties.append((_KEY, figure))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows the table."""
    rows: list[tuple[str, str, str]] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            # A test's properties are on the reports of all of its phases.
            if isinstance(report, pytest.TestReport) and report.when == "teardown":
                rows += [value for key, value in report.user_properties if key == _KEY]  # type: ignore[misc]
    if rows:
        terminalreporter.section("figures")
        width = max(len(name) for name, _, _ in rows)
        for name, measured, threshold in rows:
            terminalreporter.write_line(f"{name:{width}}  {measured}  (threshold: {threshold})")
