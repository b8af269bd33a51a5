"""Jobs and arrays as whoever calls may see them: their own, what others share, and as an admin
everybody's.

What is not theirs to see is refused as if it did not exist, in the same words.
"""

from graftscope.server.access import Grants, caller
from graftscope.server.errors import PermissionDenied
from graftscope.server.jobs import JobRunner, Snapshot, missing, no_such_job


class Belongings:
    """What is whose.

    Args:
        runner: knows the jobs.
        grants: who may read which array; None where nobody is asked who they are.
    """

    def __init__(self, runner: JobRunner, grants: Grants | None) -> None:
        self._runner, self._grants = runner, grants

    async def job(self, job_id: str) -> Snapshot:
        """A job that the caller may see.

        Raises:
            NotFound: there is none of this id, or none that they may see.
        """
        snapshot = await self._runner.get(job_id)
        if not (snapshot.job.shared or caller().may_see(snapshot.job.owner)):
            raise no_such_job(job_id)
        return snapshot

    async def own_job(self, job_id: str) -> Snapshot:
        """A job that the caller may also change. Raises as `job`.

        Raises:
            PermissionDenied: somebody else shares it.
        """
        snapshot = await self.job(job_id)
        if not caller().may_see(snapshot.job.owner):
            raise PermissionDenied(
                f"operation 'operations/{job_id}' is another's, who shares it: it can be read here,"
                " not changed"
            )
        return snapshot

    async def page(self, limit: int, offset: int) -> list[Snapshot]:
        """Jobs that the caller may see, the newest first."""
        seen_by = None if caller().sees_all else caller().owner
        return await self._runner.page(limit, offset, seen_by=seen_by)

    async def check_array(self, sha256: str, field: str) -> None:
        """Checks that the caller may read what is stored under a sha256, if there is anything.

        Raises:
            NotFound: they may not.
        """
        if self._grants is None or caller().sees_all:
            return
        owner = caller().owner
        if await self._grants.has(owner, sha256):
            return
        if not await self._runner.names(sha256, seen_by=owner):
            raise missing(sha256, field)

    async def grant_array(self, sha256: str) -> None:
        """Lets the caller read an array, which they sent or are answered with."""
        if self._grants is not None:
            await self._grants.add(caller().owner, [sha256])
