"""A picture of the page as what makes it elsewhere: commands, Python, an intervention in a file."""

from collections.abc import AsyncIterator, Mapping, Sequence

from graftscope.client import AsyncClient, Json, Model
from graftscope.explorer import _recipe_originals as originals
from graftscope.explorer._asked import Show, show_of
from graftscope.explorer._fields import Fields
from graftscope.explorer._taking import SIDE_BY_SIDE, film_form, grafted, strengths_of
from graftscope.explorer._told import Answer, Answering
from graftscope.explorer._way import Way


class Recipes:
    """Says how what a page shows is made elsewhere.

    Args:
        client: Of the service.
        way: To the server.
    """

    def __init__(self, client: AsyncClient, way: Way) -> None:
        self._client, self._way = client, way

    def questions(self) -> Mapping[str, Answering]:
        """``recipe``: of a picture that is asked for as ``show`` does.

        ``film``: of one that is asked for as ``take`` does.
        """
        return {"recipe": self._answers, "film": self._film}

    async def _answers(self, fields: Fields) -> AsyncIterator[Answer]:
        shown = show_of(fields)
        model = await self._client.model(shown.model)
        yield Answer({"recipe": recipe(shown, self._way, model)})

    async def _film(self, fields: Fields) -> AsyncIterator[Answer]:
        form = film_form(fields)
        strengths = strengths_of(fields)
        if fields.get("there_and_back") is True and form != SIDE_BY_SIDE:
            strengths += strengths[-2:0:-1]
        shown = show_of(fields)
        graft = grafted(shown).to_json()
        model = await self._client.model(shown.model)
        words = [f"--strength={','.join(f'{each:g}' for each in strengths)}"]
        words += ["--out", f"strip.{form}"]
        command = _hybridizing(shown, self._way, model, graft, words)
        yield Answer({"recipe": {"film": command}})


def recipe(shown: Show, way: Way, model: Model) -> dict[str, Json]:
    """Say how a picture is made elsewhere.

    Args:
        shown: The picture.
        way: To its server.
        model: Its generator.

    Returns:
        ``cli``, ``python`` and ``json`` (the intervention's file), each a text. Where nothing is
        grafted, the first two make original 1, and the last is empty.
    """
    intervention = shown.intervention()
    graft = "" if intervention is None else intervention.to_json()
    return {
        "cli": _cli(shown, way, model, graft),
        "python": _python(shown, way, model, graft),
        "json": graft,
    }


def _cli(shown: Show, way: Way, model: Model, graft: str) -> str:
    if not graft:
        made = originals.picture_commands(shown.originals[0], "original1", model, way)
        return "\n".join([*way.before(), *made])
    return _hybridizing(shown, way, model, graft, ["--encoding", "png", "--out", "hybrid"])


def _hybridizing(shown: Show, way: Way, model: Model, graft: str, words: Sequence[str]) -> str:
    first, second = shown.originals
    made = [
        *originals.commands(first, "original1", model, way),
        *originals.commands(second, "original2", model, way),
    ]
    begin = ["hybridize", "--latents1", "original1.npz", "--latents2", "original2.npz"]
    begin += ["--intervene", "graft.json", "--model", shown.model]
    written = f"cat > graft.json <<'END'\n{graft.rstrip()}\nEND"
    return "\n".join([*way.before(), *made, written, way.command([*begin, *words])])


def _python(shown: Show, way: Way, model: Model, graft: str) -> str:
    first, second = shown.originals
    if not graft:
        imports = [*originals.needed_imports([first]), *way.imports([])]
        block = [
            *originals.python(first, "one", model),
            f"made = client.generate({shown.model!r}, latents=one)",
        ]
        said = "# made.images[0]"
    else:
        imports = [
            *originals.needed_imports(shown.originals),
            *way.imports(["Intervention", "LatentPairs"]),
            f'graft = Intervention.from_json("""{graft.rstrip()}""")',
        ]
        block = [
            *originals.python(first, "one", model),
            *originals.python(second, "two", model),
            "made = client.hybridize(",
            f"    {shown.model!r}, intervention=graft, originals=LatentPairs(one, two)",
            ")",
        ]
        said = "# made.hybrid[0]"
    lines = [
        *way.before(),
        *imports,
        f"with {way.client()} as client:",
        *[f"    {line}" for line in block],
    ]
    return "\n".join([*lines, f"{said}: (colours, height, width) in the generator's own range", ""])
