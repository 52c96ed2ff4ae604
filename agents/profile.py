"""D⁰, the profiles (RLMRec §3.2): items first, then users, who are shown their items' profiles."""

from collections.abc import Callable
from typing import Any

from agents.ask import question
from agents.job import Job
from agents.wave import Stage
from graph_ops.evidence import item_evidence, user_evidence
from graph_ops.graph import kind_of
from prompts.library import load


def item_profiles(job: Job) -> Stage:
    """From title and description, or else title, attributes and sampled reviews (eq. 13)."""
    return _stage(
        job,
        "item profiles",
        "item_profile",
        lambda node: item_evidence(job.graph, node, job.sampling, job.evidence_tokens),
    )


def user_profiles(job: Job) -> Stage:
    """From a sample of the user's items, their profiles and the user's reviews (eq. 14)."""
    profiles = {node: text for node, text in job.texts(0).items() if kind_of(node) == "item"}
    return _stage(
        job,
        "user profiles",
        "user_profile",
        lambda node: user_evidence(job.graph, node, profiles, job.sampling, job.evidence_tokens),
    )


def _stage(job: Job, name: str, prompt_name: str, evidence_of: Callable[[str], Any]) -> Stage:
    prompt = load(prompt_name)

    def ask(node: str) -> Any:
        evidence = evidence_of(node)
        if not evidence:
            return None
        inputs = {
            "domain": job.domain,
            "language": job.language,
            "max_words": prompt.header.max_words,
            "evidence": evidence,
        }
        return question(job.desk, prompt, inputs, node, 0, name)

    return Stage(name, 0, ask, lambda node, said: said or "", job.settle)
