"""The paper's experiments (section 4): one name a figure, asked of a server, drawn and written.

    from pathlib import Path

    from graftscope.client import Client
    from graftscope.client.reproduce import EXPERIMENTS, Effort, Study, write_reproduction

    def answer(task):
        return client.wait(client.start(task).name)

    with Client() as client:
        study = Study(client, Effort(pairs=4), compute=answer, say=print)
        found = EXPERIMENTS["fig2b"](study)
        write_reproduction(found, {"pairs": study.effort.pairs}, Path())

It knows the client and the figures; it must not know the command line, gRPC or a server's inside.
"""

from collections.abc import Callable, Mapping

from graftscope.client.reproduce._fig2b import fig2b
from graftscope.client.reproduce._fig3 import fig3
from graftscope.client.reproduce._fig5 import fig5
from graftscope.client.reproduce._fig6 import fig6
from graftscope.client.reproduce._fig7 import fig7
from graftscope.client.reproduce._fig8 import fig8
from graftscope.client.reproduce._originals import compare_originals
from graftscope.client.reproduce._real import RealImages
from graftscope.client.reproduce._reproduction import (
    Claim,
    Picture,
    Reproduction,
    Verdict,
    write_page,
    write_reproduction,
)
from graftscope.client.reproduce._sensitivity import compare_settings
from graftscope.client.reproduce._study import GENERATORS, QUICK, Effort, Study
from graftscope.client.reproduce._table1 import compare_table1
from graftscope.client.reproduce._worth import measure_worth

__all__ = [
    "EXPERIMENTS",
    "GENERATORS",
    "QUICK",
    "Claim",
    "Effort",
    "Picture",
    "RealImages",
    "Reproduction",
    "Study",
    "Verdict",
    "write_page",
    "write_reproduction",
]

EXPERIMENTS: Mapping[str, Callable[[Study], Reproduction]] = {
    "table1": compare_table1,
    "fig2b": fig2b,
    "fig3": fig3,
    "fig5": fig5,
    "fig6": fig6,
    "fig7": fig7,
    "fig8": fig8,
    "originals": compare_originals,
    "sensitivity": compare_settings,
    "worth": measure_worth,
}
"""Each experiment by its name; `graftscope reproduce all` runs all but `worth`, in this order."""
