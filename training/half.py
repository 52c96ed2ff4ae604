"""Whether `--half` pays on this CPU, found out by trying.

With instructions for bfloat16 the products of a contrast take half the time of float32; without
them they are computed in software and take many times as long.
"""

import time

import torch

from errors import TrainingError


def must_pay(device: torch.device) -> None:
    """Raises TrainingError on a CPU where products in bfloat16 are much slower than in float32."""
    ratio = slowness() if device.type == "cpu" else 0.0
    if ratio > 2:
        raise TrainingError(
            f"--half: this CPU computes bfloat16 in software: a product took {ratio:.0f} times as "
            "long as in float32.",
            hint="Leave --half out.",
        )


def slowness() -> float:
    """Time of a small product in bfloat16 over its time in float32 on this CPU, best of five."""
    return _seconds(torch.bfloat16) / _seconds(torch.float32)


def _seconds(kind: torch.dtype) -> float:
    anchor_BD, keys_KD = torch.ones(256, 32, dtype=kind), torch.ones(4096, 32, dtype=kind)

    def once() -> float:
        begun = time.perf_counter()
        torch.mm(anchor_BD, keys_KD.T)
        return time.perf_counter() - begun

    return min(once() for _ in range(5))
