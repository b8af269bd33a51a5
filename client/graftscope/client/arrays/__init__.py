"""Arrays and numbers: what they must be, what is known of a field, and `.npz` files.

It must not know models, interventions, protobuf or gRPC.
"""

from graftscope.client.arrays._checks import (
    UINT32_MAX,
    Latents,
    finite,
    finite_number,
    influence_maps,
    latents,
    module_labels,
    names,
    whole_number,
)
from graftscope.client.arrays._fields import (
    Axes,
    Checked,
    Flag,
    Names,
    Real,
    Several,
    Whole,
    Word,
    axes_of,
    check_axes,
    check_field,
    flags,
    rule_of,
)
from graftscope.client.arrays._frozen import ByValue, frozen
from graftscope.client.arrays._npz import (
    check_writable,
    prepare_folder,
    read_array,
    read_comment,
    read_npz,
    read_values,
    write_bytes,
    write_npz,
)
from graftscope.client.arrays._source import Source, read_source, source_from_comment
from graftscope.client.arrays._statistics import deviation_of_known, mean_of_known

__all__ = [
    "UINT32_MAX",
    "Axes",
    "ByValue",
    "Checked",
    "Flag",
    "Latents",
    "Names",
    "Real",
    "Several",
    "Source",
    "Whole",
    "Word",
    "axes_of",
    "check_axes",
    "check_field",
    "check_writable",
    "deviation_of_known",
    "finite",
    "finite_number",
    "flags",
    "frozen",
    "influence_maps",
    "latents",
    "mean_of_known",
    "module_labels",
    "names",
    "prepare_folder",
    "read_array",
    "read_comment",
    "read_npz",
    "read_source",
    "read_values",
    "rule_of",
    "source_from_comment",
    "whole_number",
    "write_bytes",
    "write_npz",
]
