"""D⁰, the profiles (RLMRec §3.2): items first, then users, who are shown their items' profiles."""

from collections.abc import Mapping

from agents.job import Job
from agents.manner import Topic, topic
from agents.wave import Stage


def item_profiles(job: Job) -> Stage:
    """From title and description, or else title, attributes and sampled reviews (eq. 13)."""
    return _stage(job, "item profiles", {})


def user_profiles(job: Job) -> Stage:
    """From a sample of the user's items, their profiles and the user's reviews (eq. 14)."""
    return _stage(job, "user profiles", job.texts(0))


def _stage(job: Job, name: str, below: Mapping[str, str]) -> Stage:
    def about(node: str) -> Topic | None:
        return topic(job.manner, job.graph, node, 0, name, below)

    return Stage(name, 0, about, lambda node, said: said or "", job.settle)
