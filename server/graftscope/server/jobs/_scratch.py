"""Arrays of one call that nothing outlives: kept in memory, never on disk.

It must not know what they are for.
"""

import numpy as np
from numpy.typing import NDArray

from graftscope.server.jobs._array_ref import ArrayRef
from graftscope.server.jobs._artifacts import ArtifactStore, array_ref


class Scratch(ArtifactStore):
    """A store whose own arrays are gone with it; others are read from the store below it.

    Args:
        store: what is stored already.
    """

    def __init__(self, store: ArtifactStore) -> None:
        # Its folder is there already.
        self.folder = store.folder
        self._arrays: dict[ArrayRef, NDArray[np.generic]] = {}

    def put(self, array: NDArray[np.generic], *, durable: bool = True) -> ArrayRef:
        """Keeps an array for as long as the call lasts."""
        ref = array_ref(array)
        self._arrays[ref] = array
        return ref

    def get(self, ref: ArrayRef, field: str = "array") -> NDArray[np.generic]:
        """As `ArtifactStore.get`."""
        kept = self._arrays.get(ref)
        return super().get(ref, field) if kept is None else kept
