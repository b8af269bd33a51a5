"""What the log and traces tell of jobs: how each began, where it went, and how it ended."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from graftscope.server.jobs import Job
from graftscope.server.spans import enter
from graftscope.server.telemetry._otel import Tracing
from job_toys import PAIRS, SHARDS, bench


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="graftscope.server")
    return caplog


def lines(told: pytest.LogCaptureFixture, job: Job) -> list[dict[str, Any]]:
    """The fields of the events of a job, in their order."""
    found = [vars(record)["fields"] for record in told.records if "fields" in vars(record)]
    return [x for x in found if x.get("job") == job.id and x["event"].startswith("job ")]


async def test_a_job_that_is_left_and_taken_up_is_told_of_by_both_servers(
    toy_vae_bundle: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(1)
        job = await before.create()
        await before.reached(job, 1)
    exporter = InMemorySpanExporter()
    traced = Tracing(exporter)
    enter(traced.root)
    async with bench(toy_vae_bundle, tmp_path) as after:
        await after.done(job)
    traced.close()
    created, started, taken_up, again, done = lines(told, job)
    assert [x["event"] for x in (created, started)] == ["job created", "job started"]
    assert (taken_up["event"], taken_up["attempt"]) == ("job taken up", 2)
    assert (again["event"], done["event"]) == ("job started", "job done")
    assert again["shards_done"] == taken_up["shards_done"] >= 1
    assert (done["shards_done"], done["shards_total"]) == (SHARDS, SHARDS)
    for each in (created, started, again, done):
        assert (each["analysis"], each["pairs"]) == ("influence", PAIRS)
        assert each["layer"] == created["layer"] != ""
    assert done["hybrids_a_second"] > 0
    # No call began the second attempt: its trace has a root of its own.
    spans = exporter.get_finished_spans()
    (whole,) = (span for span in spans if span.name == "job")
    assert whole.parent is None
    assert not whole.links
    assert (whole.attributes or {})["graftscope.job"] == job.id
    shards = [span for span in spans if span.name == "shard"]
    assert len(shards) == SHARDS - again["shards_done"]
    assert {span.context.trace_id for span in shards} == {whole.context.trace_id}


async def test_a_job_that_was_cancelled_tells_how_far_it_came(
    toy_vae_bundle: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        here.gate.close_after(1)
        job = await here.create()
        await here.reached(job, 1)
        await here.runner.cancel(job.id)
        here.gate.open()
        ended = await here.done(job)
    last = lines(told, job)[-1]
    assert (last["event"], last["shards_done"]) == ("job cancelled", ended.shards_done)


async def test_a_job_that_is_cancelled_while_nobody_runs_it_is_told_of_too(
    toy_vae_bundle: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(1)
        job = await before.create()
        await before.reached(job, 1)
    async with bench(toy_vae_bundle, tmp_path, resume=False) as after:
        await after.runner.cancel(job.id)
    assert lines(told, job)[-1]["event"] == "job cancelled"


async def test_a_job_that_fails_is_an_error_that_says_why(
    toy_vae_bundle: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    exporter = InMemorySpanExporter()
    traced = Tracing(exporter)
    enter(traced.root)
    async with bench(toy_vae_bundle, tmp_path) as here:
        flat = np.zeros((3, 8, 8))
        flat[0, :2, :2] = 1.0
        job = await here.runner.create(here.modules(flat, 2), model="")
        await here.done(job)
    await asyncio.to_thread(traced.close)
    last = lines(told, job)[-1]
    assert (last["event"], last["reason"]) == ("job failed", "K_TOO_LARGE")
    assert "1 influence maps that are not flat" in last["error"]
    assert {x.levelname for x in told.records if "job failed" in x.getMessage()} == {"ERROR"}
    (whole,) = (span for span in exporter.get_finished_spans() if span.name == "job")
    assert whole.status.description == "K_TOO_LARGE"
