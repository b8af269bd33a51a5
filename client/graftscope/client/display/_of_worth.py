"""What a module is worth, as cards: what few latents reach, and few channels."""

from graftscope.client.display._cards import Card, Table
from graftscope.client.display._numbers import percent, short
from graftscope.client.display._provenance import provenance_of
from graftscope.client.values import ReachResult

_PLACES = (1, 2, 4, 8, 16, 32, 64)
_BEST = 6


def reach_card(value: ReachResult) -> Card:
    """Show what the best units of each kind reach, and how far the curves are apart."""
    places = [n for n in _PLACES if n <= value.share.shape[1]]
    curves, orders, areas = [], [], []
    for row, kind in enumerate(value.kinds):
        shares = [percent(value.share[row, n - 1], value.share_stderr[row, n - 1]) for n in places]
        last = places[-1] - 1
        control = percent(value.random[row, last], value.random_stderr[row, last])
        reachable = short(value.reachable[row], value.reachable_stderr[row])
        curves.append([f"{kind}, {value.units[row]}", reachable, *shares, control])
        best = value.order[row, :_BEST]
        names = [value.unit_name(kind, unit) for unit in best[best >= 0].tolist()]
        orders.append([kind, ", ".join(names)])
    for row, layer in enumerate(value.layers):
        by_count = percent(value.by_count[row], value.by_count_stderr[row])
        by_share = percent(value.by_share[row], value.by_share_stderr[row])
        areas.append([layer, by_count, by_share])
    heads = [*(f"best {n}, % ± se" for n in places), f"random {places[-1]}, % ± se"]
    return Card(
        title="Reach",
        of=f"what few units reach: {value.target}",
        tables=[
            Table(
                "Share of what all units of a kind do together",
                ["units", "reachable ± se", *heads],
                curves,
            ),
            Table(
                "How far a layer's curve lies above that of the latents, on average",
                ["layer", "at equal numbers, % ± se", "at equal shares of the units, % ± se"],
                areas,
            ),
            Table("The best units, the first one first", ["units", "best"], orders),
        ],
        origin=provenance_of(value),
    )
