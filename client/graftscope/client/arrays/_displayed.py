"""What values offer to notebooks. How they look, and what they become, the room `display` knows.

That lies above every value, and takes a while to load: it is named here, and loaded when a notebook
asks for something.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_DISPLAY = "graftscope.client.display"


class Displayed:
    """A base for values that a notebook shows as more than a line."""

    def _repr_html_(self) -> str:
        """Give what a notebook shows: HTML without scripts that asks nobody for anything."""
        return str(_display().html_of(self))


class Drawn:
    """A base for values that one of the project's own figures draws."""

    def plot(self) -> "Figure":
        """Draw it, as a report would.

        Returns:
            A matplotlib figure: ``result.plot().savefig("figure.png")``.

        Raises:
            ReportExtraError: If matplotlib, of the extra ``report``, is not installed.
        """
        return drawn(self)


class Gridded:
    """A base for values whose arrays have named axes."""

    def to_xarray(self) -> "xarray.Dataset":
        """Make an xarray dataset: arrays with named axes, standard errors beside what they are of.

        Returns:
            Axes such as ``channel``, ``y`` and ``x``, with the layer's channel numbers as
            coordinates; units in the variables' attributes, and in the dataset's what it is of and
            what computed it.

        Raises:
            MissingExtraError: If xarray, of the extra ``notebook``, is not installed.
        """
        dataset: xarray.Dataset = _display().dataset_of(self)
        return dataset


def drawn(value: object, *options: object) -> "Figure":
    """Draw a value."""
    figure: Figure = _display().figure_of(value, *options)
    return figure


def provenance(value: object) -> dict[str, str]:
    """Tell what a value is of and what computed it, in words by names."""
    told: dict[str, str] = _display().provenance_of(value)
    return told


def _display() -> Any:
    return import_module(_DISPLAY)
