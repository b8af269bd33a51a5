"""How far a bundle's images may be from others, in words."""

from graftscope.v1 import bundle_pb2


def agreement_lines(provenance: bundle_pb2.Provenance) -> tuple[str, ...]:
    """Say how far images may be apart, where that is more than float32's last digits.

    Args:
        provenance: A manifest's.

    Returns:
        Lines for people; none where images agree within 1e-5 of their range.
    """
    if not provenance.HasField("agreement"):
        return ()
    stated = provenance.agreement
    told = f"images are within {stated.source_found:.2g} of the range of the source's"
    if not stated.halves_usual:
        return (f"{told}, which rounds; allowed: {stated.source_allowed:.2g}",)
    return (
        f"{told}; allowed: {_told(stated.source_usual, stated.source_allowed)}",
        "where ONNX Runtime optimises the halves, their images may differ from the generator's by "
        f"{_told(stated.halves_usual, stated.halves_allowed)}",
    )


def _told(usual: float, most: float) -> str:
    return f"{usual:.2g}, and {most:.2g} where a number is rounded to the step beside"
