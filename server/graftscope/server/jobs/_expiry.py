"""What is forgotten when a server starts: old jobs, and files that no job names.

It must not know what the jobs compute.
"""

import time

from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._checkpoints import CheckpointFolder
from graftscope.server.jobs._specification import input_arrays, parse_spec
from graftscope.server.jobs._store import JobStore


def forget_expired(
    store: JobStore, checkpoints: CheckpointFolder, artifacts: ArtifactStore, keep_s: float
) -> None:
    """Forgets expired jobs, then every file that none of the others needs.

    Args:
        store: where jobs are kept.
        checkpoints: all that no job names are removed.
        artifacts: those that no job needs are removed once they are old.
        keep_s: the age in seconds from which an artifact is old.
    """
    for job in store.expired(time.time()):
        store.delete(job.id)
    needed: set[str] = set()
    files: set[str] = set()
    for job in store.page(limit=None, offset=0):
        results = job.result.arrays.values() if job.result else ()
        inputs = input_arrays(parse_spec(job.specification))
        needed.update(ref.sha256 for ref in (*results, *inputs))
        if job.checkpoint is not None:
            files.add(job.checkpoint.file)
    checkpoints.sweep(files)
    artifacts.sweep(needed, keep_s)
