"""The colours of every figure and of the report. It must not know any drawing library.

The first eight module colours are those of Okabe and Ito (2008), told apart with every common
kind of colour blindness; yellow comes last, for it is faint on white.
"""

INK = "#20252c"
"""Text and axes."""

MUTED = "#5f6873"
"""Secondary text."""

RULE = "#d5dae0"
"""Thin lines and empty parts of bars."""

NO_MODULE = "#9aa2ab"
"""A channel in no module (label -1), and what is not grafted."""

MAP_COLORS = "magma"
"""Influence maps and changes of the picture: amounts in image units."""

TEMPLATE_COLORS = "viridis"
"""Templates: weights, without a unit."""

_MODULES = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#4d4d4d",
    "#d9c800",
)


def module_color(module: int) -> str:
    """Return the colour of a module, the same in every figure.

    Args:
        module: Its index, from 0; or -1 for channels that are in no module. After eight the
            colours come again, so figures always write the index as well.

    Returns:
        ``#rrggbb``.

    Raises:
        ValueError: If the index is below -1.
    """
    if module < -1:
        raise ValueError(f"module {module} has no colour: modules count from 0, -1 means none")
    return NO_MODULE if module == -1 else _MODULES[module % len(_MODULES)]


def paler(color: str) -> str:
    """Return the colour ``#rrggbb`` mixed with twice as much white."""
    parts = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{(part + 2 * 255) // 3:02x}" for part in parts)
