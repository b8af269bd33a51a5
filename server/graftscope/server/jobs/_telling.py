"""What the log and traces tell of jobs.

It must not know how jobs run.
"""

from graftscope.server.jobs._job import Job
from graftscope.server.jobs._live_job import Live
from graftscope.server.jobs._preparation import stored_plan
from graftscope.server.jobs._specification import InfluenceSpec, MagnitudeSpec, Spec
from graftscope.server.jobs._worth_specs import WorthSpec
from graftscope.server.spans import Fact


def of_whom(job: Job) -> dict[str, Fact]:
    """Which job it is, whose, and what it is about."""
    return {"job": job.id, "owner": job.owner, "analysis": job.analysis, "model": job.model}


def about(spec: Spec) -> dict[str, Fact]:
    """What a job computes: where, and on how many pairs at most."""
    match spec:
        case InfluenceSpec():
            layers = [each.layer for each in spec.each_layer] or [spec.layer]
            return {"layer": ", ".join(layers), "pairs": spec.pairs}
        case MagnitudeSpec():
            return {"layer": ", ".join(spec.layers), "pairs": spec.pairs}
        case WorthSpec():
            return {"layer": spec.where, "pairs": spec.pairs}
        case _:
            return {}


def came_of(live: Live, ended: Job) -> dict[str, Fact]:
    """What came of a job that has run here: how far it came, how long it took, and on what."""
    told: dict[str, Fact] = {
        "shards_done": ended.shards_done,
        "shards_total": ended.shards_total,
        "waited_s": round(live.waited_s, 3),
        "seconds": round(live.ran_s, 3),
    }
    if ended.plan:
        told["device"] = stored_plan(ended.plan).backend.memory
    if live.snapshot.hybrids_per_s:
        told["hybrids_a_second"] = round(live.snapshot.hybrids_per_s, 1)
    if ended.failure is not None:
        told |= {"reason": ended.failure.reason, "error": ended.failure.message}
    return told
