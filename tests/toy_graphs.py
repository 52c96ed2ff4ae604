"""User-item graphs small enough to be written as dense matrices, and batches with repeated rows."""

import torch

from training.graph import TrainGraph
from training.sampling import Batch


def toy(users=7, items=6, cold_users=0, cold_items=0, density=0.4, seed=0):
    """A random graph. Its last `cold_users` users and `cold_items` items are those without edge."""
    random = torch.Generator().manual_seed(seed)
    warm_users, warm_items = users - cold_users, items - cold_items
    taken = torch.rand(warm_users, warm_items, generator=random) < density
    for node in range(max(warm_users, warm_items)):
        taken[node % warm_users, node % warm_items] = True
    user_P, item_P = taken.nonzero().unbind(1)
    order = torch.randperm(len(user_P), generator=random)
    return TrainGraph.of(users, items, user_P[order], item_P[order])


def checkerboard(users=12, items=16, colours=2):
    """Each user takes every item of their own colour and no other."""
    board = torch.arange(users).unsqueeze(1) % colours == torch.arange(items) % colours
    return TrainGraph.of(users, items, *board.nonzero().unbind(1))


def ring(users=20, items=20, each=3):
    """User n takes items n, n + 1, … around a ring: sparse, connected, and no two users alike."""
    pairs = [(u, (u + k) % items) for u in range(users) for k in range(each)]
    return TrainGraph.of(users, items, *torch.tensor(pairs).unbind(1))


def pairs_of(graph):
    """The training pairs as a list of (user, item), both from 0."""
    return list(zip(graph.user_P.tolist(), graph.item_P.tolist(), strict=True))


def batch_of(graph, size=16, seed=1):
    """Triples drawn with replacement, so that users, liked and other items repeat."""
    random = torch.Generator().manual_seed(seed)
    pairs = pairs_of(graph)
    rows = []
    for place in torch.randint(len(pairs), (size,), generator=random).tolist():
        user, liked = pairs[place]
        free = [item for item in range(graph.items) if (user, item) not in set(pairs)]
        other = free[int(torch.randint(len(free), (1,), generator=random))]
        rows.append((user, graph.users + liked, graph.users + other))
    return Batch(*torch.tensor(rows).unbind(1))
