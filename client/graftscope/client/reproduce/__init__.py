"""The paper's experiments (section 4): one name a figure, asked of a server, drawn and written.

    from pathlib import Path

    from graftscope.client import Client
    from graftscope.client.reproduce import EXPERIMENTS, Scale, Study, write_reproduction

    def answer(task):
        return client.wait(client.start(task).name)

    with Client() as client:
        study = Study(client, Scale(pairs=4), compute=answer, say=print)
        found = EXPERIMENTS["fig2b"](study)
        write_reproduction(found, {"pairs": study.scale.pairs}, Path())

It knows the client and the figures; it must not know the command line, gRPC or a server's inside.
"""

from graftscope.client.reproduce._claims import Claim, Picture, Reproduction, Verdict
from graftscope.client.reproduce._experiments import EXPERIMENTS
from graftscope.client.reproduce._real import RealImages
from graftscope.client.reproduce._study import GENERATORS, QUICK, Scale, Study
from graftscope.client.reproduce._write import write_page, write_reproduction

__all__ = [
    "EXPERIMENTS",
    "GENERATORS",
    "QUICK",
    "Claim",
    "Picture",
    "RealImages",
    "Reproduction",
    "Scale",
    "Study",
    "Verdict",
    "write_page",
    "write_reproduction",
]
