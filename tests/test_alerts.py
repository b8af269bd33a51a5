"""Every alert fires at its fault and no other does, as Prometheus' own tool tells."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tools import metrics

PROMTOOL = shutil.which("promtool")
AT = 'job="graftscope",instance="a"'
CREATED, RELEASED = "graftscope_objects_created_total", "graftscope_objects_released_total"

WELL = {
    f"up{{{AT}}}": "1x1000",
    f"process_start_time_seconds{{{AT}}}": "1000x1000",
    f"process_open_fds{{{AT}}}": "40x1000",
    f"process_max_fds{{{AT}}}": "1000x1000",
    f'graftscope_build_info{{{AT},version="1"}}': "1x1000",
    f'graftscope_errors_total{{{AT},reason="INTERNAL"}}': "0x1000",
    f'graftscope_requests_total{{{AT},method="M",status="OK"}}': "0+600x1000",
    f'graftscope_refusals_total{{{AT},of="memory",reason="full"}}': "0x1000",
    f"graftscope_event_loop_lag_seconds{{{AT}}}": "0.001x1000",
    f"graftscope_database_up{{{AT}}}": "1x1000",
    f'graftscope_jobs{{{AT},state="queued"}}': "0x1000",
    f"graftscope_jobs_limit{{{AT}}}": "1000x1000",
    f'graftscope_jobs_ended_total{{{AT},analysis="influence",end="done"}}': "0+1x1000",
    f'graftscope_jobs_ended_total{{{AT},analysis="influence",end="failed"}}': "0x1000",
    f'graftscope_jobs_ended_total{{{AT},analysis="influence",end="lost"}}': "0x1000",
    f"graftscope_shards_total{{{AT}}}": "0+10x1000",
    f"graftscope_checkpoints_not_kept_total{{{AT}}}": "0x1000",
    f"graftscope_memory_resident_bytes{{{AT}}}": "500x1000",
    f"graftscope_memory_limit_bytes{{{AT}}}": "1000x1000",
    f'graftscope_memory_waiting{{{AT},by="jobs"}}': "0x1000",
    f"graftscope_sessions_closed_total{{{AT}}}": "5x1000",
    f'{CREATED}{{{AT},kind="job"}}': "0+10x1000",
    f'{RELEASED}{{{AT},kind="job"}}': "0+10x1000",
    f"graftscope_disk_free_bytes{{{AT}}}": "500x1000",
    f"graftscope_disk_bytes{{{AT}}}": "1000x1000",
    f'graftscope_stored_bytes{{{AT},kind="artifacts"}}': "100x1000",
    f"graftscope_stored_limit_bytes{{{AT}}}": "1000x1000",
    f"graftscope_stored_look_timestamp_seconds{{{AT}}}": "0+60x1000",
    f"graftscope_certificate_expires_timestamp_seconds{{{AT}}}": "90000000x1000",
}
"""A server that does as it should, minute by minute."""

_METHOD = 'method="ModelService/Hybridize"'
_SECONDS = f"graftscope_request_duration_seconds_bucket{{{AT},{_METHOD}"

FAULTS: Mapping[str, Mapping[str, str]] = {
    "GraftscopeDown": {f"up{{{AT}}}": "1x500 0x500"},
    "GraftscopeNotWatched": {f"up{{{AT}}}": "1x500 stale"},
    "GraftscopeRestarts": {f"process_start_time_seconds{{{AT}}}": "0+60x1000"},
    "GraftscopeVersionsDiffer": {
        'graftscope_build_info{job="graftscope",instance="b",version="2"}': "1x1000"
    },
    "GraftscopeInternalErrors": {
        f'graftscope_errors_total{{{AT},reason="INTERNAL"}}': "0x893 1x200"
    },
    "GraftscopeUnavailable": {
        f'graftscope_requests_total{{{AT},method="M",status="UNAVAILABLE"}}': "0+60x1000"
    },
    "GraftscopeRefuses": {
        f'graftscope_refusals_total{{{AT},of="memory",reason="full"}}': "0+60x1000"
    },
    "GraftscopeSlow": {
        f'{_SECONDS},le="2.5"}}': "0+90x1000",
        f'{_SECONDS},le="5"}}': "0+100x1000",
        f'{_SECONDS},le="+Inf"}}': "0+100x1000",
    },
    "GraftscopeEventLoopLag": {f"graftscope_event_loop_lag_seconds{{{AT}}}": "0.4x1000"},
    "GraftscopeCallersRefused": {
        f'graftscope_requests_total{{{AT},method="M",status="UNAUTHENTICATED"}}': "0+60x1000"
    },
    "GraftscopeDatabaseDown": {f"graftscope_database_up{{{AT}}}": "0x1000"},
    "GraftscopeJobsStuck": {
        f'graftscope_jobs{{{AT},state="queued"}}': "3x1000",
        f'graftscope_jobs_ended_total{{{AT},analysis="influence",end="done"}}': "7x1000",
        f"graftscope_shards_total{{{AT}}}": "70x1000",
    },
    "GraftscopeJobsNearLimit": {f'graftscope_jobs{{{AT},state="queued"}}': "900x1000"},
    "GraftscopeJobsFail": {
        f'graftscope_jobs_ended_total{{{AT},analysis="influence",end="failed"}}': "0x893 1x200"
    },
    "GraftscopeJobsLost": {
        f'graftscope_jobs_ended_total{{{AT},analysis="influence",end="lost"}}': "0x893 1x200"
    },
    "GraftscopeSumsNotKept": {f"graftscope_checkpoints_not_kept_total{{{AT}}}": "0x893 1x200"},
    "GraftscopeMemoryNearLimit": {f"graftscope_memory_resident_bytes{{{AT}}}": "950x1000"},
    "GraftscopeMemoryWaits": {f'graftscope_memory_waiting{{{AT},by="jobs"}}': "2x1000"},
    "GraftscopeSessionsReopened": {f"graftscope_sessions_closed_total{{{AT}}}": "0+60x1000"},
    "GraftscopeLeak": {f'{RELEASED}{{{AT},kind="job"}}': "0+8x400 3200+0x600"},
    "GraftscopeDescriptors": {f"process_open_fds{{{AT}}}": "900x1000"},
    "GraftscopeDiskNearlyFull": {f"graftscope_disk_free_bytes{{{AT}}}": "50x1000"},
    "GraftscopeDiskFills": {f"graftscope_disk_free_bytes{{{AT}}}": "1000-0.75x1000"},
    "GraftscopeStoredAboveLimit": {
        f'graftscope_stored_bytes{{{AT},kind="artifacts"}}': "2000x1000"
    },
    "GraftscopeCertificateExpires": {
        f"graftscope_certificate_expires_timestamp_seconds{{{AT}}}": "600000x1000"
    },
    "GraftscopeNotSwept": {f"graftscope_stored_look_timestamp_seconds{{{AT}}}": "0x1000"},
}

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing; it comes with Debian's package prometheus"
)


def test_every_alert_has_a_fault_that_should_make_it_fire() -> None:
    assert set(FAULTS) == {rule["alert"] for rule in metrics.alerts()}


@pytest.mark.soak
@needs_promtool
def test_each_alert_fires_at_its_fault_and_no_other_does(tmp_path: Path) -> None:
    cases = {"": {}, **FAULTS}
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": series, "values": values} for series, values in {**WELL, **fault}.items()
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "15h",
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
                    if alert
                    else [],
                }
            ],
        }
        for alert, fault in cases.items()
    ]
    file = tmp_path / "tests.yaml"
    told = {"rule_files": [str(metrics.ALERTS)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(told))
    command = [str(PROMTOOL), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
