"""The loss terms as pure functions. B = anchors, K = candidates, D = width.

Sources: RLMRec (WWW 2024) eq. 11 for `info_nce`; its reference code for every normalisation, since
the paper prints no weight and no temperature.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits held at a time: what was quickest on CPUs, in float32 and in bfloat16, and what an
# accelerator needs to be busy.
CHUNK_CPU, CHUNK_CPU_HALF, CHUNK_DEVICE = 2**18, 2**22, 2**27
# Logits up to here may be summed as they are: a billion e^50 are a float, and so is e^-50.
FLAT = 50.0


def bpr(user_BD: Tensor, liked_BD: Tensor, other_BD: Tensor) -> Tensor:
    """Mean of -log σ(score of the liked item - score of the other item)."""
    return F.softplus((user_BD * other_BD).sum(-1) - (user_BD * liked_BD).sum(-1)).mean()


def unit(rows_BD: Tensor) -> Tensor:
    """Rows of length 1: x / √(1e-8 + ‖x‖²), so that a zero row stays zero."""
    return rows_BD * torch.rsqrt(1e-8 + rows_BD.square().sum(-1, keepdim=True))


def info_nce(
    anchor_BD: Tensor,
    positive_BD: Tensor,
    keys_KD: Tensor,
    temperature: float,
    times_B: Tensor | None = None,
    key_times_K: Tensor | None = None,
    half: bool = False,
) -> Tensor:
    """Σ over anchors of -cos(anchor, positive)/τ + log Σ over keys of exp(cos(anchor, key)/τ).

    A sum: callers divide. The positive is in the denominator as far as it is among the keys.
    `times_B` and `key_times_K` say how often an anchor or a key counts, so that a row that a batch
    holds five times is computed once. `half`: see `log_partition`.
    """
    anchor_BD, positive_BD, keys_KD = unit(anchor_BD), unit(positive_BD), unit(keys_KD)
    anchor_BD = anchor_BD / temperature
    agreement_B = (anchor_BD * positive_BD).sum(-1)
    if times_B is not None:
        agreement_B = agreement_B * times_B
    # No logit is larger than 1/τ: where exp can hold that, nothing has to be subtracted first.
    flat = temperature >= 1 / FLAT
    total = log_partition(anchor_BD, keys_KD, times_B, key_times_K, half, flat)
    return total - agreement_B.sum()


def log_partition(
    anchor_BD: Tensor,
    keys_KD: Tensor,
    times_B: Tensor | None = None,
    key_times_K: Tensor | None = None,
    half: bool = False,
    flat: bool = False,
) -> Tensor:
    """Σ over anchors of times · log Σ over keys of key times · exp(anchor · key), a scalar.

    The B × K logits are never held at once: each chunk's share of both gradients is made while the
    chunk is there, so they are computed once and in the cache. With `half` logits and products are
    in bfloat16, good to a hundredth; gradients add up in the inputs' own precision. `flat` promises
    that no logit is further than FLAT from 0, and spares the search for the largest.
    """
    total: Tensor = _LogPartition.apply(anchor_BD, keys_KD, times_B, key_times_K, half, flat)
    return total


def squared_norm(module: torch.nn.Module) -> Tensor:
    """Σ ‖W‖² over every parameter: no ½, not divided by the batch, as in the reference code."""
    return torch.stack([p.square().sum() for p in module.parameters()]).sum()


def counted(rows_B: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows, and how often each is there (as a float)."""
    rows, counts = rows_B.unique(return_counts=True)
    return rows, counts.to(torch.get_default_dtype())


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchor_BD: Tensor,
        keys_KD: Tensor,
        times_B: Tensor | None,
        key_times_K: Tensor | None,
        half: bool,
        flat: bool,
    ) -> Tensor:
        wants_anchor, wants_keys = ctx.needs_input_grad[:2]
        grad_anchor = torch.empty_like(anchor_BD) if wants_anchor else None
        grad_keys = torch.zeros_like(keys_KD) if wants_keys else None
        # Keys that count several times: in the sums, as their weight; in the gradient, likewise.
        scaled_KD = keys_KD if key_times_K is None else keys_KD * key_times_K.unsqueeze(-1)
        ones_K = torch.ones_like(keys_KD[:, 0]) if key_times_K is None else key_times_K
        total = anchor_BD.new_zeros(())
        kind = torch.bfloat16 if half else anchor_BD.dtype
        low_BD, low_KD, low_scaled_KD, low_ones_K = (
            rows.to(kind) for rows in (anchor_BD, keys_KD, scaled_KD, ones_K)
        )
        on_cpu = CHUNK_CPU_HALF if half else CHUNK_CPU
        cells = CHUNK_DEVICE if anchor_BD.is_cuda else on_cpu
        chunk = max(1, min(cells // len(keys_KD), len(anchor_BD)))
        # One buffer for all chunks: taking fresh memory costs as much as the product that fills it.
        buffer_cK = low_BD.new_empty(chunk, len(keys_KD))
        for start in range(0, len(anchor_BD), chunk):
            some = slice(start, start + chunk)
            low_bD = low_BD[some]
            logits_bK = torch.mm(low_bD, low_KD.T, out=buffer_cK[: len(low_bD)])
            top_b = logits_bK.new_zeros(()) if flat else logits_bK.amax(-1)
            if not flat:
                logits_bK.sub_(top_b.unsqueeze(-1))
            logits_bK.exp_()
            sum_b = (logits_bK @ low_ones_K).to(anchor_BD.dtype)
            times_b = torch.ones_like(sum_b) if times_B is None else times_B[some]
            total += ((sum_b.log() + top_b) * times_b).sum()
            share_b1 = (times_b / sum_b).unsqueeze(-1)
            if grad_anchor is not None:
                grad_anchor[some] = (logits_bK @ low_scaled_KD) * share_b1
            if grad_keys is not None:
                part_bD = anchor_BD[some] * share_b1
                if half:
                    grad_keys += logits_bK.T @ part_bD.to(kind)
                else:
                    grad_keys.addmm_(logits_bK.T, part_bD)
        if grad_keys is not None and key_times_K is not None:
            grad_keys *= key_times_K.unsqueeze(-1)
        ctx.save_for_backward(grad_anchor, grad_keys)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        anchor, keys = ctx.saved_tensors
        return (
            None if anchor is None else anchor * grad,
            None if keys is None else keys * grad,
            None,
            None,
            None,
            None,
        )
