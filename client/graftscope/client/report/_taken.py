"""What a reader takes along from a report: each module's intervention, as a file to run again.

It must not know what an intervention is: a text of JSON each.
"""

import base64
from dataclasses import dataclass

from graftscope.client.report._data import LayerSection
from graftscope.client.report._words import slug


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
