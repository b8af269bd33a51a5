"""What is published of a job that goes on."""

from dataclasses import replace

from graftscope.server.jobs._job import Estimate, Job
from graftscope.server.jobs._live_job import Live, Snapshot

JOB = Job("a", "influence", "{}", "0" * 64, "toy", {}, Estimate(0.0, 0, 0), 9)


async def test_a_job_that_is_shared_stays_so_whatever_was_read_of_it_before() -> None:
    live = Live(JOB)
    before = live.snapshot.job
    live.set_shared(True)
    live.set_job(replace(before, shards_done=1))
    live.publish(Snapshot(replace(before, shards_done=2)))
    assert live.snapshot.job == replace(JOB, shards_done=2, shared=True)
    live.set_shared(False)
    assert not live.snapshot.job.shared


async def test_of_a_job_at_another_server_its_row_says_whether_it_is_shared() -> None:
    live = Live(JOB)
    live.publish_if_new(Snapshot(replace(JOB, shared=True)))
    assert live.snapshot.job.shared
