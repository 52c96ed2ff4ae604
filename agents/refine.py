"""D¹ … Dᴸ, the refinement (GaCLLM): each node listens once per hop to its one-hop neighbours.

Both sides read layer l-1 and write layer l; a layer is never changed once it is written. With
`append` (the default, as the source article has it) D^l is D^(l-1) and a new paragraph; with
`replace` the reply takes its place.
"""

from agents.ask import Question, question
from agents.job import Job
from agents.wave import Stage
from graph_ops.evidence import refine_evidence
from graph_ops.graph import kind_of
from prompts.library import load
from stores.vectors import PARAGRAPH


def refinement(job: Job, hop: int) -> Stage:
    """The stage that writes layer `hop` of users and items from layer `hop - 1`."""
    below = job.texts(hop - 1)
    prompts = {"user": load("refine_user"), "item": load("refine_item")}
    name = f"hop {hop}"

    def ask(node: str) -> Question | None:
        evidence = refine_evidence(
            job.graph,
            node,
            hop,
            below,
            job.sampling,
            job.evidence_tokens,
            replaces=job.mode == "replace",
        )
        if not evidence:
            return None
        prompt = prompts[kind_of(node)]
        inputs = {
            "domain": job.domain,
            "language": job.language,
            # What takes the place of a text needs room for it as well.
            "max_words": prompt.header.max_words * (2 if job.mode == "replace" else 1),
            "mode": job.mode,
            "evidence": evidence,
        }
        return question(job.desk, prompt, inputs, node, hop, name)

    def compose(node: str, said: str | None) -> str:
        own = below.get(node, "")
        if said is None or job.mode == "replace":
            return said or own
        return f"{own}{PARAGRAPH}{said}" if own else said

    return Stage(name, hop, ask, compose, job.settle)
