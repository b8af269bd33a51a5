"""Which arrays a job names: what it was given, and what it came to."""

from graftscope.server.jobs._job import Job
from graftscope.server.jobs._specification import input_arrays, parse_spec


def named_arrays(job: Job) -> frozenset[str]:
    """The sha256 of each."""
    results = job.result.arrays.values() if job.result else ()
    inputs = input_arrays(parse_spec(job.specification))
    return frozenset(ref.sha256 for ref in (*results, *inputs))
