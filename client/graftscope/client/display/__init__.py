"""What is shown of results and of jobs to people: in notebooks, and of progress on terminals too.

Values find this package by its name when a notebook asks for something (`arrays.Displayed`). It
must not know clients or servers. Importing it needs numpy alone: Pillow, matplotlib and xarray are
imported when something is drawn or made with them.
"""

from graftscope.client.display._advance import Advance, of_job, reached, unit_of
from graftscope.client.display._cards import MOST_BYTES
from graftscope.client.display._datasets import GRIDS, dataset_of
from graftscope.client.display._figures import FIGURES, figure_of, reach_target
from graftscope.client.display._of_probe import (
    PROBE_COLUMNS,
    PROBE_PARTS,
    probe_heading,
    probe_notes,
    probe_parts,
    probe_rows,
)
from graftscope.client.display._progress import NotebookProgress, notebook_progress
from graftscope.client.display._provenance import provenance_of
from graftscope.client.display._shown import CARDS, html_of

__all__ = [
    "CARDS",
    "FIGURES",
    "GRIDS",
    "MOST_BYTES",
    "PROBE_COLUMNS",
    "PROBE_PARTS",
    "Advance",
    "NotebookProgress",
    "dataset_of",
    "figure_of",
    "html_of",
    "notebook_progress",
    "of_job",
    "probe_heading",
    "probe_notes",
    "probe_parts",
    "probe_rows",
    "provenance_of",
    "reach_target",
    "reached",
    "unit_of",
]
