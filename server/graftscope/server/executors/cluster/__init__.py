"""Pieces of jobs on the machines of a Ray cluster.

    with open_cluster(Where(), Device.CPU, workers=2, sessions=24) as executor:
        ...

Actors compute, one a core or one a GPU; threads of the server wait for them. What an actor needs of
a model reaches its machine once, under the model's digest. An actor that is lost is started again,
and what it was asked for is asked of another meanwhile: a shard has the same sums wherever, and
however often, it is computed. Only here and below is Ray imported, and only where it was chosen.
"""

from graftscope.server.executors.cluster._starting import check_usable, open_cluster
from graftscope.server.executors.cluster._where import ALLOWED, PATTERN, Where, cluster_of

__all__ = ["ALLOWED", "PATTERN", "Where", "check_usable", "cluster_of", "open_cluster"]
