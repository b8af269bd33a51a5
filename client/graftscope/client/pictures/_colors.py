"""The colours of amounts and of weights, as bytes: what is drawn needs no matplotlib.

Both maps are of Smith and van der Walt (2015), dedicated to the public domain (CC0); a test
compares them with matplotlib's.
"""

from base64 import b64decode
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_MAGMA = (
    "AAADAAAEAAAGAQAHAQEJAQELAgINAgIPAwMRBAMTBAQVBQQXBgUZBwUbCAYdCQcfCgciCwgkDAkmDQooDgoqDwssEA"
    "wvEQwxEg0zFA01FQ44Fg46Fw88GA8/GhBBGxBEHBBGHhBJHxFLIBFNIhFQIxFSJRFVJhFXKBFZKhFcKxFeLRBgLxBi"
    "MBBlMhBnNBBoNQ9qNw9sOQ9uOw9vPA9xPg9yQA9zQg90Qw91RQ92Rw93SBB4ShB5SxB5TRF6TxF7UBJ7UhJ8UxN8VR"
    "N9VxR9WBV+WhV+WxZ+XRd+Xhd/YBh/YRh/Yxl/ZRqAZhqAaBuAaRyAaxyAbB2Abh6Bbx6BcR+Bcx+BdCCBdiGBdyGB"
    "eSKBeiKBfCOBfiSBfySBgSWBgiWBhCaBhSaBhyeBiSiBiiiBjCmAjSmAjyqAkSqAkiuAlCuAlSyAlyx/mS1/mi1/nC"
    "5/ni5+ny9+oS9+ozB+pDB9pjF9pzF9qTJ8qzN8rDN7rjR7sDR7sTV6szV6tTZ5tjZ5uDd4uTd4uzh3vTl3vjl2wDp1"
    "wjp1wzt0xTx0xjxzyD1yyj5yyz5xzT9wzkBw0EFv0UJu00Jt1ENt1kRs10Vr2UZq2kdp3Ehp3Ulo3kpn4Etm4Uxm4k"
    "1l5E5k5VBj5lFi51Ji6FRh6lVg61Zg7Fhf7Vlf7lte7l1d715d8GBd8WFc8mNc82Vc82db9Ghb9Wpb9Wxb9m5b9nBb"
    "93Fb93Nc+HVc+Hdc+Xlc+Xtd+X1d+n9e+oBe+oJf+4Rg+4Zg+4hh+4pi/Ixj/I5j/JBk/JJl/JNm/ZVn/Zdo/Zlp/Z"
    "tq/Z1r/Z9s/aFu/aJv/aRw/qZx/qhz/qp0/qx1/q52/q94/rF5/rN7/rV8/rd9/rl//ruA/ryC/r6D/sCF/sKG/sSI"
    "/saJ/seL/smN/suO/c2Q/c+S/dGT/dKV/dSX/daY/dia/dqc/dyd/d2f/d+h/eGj/OOl/OWm/Oao/Oiq/Oqs/Oyu/O"
    "6w/PCx/PGz/PO1/PW3+/e5+/m7+/q9+/y/"
)

_VIRIDIS = (
    "RAFURAJVRANXRQVYRQZaRQhbRglcRgteRgxfRg5hRw9iRxFjRxJlRxRmRxVnRxZpRxhqSBlrSBpsSBxuSB1vSB5wSC"
    "BxSCFySCJzSCN0RyV1RyZ2Ryd3Ryh4Ryp5Ryt6Ryx7Ri18Ri98RjB9RjF+RTJ/RTR/RTWARTaBRDeBRDmCQzqDQzuD"
    "QzyEQj2EQj6FQkCFQUGGQUKGQEOHQESHP0WHP0eIPkiIPkmJPUqJPUuJPUyJPE2KPE6KO1CKO1GKOlKLOlOLOVSLOV"
    "WLOFaLOFeMN1iMN1mMNlqMNluMNVyMNV2MNF6NNF+NM2CNM2GNMmKNMmONMWSNMWWNMWaNMGeNMGiNL2mNL2qNLmuO"
    "LmyOLm2OLW6OLW+OLHCOLHGOLHKOK3OOK3SOKnWOKnaOKneOKXiOKXmOKHqOKHqOKHuOJ3yOJ32OJ36OJn+OJoCOJo"
    "GOJYKOJYONJISNJIWNJIaNI4eNI4iNI4mNIomNIoqNIouNIYyNIY2MIY6MII+MIJCMIJGMH5KMH5OLH5SLH5WLH5aL"
    "HpeKHpiKHpmKHpmKHpqJHpuJHpyJHp2IHp6IHp+IHqCHH6GHH6KGH6OGIKSFIKWFIaaFIaeEIqeEI6iDI6mCJKqCJa"
    "uBJqyBJ62AKK5/Ka9/KrB+K7F9LLF9LrJ8L7N7MLR6MrV6M7Z5Nbd4Nrh3OLl2Obl2O7p1Pbt0PrxzQL1yQr5xRL5w"
    "Rb9vR8BuScFtS8JsTcJrT8NpUcRoU8VnVcZmV8ZlWcdkW8hiXslhYMlgYspfZMtdZ8xcacxba81Zbc5YcM5Wcs9VdN"
    "BUd9BSedFRfNJPftJOgdNMg9NLhtRJiNVHi9VGjdZEkNZDktdBldc/l9g+mtg8ndk6n9k4oto3pdo1p9szqtsyrdww"
    "r9wust0std0rt90put4nvd4mv98kwt8ixd8hx+AfyuAezeAdz+Ec0uEb1OEa1+IZ2uIY3OIY3+MY4eMY5OMY5+QZ6e"
    "QZ7OQa7uUb8eUc8+Ue9uYf+OYh+uYi/eck"
)

_TABLES: Mapping[str, NDArray[np.uint8]] = {
    name: np.frombuffer(b64decode(text), np.uint8).reshape(256, 3)
    for name, text in (("magma", _MAGMA), ("viridis", _VIRIDIS))
}


def color_table(colors: str) -> NDArray[np.uint8]:
    """Give the (256, 3) colours of ``magma`` or ``viridis``, those of the lowest value first."""
    return _TABLES[colors]


def color_steps(values: NDArray[np.floating], high: float, gamma: float = 1.0) -> NDArray[np.uint8]:
    """Tell which of a table's 256 colours each value has.

    Args:
        values: Of any shape; what lies outside 0 to ``high`` is clipped, NaN counts as 0.
        high: The value of the last colour; the first one is that of 0.
        gamma: Colours follow (value / high) ** gamma.

    Returns:
        The same shape: indices into `color_table`.
    """
    unit: NDArray[np.float64] = (
        np.clip(np.nan_to_num(values) / (high if high > 0 else 1.0), 0.0, 1.0) ** gamma
    )
    steps: NDArray[np.uint8] = np.minimum(unit * 256, 255).astype(np.uint8)
    return steps
