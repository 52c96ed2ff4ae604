"""The processes of one training, as torchrun starts them; a process alone is a group of one.

Rank 0 reads and writes files, prints and holds the workspace. What the others need they get from
it (`shared`). Gradients are averaged here rather than by DistributedDataParallel: that hooks a
`forward`, where ours is a dict of loss terms, and keeps sparse gradients of a table dense on NCCL.

gloo carries what is on the CPU, NCCL what is on GPUs, one GPU a process. A process that ends, or is
silent for `PATIENCE`, ends the others with a TrainingError; torchrun stops them at once.
"""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from errors import TrainingError

PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Group:
    """This process's number among `size`, and its number on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def shared(self, value: Any) -> Any:
        """Rank 0's value on every rank: tensors and plain values. Others may give anything."""
        if self.size == 1:
            return value
        file = io.BytesIO()
        if self.rank == 0:
            torch.save(value, file)
        data = torch.frombuffer(bytearray(file.getvalue() or b"\0"), dtype=torch.uint8)
        count = torch.tensor(len(data))
        with _told():
            dist.broadcast(count, 0)
            if self.rank:
                data = torch.empty(int(count), dtype=torch.uint8)
            dist.broadcast(data, 0)
        return torch.load(io.BytesIO(data.numpy().tobytes()), weights_only=True)

    def same(self, tensor: Tensor) -> Tensor:
        """Rank 0's tensor, of a shape that all know, in place."""
        if self.size > 1:
            with _told():
                dist.broadcast(tensor, 0)
        return tensor

    def means(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each number over the ranks, the same on all of them."""
        if self.size == 1:
            return values
        total = torch.tensor(list(values.values()), dtype=torch.double)
        with _told():
            dist.all_reduce(total)
        return dict(zip(values, (total / self.size).tolist(), strict=True))

    def each(self, tensor: Tensor) -> list[Tensor]:
        """Every rank's tensor of this shape, by rank."""
        if self.size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with _told():
            dist.all_gather(found, tensor)
        return found

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Every gradient becomes the mean of the ranks'."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse:
                parameter.grad = self._mean_of_rows(parameter.grad)
                continue
            with _told():
                dist.all_reduce(parameter.grad)
            parameter.grad /= self.size

    def _mean_of_rows(self, grad: Tensor) -> Tensor:
        """The same for a gradient of some rows; the ranks' rows differ in number."""
        grad = grad.coalesce()
        rows, values = grad.indices()[0], grad.values() / self.size
        counts = [int(one) for one in self.each(torch.tensor(len(rows), device=rows.device))]
        spare = max(counts) - len(rows)
        all_rows = self.each(torch.nn.functional.pad(rows, (0, spare)))
        all_values = self.each(torch.nn.functional.pad(values, (0, 0, 0, spare)))
        kept_rows = [one[:n] for one, n in zip(all_rows, counts, strict=True)]
        kept_values = [one[:n] for one, n in zip(all_values, counts, strict=True)]
        indices, values = torch.cat(kept_rows).unsqueeze(0), torch.cat(kept_values)
        return torch.sparse_coo_tensor(indices, values, grad.shape, check_invariants=False)


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The group that torchrun's environment describes; a process alone where there is none.

    Raises TrainingError where the others cannot be reached.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not all(name in os.environ for name in names) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    group = Group(*(int(os.environ[name]) for name in names))
    if torch.cuda.is_available():
        torch.cuda.set_device(group.local_rank % torch.cuda.device_count())
    with _told():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield group
    finally:
        dist.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"Rank {os.environ.get('RANK')} lost the other processes of this training: "
            f"{str(error).splitlines()[0]}",
            hint="See the messages of the other ranks; then give the same command again: "
            "it goes on from the last validation.",
        ) from error
