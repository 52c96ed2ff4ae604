"""D¹ … Dᴸ, the refinement (GaCLLM): each node listens once per hop to its one-hop neighbours.

Both sides read layer l-1 and write layer l; a layer is never changed once it is written. With
`append` (the default, as the source article has it) D^l is D^(l-1) and a new paragraph; with
`replace` the reply takes its place.
"""

from agents.job import Job
from agents.manner import Topic, topic
from agents.wave import Stage
from stores.vectors import PARAGRAPH


def refinement(job: Job, hop: int) -> Stage:
    """The stage that writes layer `hop` of users and items from layer `hop - 1`."""
    below = job.texts(hop - 1)
    name = f"hop {hop}"

    def about(node: str) -> Topic | None:
        return topic(job.manner, job.graph, node, hop, name, below)

    def compose(node: str, said: str | None) -> str:
        own = below.get(node, "")
        if said is None or job.manner.mode == "replace":
            return said or own
        return f"{own}{PARAGRAPH}{said}" if own else said

    return Stage(name, hop, about, compose, job.settle)
