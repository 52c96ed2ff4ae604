"""The formulas of docs/methods.md, written slowly: loops over rows, dense matrices, no shortcut.

What training/ computes fast is held against these. Nothing here is imported from there.
"""

import torch


def length(row):
    """√(1e-8 + ‖x‖²), by which the reference code divides."""
    return (1e-8 + (row * row).sum()).sqrt()


def cosine(one, other):
    return (one @ other) / (length(one) * length(other))


def bpr(users, liked, others):
    """The mean over the batch of -log σ(score of the liked item - score of the other)."""
    rows = zip(users, liked, others, strict=True)
    each = [-torch.sigmoid(u @ p - u @ n).log() for u, p, n in rows]
    return torch.stack(each).mean()


def info_nce(anchors, positives, keys, temperature):
    """Σ over anchors of -cos(anchor, positive)/τ + log Σ over keys of exp(cos(anchor, key)/τ)."""
    total = torch.zeros(())
    for anchor, positive in zip(anchors, positives, strict=True):
        logits = torch.stack([cosine(anchor, key) / temperature for key in keys])
        total = total + torch.logsumexp(logits, 0) - cosine(anchor, positive) / temperature
    return total


def mean_log_partition(anchors, keys):
    """The mean over anchors of log Σ over keys of exp(anchor · key)."""
    each = [torch.logsumexp(torch.stack([anchor @ key for key in keys]), 0) for anchor in anchors]
    return torch.stack(each).mean()


def adjacency(users, items, pairs, loops=False):
    """A, dense, without weights."""
    dense = torch.zeros(users + items, users + items)
    for user, item in pairs:
        dense[user, users + item] = dense[users + item, user] = 1
    return dense + torch.eye(users + items) if loops else dense


def normalised(dense):
    """D^-1/2 A D^-1/2, entry by entry."""
    degree = (dense != 0).sum(1)
    found = torch.zeros_like(dense)
    for row, col in dense.nonzero().tolist():
        found[row, col] = dense[row, col] / (degree[row] * degree[col]) ** 0.5
    return found


def walk(matrix, ego, layers, tap):
    """What the readout takes of layers 0 to L, each the matrix times what the tap passed on."""
    hop, read = tap(0, ego)
    reads = [read]
    for layer in range(1, layers + 1):
        hop, read = tap(layer, matrix @ hop)
        reads.append(read)
    return reads


def mlp(bridge, rows):
    """Linear, LeakyReLU(0.01), Linear, from the parameters of a projection."""
    first, _, last = bridge
    hidden = rows @ first.weight.T + first.bias
    hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
    return hidden @ last.weight.T + last.bias


def weighed(found, seed=9):
    """A scalar of everything found, whose gradient tells every entry from every other."""
    random = torch.Generator().manual_seed(seed)
    return (found * torch.randn(found.shape, generator=random)).sum()


def agree(ours, slow, inputs):
    """Both scalars are equal, and so are their gradients in every one of the inputs."""
    torch.testing.assert_close(ours, slow)
    inputs = list(inputs)
    pairs = zip(gradients(ours, inputs), gradients(slow, inputs), strict=True)
    for number, (mine, theirs) in enumerate(pairs):
        torch.testing.assert_close(
            mine, theirs, msg=lambda told, n=number: f"gradient of input {n}: {told}"
        )


def gradients(loss, inputs):
    """Zero, not None, where the loss does not depend on an input."""
    if not loss.requires_grad:
        return [torch.zeros_like(one) for one in inputs]
    found = torch.autograd.grad(loss, inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(i) if g is None else g for g, i in zip(found, inputs, strict=True)]
