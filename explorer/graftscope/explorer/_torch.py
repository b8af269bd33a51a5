"""A picture of the page as PyTorch code, for those who have the generator as a module."""

from collections.abc import AsyncIterator, Mapping

from graftscope.client import AsyncClient, Model
from graftscope.client.hooks import TorchGraft, torch_hybrid_code, torch_variables
from graftscope.explorer._asked import Show, show_of
from graftscope.explorer._fields import Fields
from graftscope.explorer._recipe_originals import commands
from graftscope.explorer._told import Answer, Answering
from graftscope.explorer._way import Way


class TorchCode:
    """Says how a hybrid is made in PyTorch.

    Args:
        client: Of the service.
        way: To the service.
    """

    def __init__(self, client: AsyncClient, way: Way) -> None:
        self._client, self._way = client, way

    def questions(self) -> Mapping[str, Answering]:
        """``torch``: of a picture that is asked for as ``show`` does."""
        return {"torch": self._answers}

    async def _answers(self, fields: Fields) -> AsyncIterator[Answer]:
        shown = show_of(fields)
        model = await self._client.model(shown.model)
        yield Answer({"recipe": {"torch": torch_recipe(shown, model, self._way)}})


def torch_recipe(shown: Show, model: Model, way: Way) -> str:
    """Say how a hybrid is made in PyTorch.

    Args:
        shown: The picture.
        model: Its model.
        way: To its server.

    Returns:
        Python code, which works on a variable `model`; and in comments, what it is given.

    Raises:
        InputError: If nothing is grafted, or it is not known where PyTorch computes a layer.
    """
    grafts = [TorchGraft(each.layer, each.channels, each.weight) for each in shown.steps]
    code = torch_hybrid_code(model, grafts)
    made = ["What the originals are made of, written by:", *way.before()]
    read = ["and read by:"]
    for at, original in enumerate(shown.originals, 1):
        made += commands(original, f"original{at}", model, way)
        read += [
            f'{variable}_{at} = torch.from_numpy(numpy.load("original{at}.npz")["{name}"])'
            for name, variable in torch_variables(model).items()
        ]
    comments = [f"# {line}" for text in [*made, *read] for line in text.splitlines()]
    return "\n".join([code, *comments, ""])
