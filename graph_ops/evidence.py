"""What a question about a node may show: its own text and its sampled one-hop neighbourhood.

Each function turns a neighbourhood into plain values for a prompt, within a token budget. The
graph holds training interactions only, so nothing held out can get in here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from graph_ops.budget import fit, shorten
from graph_ops.neighbourhood import Sampling, chance, neighbours

# A person's name says nothing about taste, and it is not ours to send to a model.
PRIVATE = re.compile(r"name|mail|phone|address|birth", re.IGNORECASE)
# Ids and links say nothing either; an average or a count was made over held-out interactions too.
TELLS_NOTHING = re.compile(
    r"(?:^|_)(?:[ui]?id|asin|isbn|url|link|image|img)s?(?:_|$)|(?:^|_)(?:sales_?)?rank(?:_|$)"
    r"|^(?:ratings?|stars|score)$|(?:average|avg|mean|num|number|count|n)_?(?:of_)?(?:rating|review)"
    r"|(?:rating|review)s?_?(?:number|count|average|mean|avg)",
    re.IGNORECASE,
)
# Titles and attributes are short by nature; where they are not, they must not fill the prompt.
MOST_ATTRIBUTES = 12
LABEL_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one user wrote about one item."""

    text: str
    rating: float | None


@dataclass(frozen=True, slots=True)
class ItemEvidence:
    """For an item profile (RLMRec eq. 13): a description, or else attributes and reviews."""

    title: str | None
    description: str | None
    attributes: dict[str, str]
    reviews: tuple[Opinion, ...]

    def __bool__(self) -> bool:
        return bool(self.title or self.description or self.attributes or self.reviews)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One item of a user's history: its title, its profile, and the user's own words."""

    title: str | None
    profile: str
    review: str
    rating: float | None


@dataclass(frozen=True, slots=True)
class UserEvidence:
    """For a user profile (RLMRec eq. 14): a sample of the user's training items."""

    attributes: dict[str, str]
    chosen: tuple[Chosen, ...]

    def __bool__(self) -> bool:
        return bool(self.attributes or self.chosen)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One neighbour as the layer below describes it; users have no title."""

    node: str
    title: str | None
    text: str


@dataclass(frozen=True, slots=True)
class RefineEvidence:
    """For one hop of refinement (GaCLLM): the node's own text and its neighbours' texts.

    `replaces` says whether the answer takes the place of the own text or is put behind it.
    """

    title: str | None
    own: str
    neighbours: tuple[Neighbour, ...]
    replaces: bool = False

    def __bool__(self) -> bool:
        return bool(self.neighbours)


def item_evidence(graph: nx.Graph, item: str, sampling: Sampling, budget: int) -> ItemEvidence:
    """Title and description where there is one; else title, attributes and sampled reviews."""
    data = graph.nodes[item]
    if data["description"]:
        (description,) = fit([data["description"]], budget)
        return ItemEvidence(_title(graph, item), description, _attributes(data["attributes"]), ())
    written = [user for user in graph.adj[item] if graph.edges[item, user]["review"]]
    written.sort(key=lambda user: (chance(sampling.seed, "reviews", item, user), user))
    edges = [graph.edges[item, user] for user in written[: sampling.k]]
    texts = fit([edge["review"] for edge in edges], budget)
    reviews = tuple(Opinion(text, edge["rating"]) for text, edge in zip(texts, edges, strict=True))
    return ItemEvidence(_title(graph, item), None, _attributes(data["attributes"]), reviews)


def user_evidence(
    graph: nx.Graph, user: str, profiles: Mapping[str, str], sampling: Sampling, budget: int
) -> UserEvidence:
    """A sample of the user's items with title, item profile and the user's own review.

    `profiles` maps an item node to its D⁰; an item without one is shown by title and review.
    """
    drawn = neighbours(graph, user, 0, sampling)
    edges = [graph.edges[user, item] for item in drawn]
    profile_texts = fit([profiles.get(item, "") for item in drawn], budget // 2)
    review_texts = fit([edge["review"] or "" for edge in edges], budget // 2)
    chosen = tuple(
        Chosen(_title(graph, item), profile, review, edge["rating"])
        for item, edge, profile, review in zip(
            drawn, edges, profile_texts, review_texts, strict=True
        )
    )
    known = graph.nodes[user]["attributes"]
    shown = {key: value for key, value in known.items() if not PRIVATE.search(key)}
    return UserEvidence(_attributes(shown), chosen)


def refine_evidence(
    graph: nx.Graph,
    node: str,
    hop: int,
    below: Mapping[str, str],
    sampling: Sampling,
    budget: int,
    replaces: bool = False,
) -> RefineEvidence:
    """The node's own text and its sampled neighbours' texts, all of the layer below `hop`.

    `below` maps a node to its description at hop - 1; neighbours that have none are left out.
    A third of the budget is kept for the node's own text.
    """
    drawn = [n for n in neighbours(graph, node, hop, sampling) if below.get(n)]
    (own,) = fit([below.get(node, "")], budget // 3)
    texts = fit([below[n] for n in drawn], budget - budget // 3)
    told = tuple(Neighbour(n, _title(graph, n), text) for n, text in zip(drawn, texts, strict=True))
    return RefineEvidence(_title(graph, node), own, told, replaces)


def _title(graph: nx.Graph, node: str) -> str | None:
    title = graph.nodes[node].get("title")
    return shorten(title, LABEL_TOKENS) if title else None


def _attributes(known: Mapping[str, str]) -> dict[str, str]:
    told = [(k, v) for k, v in known.items() if not TELLS_NOTHING.search(k)]
    return {key: shorten(value, LABEL_TOKENS) for key, value in told[:MOST_ATTRIBUTES]}
