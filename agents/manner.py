"""How a run asks: sampling, words, budget and prompts. From these, what is asked about a node.

Profiles are RLMRec's D⁰: an item from title and description, or else title, attributes and reviews
(eq. 13); a user from a sample of items with their profiles and the user's reviews (eq. 14).
Refinement is GaCLLM's: a node and its sampled neighbours, as layer l-1 describes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import networkx as nx

from graph_ops.graph import kind_of
from graph_ops.neighbourhood import Sampling
from graph_ops.seen import evidence
from prompts.library import Domain, Message, Prompt

Mode = Literal["append", "replace"]


@dataclass(frozen=True)
class Manner:
    """What shapes every question of a run. `prompts` are the templates in force, by name."""

    sampling: Sampling
    domain: Domain
    language: str
    mode: Mode
    evidence_tokens: int
    prompts: Mapping[str, Prompt]

    def prompt(self, node: str, hop: int) -> Prompt:
        """The template for a node at a hop."""
        return self.prompts[prompt_name(node, hop)]


@dataclass(frozen=True, slots=True)
class Topic:
    """What a question will be about, before it is put into words. `inputs` are the prompt's."""

    node: str
    hop: int
    stage: str
    prompt: Prompt
    inputs: Mapping[str, Any]


def messages(prompt: Prompt, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
    """What is said to the model. A prompt may need fewer inputs than there are."""
    return prompt.render({n: inputs[n] for n in prompt.header.inputs if n in inputs})


def topic(
    how: Manner, graph: nx.Graph, node: str, hop: int, stage: str, below: Mapping[str, str]
) -> Topic | None:
    """What is asked about a node at a hop, or None; `below` as for `inputs`."""
    given = inputs(how, graph, node, hop, below)
    return None if given is None else Topic(node, hop, stage, how.prompt(node, hop), given)


def prompt_name(node: str, hop: int) -> str:
    """Which prompt asks about a node at a hop."""
    return f"refine_{kind_of(node)}" if hop else f"{kind_of(node)}_profile"


def inputs(
    how: Manner, graph: nx.Graph, node: str, hop: int, below: Mapping[str, str]
) -> dict[str, Any] | None:
    """What the prompt is given, or None when there is nothing to ask about.

    `below` are the descriptions that the question may show: item profiles for hop 0, else layer
    `hop - 1`.
    """
    replaces = how.mode == "replace"
    shown = evidence(graph, node, hop, below, how.sampling, how.evidence_tokens, replaces)
    if not shown:
        return None
    given: dict[str, Any] = {
        "domain": how.domain,
        "language": how.language,
        "max_words": how.prompt(node, hop).header.max_words,
        "evidence": shown,
    }
    if hop:
        given["mode"] = how.mode
        # What takes the place of a text needs room for it as well.
        given["max_words"] *= 2 if replaces else 1
    return given
