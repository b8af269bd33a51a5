"""Results as pandas' tables. pandas is not needed for anything else, and imported when it is."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays._displayed import provenance
from graftscope.client.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas

Columns = Mapping[str, NDArray[np.generic]]


class Tabular:
    """A base for results that are also tables."""

    def to_pandas(self) -> "pandas.DataFrame":
        """Make a pandas table of the result's numbers; which rows and columns, its class says.

        Returns:
            The table; its `attrs` say what it is of and what computed it.

        Raises:
            MissingExtraError: If pandas, of the extra ``notebook``, is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError(
                "to_pandas needs pandas, which is not installed; install it with:"
                " pip install 'graftscope[notebook]'"
            ) from error
        table = pandas.DataFrame(dict(self.columns()))
        table.attrs.update(provenance(self))
        return table

    def columns(self) -> Columns:
        """The table's columns, by their names."""
        raise NotImplementedError


def stacked(tables: Iterable[Columns]) -> Columns:
    """Put tables with the same columns one below the other."""
    first, *others = tables
    return {name: np.concatenate([first[name], *(each[name] for each in others)]) for name in first}
