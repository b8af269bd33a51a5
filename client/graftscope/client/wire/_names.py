"""Resource names: models and operations as the contract writes them."""

from graftscope.client.errors import InputError


def model_name(name: str) -> str:
    """Make the contract's form of a model's name: ``models/NAME``."""
    if not name.removeprefix("models/"):
        raise InputError("the model's name is empty", field="model")
    return f"models/{name.removeprefix('models/')}"


def operation_name(name: str) -> str:
    """Make the contract's form of an operation's name: ``operations/ID``."""
    if not name.removeprefix("operations/"):
        raise InputError("the operation's name is empty", field="name")
    return f"operations/{name.removeprefix('operations/')}"
