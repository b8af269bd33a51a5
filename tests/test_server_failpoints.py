"""A failpoint acts in a process whose environment names it, and in no other."""

import signal
import subprocess
import sys

import pytest

from graftscope.server import failpoints

REACH = "from graftscope.server.failpoints import reach; reach('job-stored'); reach('job-stored')"


def _reached(wanted: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", REACH],
        env={"GRAFTSCOPE_FAILPOINT": wanted, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ("job-stored", -signal.SIGKILL),
        ("job-stored@2", -signal.SIGKILL),
        ("job-stored@3", 0),
        ("result-named", 0),
        ("job-stored:full", 1),
    ],
)
def test_it_acts_where_it_is_named(wanted: str, code: int) -> None:
    assert _reached(wanted).returncode == code


def test_a_full_disk_is_the_error_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.VARIABLE, "artifact-named:full")
    with pytest.raises(OSError, match="No space left"):
        failpoints.reach("artifact-named")
