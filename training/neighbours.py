"""Sampled neighbourhoods: what a few nodes' embeddings need of a graph, at a cost of its own.

    level 0  ──block 1──►  level 1  ──block 2──►  …  ──block L──►  level L = the seeds

A level holds the seeds, of which the readout takes every layer, and the neighbours drawn for the
level above. Of a row with at most k entries all are taken. A longer one is cut into k equal pieces
and one entry is drawn in each (stratified sampling with Horvitz-Thompson weights): an entry is
expected k/degree times and its value scaled by degree/k, so that a block's product is an unbiased
estimate of the graph's and, each block being drawn anew, the blocks' product one of its power. The
time is that of the entries drawn, whatever the degrees. PyG's samplers need a compiled package
(pyg-lib) and have no such weights; this is a dozen tensor operations on the graph's device.

E stored entries of the graph, S seeds, M nodes of level 0, n rows and m columns of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from training.graph import Adjacency


class Block(NamedTuple):
    """A sparse matrix from a level, m rows, to the one above, n rows, in CSR."""

    crow_n1: Tensor
    col_e: Tensor
    value_e: Tensor
    columns: int

    def product(self, value_e: Tensor, hop_md: Tensor) -> Tensor:
        """Σ over a row's entries of value · hop[column], shape (n, d). Differentiable in `hop`."""
        found: Tensor = _Product.apply(self, value_e, hop_md)
        return found


class Neighbourhood(NamedTuple):
    """Seeds in ascending order, level 0 likewise, the blocks, and the seeds' places by level."""

    seeds_S: Tensor
    nodes_M: Tensor
    blocks: list[Block]
    places: list[Tensor]


@dataclass(frozen=True)
class Neighbours:
    """Draws neighbourhoods in a symmetric matrix. `fanouts`: entries of a row, seeds' first."""

    adjacency: Adjacency
    value_E: Tensor
    fanouts: Sequence[int]

    def around(self, seeds: Tensor) -> Neighbourhood:
        """The sampled neighbourhood of some nodes; doubles count once."""
        seeds_S = seeds.unique()
        levels, blocks = [seeds_S], []
        for fanout in self.fanouts:
            rows = levels[-1]
            entry_e, crow_n1, scale_e = self._drawn(rows, fanout)
            wanted = torch.cat([seeds_S, self.adjacency.col_E[entry_e]])
            level, place = wanted.unique(return_inverse=True)
            value_e = self.value_E[entry_e] * scale_e
            blocks.append(Block(crow_n1, place[len(seeds_S) :], value_e, len(level)))
            levels.append(level)
        levels.reverse()
        blocks.reverse()
        places = [torch.searchsorted(level, seeds_S) for level in levels]
        return Neighbourhood(seeds_S, levels[0], blocks, places)

    def _drawn(self, rows_n: Tensor, fanout: int) -> tuple[Tensor, Tensor, Tensor]:
        """Entries drawn for rows, where each row's begin, and what their values are scaled by."""
        start_n = self.adjacency.crow_N1[rows_n]
        degree_n = self.adjacency.crow_N1[rows_n + 1] - start_n
        count_n = degree_n.clamp(max=fanout)
        crow_n1 = torch.cat([count_n.new_zeros(1), count_n.cumsum(0)])
        row_e = torch.repeat_interleave(count_n)
        within_e = torch.arange(len(row_e), device=row_e.device) - crow_n1[row_e]
        degree_e = degree_n[row_e]
        luck_e = torch.rand(len(row_e), dtype=torch.double, device=row_e.device)
        drawn_e = ((within_e + luck_e) * (degree_e / fanout)).long().minimum(degree_e - 1)
        place_e = torch.where(degree_e > fanout, drawn_e, within_e)
        scale_e = (degree_e / fanout).clamp(min=1).to(self.value_E.dtype)
        return start_n[row_e] + place_e, crow_n1, scale_e


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, block: Block, value_e: Tensor, hop_md: Tensor) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(value_e)
        size = (len(block.crow_n1) - 1, block.columns)
        matrix = torch.sparse_csr_tensor(
            block.crow_n1, block.col_e, value_e, size, check_invariants=False
        )
        return matrix @ hop_md

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nd: Tensor) -> tuple[None, None, Tensor]:
        # The same three arrays, read as columns, are the transposed matrix.
        block, (value_e,) = ctx.block, ctx.saved_tensors
        size = (block.columns, len(block.crow_n1) - 1)
        transposed = torch.sparse_csc_tensor(
            block.crow_n1, block.col_e, value_e, size, check_invariants=False
        )
        return None, None, transposed @ grad_nd.contiguous()
