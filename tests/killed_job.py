"""A process of its own that computes a job's first shards, says so, and waits to be killed."""

import asyncio
import sys
from pathlib import Path

from graftscope.server.jobs import OriginalsSpec, RelativeErrorSpec, StableLabelsSpec
from job_toys import bench


def _rule(words: list[str]) -> dict[str, object]:
    """The changes: `stratified` pairs; or those of a rule, `labels` or a relative error."""
    if not words:
        return {}
    if words == ["stratified"]:
        return {"pairs": 128, "originals": OriginalsSpec("prior", {}, stratified=True)}
    if words == ["labels"]:
        return {"pairs": 1280, "until": StableLabelsSpec(2, "kmeans", 0, 3, 75.0)}
    return {"pairs": 1280, "until": RelativeErrorSpec(float(words[0]))}


async def _run(bundle: Path, state: Path, shards: int, rule: list[str]) -> None:
    async with bench(bundle, state, checkpoint_every_s=0.0) as here:
        here.gate.close_after(shards)
        job = await here.create(**_rule(rule))
        async for snapshot in here.runner.watch(job.id):
            kept = snapshot.job.checkpoint
            if kept is not None and kept.file.startswith(f"{job.id}-{job.fence}-{shards}-"):
                sys.stdout.write(f"{job.id}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
