"""A report's values to one HTML file and its PNGs. It must not know how numbers are put in words.

The file holds everything it shows: no script, no font, no picture is loaded from elsewhere.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from graftscope.client.figures import ReportExtraError, module_color
from graftscope.client.report import _wording
from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._example import EXAMPLE_RULE, choose_example
from graftscope.client.report._page import LayerPage, describe_originals, layer_page
from graftscope.client.report._pictures import (
    LayerPictures,
    example_pictures,
    layer_pictures,
    sample_tiles,
)
from graftscope.client.report._provenance import measurements
from graftscope.client.report._sheets import draw_sheets
from graftscope.client.report._strokes import Bars, influence_bars
from graftscope.client.report._tiles import scale_of_changes
from graftscope.client.report._wording import doubts, slug
from graftscope.client.report._zones import EVEN_MARGIN
from graftscope.client.values import RIVAL, SURE, told_pairs

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Taken:
    """One module's file.

    Attributes:
        module: Which.
        file: Its name.
        text: What it holds.
    """

    module: int
    file: str
    text: str

    @property
    def source(self) -> str:
        """The file as an address that holds all of it."""
        return f"data:application/json;base64,{base64.b64encode(self.text.encode()).decode()}"


def taken_along(section: LayerSection, place: int) -> tuple[Taken, ...]:
    """Name the files of the section that stands at `place`, from 1; none for empty modules."""
    stem = f"{place}-{slug(section.layer)}"
    return tuple(
        Taken(module, f"{stem}-module-{module}.json", text)
        for module, text in enumerate(section.interventions)
        if text
    )


@dataclass(frozen=True)
class Layer:
    """One layer as the template takes it."""

    section: LayerSection
    page: LayerPage
    pictures: LayerPictures
    bars: Bars
    taken: tuple[Taken, ...]


def page_style() -> str:
    """The style of the report, for other pages that are to look like it."""
    return _text("page.css")


def render_report(data: ReportData, out_dir: Path) -> Path:
    """Write a report.

    Args:
        data: What it shows; every number on the page comes from here.
        out_dir: The folder for ``index.html``, ``figures/*.png`` and ``interventions/*.json``; it
            is made where missing, and files of these names in it are replaced.

    Returns:
        The path of ``index.html``. It opens without a network and can be moved alone.

    Raises:
        ReportExtraError: If matplotlib or Jinja2 is not installed.
        ValueError: If the images are not grey or RGB, or a template is negative or not finite.
    """
    page = _template()
    example = choose_example(data)
    sheets = draw_sheets(data, example)
    taken = [taken_along(section, i) for i, section in enumerate(data.sections, start=1)]
    html = page.render(
        data=data,
        css=page_style(),
        warnings=doubts(data) + data.warnings,
        pairs=told_pairs(data.pairs_of),
        samples=sample_tiles(data),
        example=example,
        graft=example_pictures(data, example),
        layers=[
            Layer(
                section,
                layer_page(data, section, place),
                layer_pictures(data, section),
                influence_bars(section, data.range_width),
                files,
            )
            for place, (section, files) in enumerate(zip(data.sections, taken, strict=True), 1)
        ],
        measurements=measurements(data.provenance.metrics),
    )
    _write(out_dir / "figures", sheets)
    interventions = {each.file: each.text.encode() for layer in taken for each in layer}
    _write(out_dir / "interventions", interventions)
    index = out_dir / "index.html"
    index.write_text(html, encoding="utf-8")
    return index


def _template() -> "Template":
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as error:
        raise ReportExtraError("Jinja2") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=_wording.number,
        count=_wording.count,
        percent=_wording.percent,
        duration=_wording.duration,
        originals=describe_originals,
    )
    environment.globals.update(
        plural=_wording.plural,
        even_margin=EVEN_MARGIN,
        example_rule=EXAMPLE_RULE,
        module_color=module_color,
        change_colors=scale_of_changes(),
        sure=SURE,
        rival=RIVAL,
    )
    return environment.from_string(_text("page.html.j2"))


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    if files:
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
