"""D⁰, the profiles (RLMRec §3.2): items first, then users, who are shown their items' profiles."""

from collections.abc import Mapping

from agents.ask import Question, question
from agents.job import Job
from agents.manner import inputs
from agents.wave import Stage


def item_profiles(job: Job) -> Stage:
    """From title and description, or else title, attributes and sampled reviews (eq. 13)."""
    return _stage(job, "item profiles", {})


def user_profiles(job: Job) -> Stage:
    """From a sample of the user's items, their profiles and the user's reviews (eq. 14)."""
    return _stage(job, "user profiles", job.texts(0))


def _stage(job: Job, name: str, below: Mapping[str, str]) -> Stage:
    def ask(node: str) -> Question | None:
        given = inputs(job.manner, job.graph, node, 0, below)
        if given is None:
            return None
        return question(job.desk, job.manner.prompt(node, 0), given, node, 0, name)

    return Stage(name, 0, ask, lambda node, said: said or "", job.settle)
