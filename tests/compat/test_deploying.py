"""`deploy/try.py`: replicas, database and balancer as processes, and a replica that is killed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compat._environments import ROOT

pytestmark = [pytest.mark.compat, pytest.mark.timeout(1800)]


def test_a_job_outlives_its_replica_behind_the_balancer_bit_for_bit() -> None:
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs HAProxy (Debian: apt-get install haproxy)")
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "try.py", "--pairs", "640"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "both results are the same, bit for bit" in done.stdout
    attempt = re.search(r"attempt (\d+)", done.stdout)
    assert attempt is not None
    assert int(attempt[1]) >= 2
