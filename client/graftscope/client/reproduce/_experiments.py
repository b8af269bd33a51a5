"""The experiments by name, in the order of `graftscope reproduce all`."""

from collections.abc import Callable, Mapping

from graftscope.client.reproduce._claims import Reproduction
from graftscope.client.reproduce._fig2b import fig2b
from graftscope.client.reproduce._fig3 import fig3
from graftscope.client.reproduce._fig5 import fig5
from graftscope.client.reproduce._fig6 import fig6
from graftscope.client.reproduce._fig7 import fig7
from graftscope.client.reproduce._fig8 import fig8
from graftscope.client.reproduce._originals import compare_originals
from graftscope.client.reproduce._sensitivity import compare_settings
from graftscope.client.reproduce._study import Study
from graftscope.client.reproduce._table1 import compare_table1

EXPERIMENTS: Mapping[str, Callable[[Study], Reproduction]] = {
    "table1": compare_table1,
    "fig2b": fig2b,
    "fig3": fig3,
    "fig5": fig5,
    "fig6": fig6,
    "fig7": fig7,
    "fig8": fig8,
    "originals": compare_originals,
    "sensitivity": compare_settings,
}
"""Each experiment by its name."""
