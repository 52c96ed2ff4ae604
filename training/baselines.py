"""What a trained recommender has to beat: popularity, EASE and text alone."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, sparse
from torch import Tensor

from errors import TrainingError
from training.graph import TrainGraph
from training.losses import unit
from training.metrics import Score


def popularity(graph: TrainGraph) -> Score:
    """Every user's score for an item is how many trained on it."""
    count_I = torch.bincount(graph.item_P, minlength=graph.items).float()
    return lambda users_b: count_I.repeat(len(users_b), 1)


def ease(graph: TrainGraph, penalty: float) -> Score:
    """EASE (Steck, 2019), in closed form: B = -P / diag(P), P = (RᵀR + λI)⁻¹, zero diagonal.

    Memory and time are those of one dense items × items inverse, on the CPU. Raises TrainingError
    where there is no inverse: λ = 0 and an item that nobody took, or two that the same users took.
    """
    rated = interactions(graph)
    gram: NDArray[np.float64] = (rated.T @ rated).toarray().astype(np.float64)
    gram[np.diag_indices(graph.items)] += penalty
    factor, failed = linalg.lapack.dpotrf(gram, lower=True, overwrite_a=True)
    if failed:
        raise TrainingError(
            f"EASE with a penalty of {penalty:g} has no inverse for these interactions.",
            hint="Give a --penalty above 0.",
        )
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0)

    def score(users_b: Tensor) -> Tensor:
        return torch.from_numpy(rated[users_b.cpu().numpy()] @ weights).to(users_b.device)

    return score


def text_only(graph: TrainGraph, text_NT: Tensor) -> Score:
    """Cosine of the user's and the item's text."""
    text_NT = unit(text_NT)
    return lambda users_b: text_NT[users_b] @ text_NT[graph.users :].T


def interactions(graph: TrainGraph) -> "sparse.csr_matrix":
    """R, users × items, 1 where a user trained on an item."""
    pairs = graph.user_P.cpu().numpy(), graph.item_P.cpu().numpy()
    ones = np.ones(len(pairs[0]), dtype=np.float32)
    return sparse.csr_matrix((ones, pairs), shape=(graph.users, graph.items))
