"""Whether modules act by themselves, as a card."""

from graftscope.client.display._cards import Card, Table
from graftscope.client.display._provenance import provenance_of
from graftscope.client.values import IndependenceResult, independence_tables, told_mixture


def independence_card(value: IndependenceResult) -> Card:
    """Show the four questions, and what answers them."""
    tables = [
        Table(each.means, list(each.heads), [list(row) for row in each.rows])
        for each in independence_tables(value)
    ]
    return Card(
        title="Independence",
        of="whether modules act by themselves, and where they say",
        tables=tables,
        notes=[told_mixture(value), *([value.warning] if value.warning else [])],
        origin=provenance_of(value),
    )
