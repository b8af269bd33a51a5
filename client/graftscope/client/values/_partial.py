"""What an influence job has found so far."""

from collections.abc import Mapping
from dataclasses import dataclass

from graftscope.client.arrays import Displayed, Drawn
from graftscope.client.values._influence import InfluenceResult
from graftscope.client.values._jobs import Job
from graftscope.client.values._layers import LayersResult
from graftscope.client.values._modules import ModulesResult


@dataclass(frozen=True, eq=False)
class PartialResult(Displayed, Drawn):
    """What an influence job has found so far, or its result where it is done.

    Args:
        job: As it stands.
        influence: Over the pairs so far, `influence.pairs` of them; saved, it is a file of maps
            like any other, which says that they are partial.
        modules: By the layer's name, where they were asked for and there are any.
        modules_pairs: Pairs of the maps that these were found in; 0 where there are none.
        skipped: Why there are no modules, or none of as many pairs as `influence`; else empty.
        from_checkpoint: Whether this is what was kept last: the job runs at another server, waits
            to go on, or has ended without a result.
    """

    job: Job
    influence: InfluenceResult | LayersResult
    modules: Mapping[str, ModulesResult]
    modules_pairs: int = 0
    skipped: str = ""
    from_checkpoint: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether the job has no result yet."""
        return self.influence.is_partial

    @property
    def pairs(self) -> int:
        """Pairs behind the maps; of the layer that has had the most."""
        whole = self.influence
        parts = whole.layers.values() if isinstance(whole, LayersResult) else [whole]
        return max(part.pairs for part in parts)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        so_far = "so far" if self.is_partial else "in all"
        return f"<PartialResult of {self.job.name}: {self.pairs} pairs {so_far}>"
