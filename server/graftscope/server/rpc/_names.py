"""Names of operations on the wire."""

from graftscope.server.errors import InvalidInput

_OPERATIONS = "operations/"


def operation_name(job: str) -> str:
    """operations/ID"""
    return _OPERATIONS + job


def job_id(name: str, field: str = "name") -> str:
    """The ID of operations/ID.

    Raises:
        InvalidInput: the name is malformed.
    """
    identifier = name.removeprefix(_OPERATIONS)
    if not name.startswith(_OPERATIONS) or not identifier or "/" in identifier:
        raise InvalidInput(f"{field} {name!r} is malformed; operations/ID is needed", field=field)
    return identifier
