"""One propagation and three, forward and backward, on a data folder's training graph, five ways.

    python -m benchmarks.propagation --data DIR [--dim 32] [--repeats 20] [--device auto]

Equal for all: the graph, the float32 weights D^-1/2 A D^-1/2 made once before the clock, the node
table, the gradient that comes back, and the result, which is compared first. One row does more, as
PyG's own LightGCN does: `normalising` makes the weights anew in every layer. The ways take turns.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.nn import LGConv

from stores.arrays import load_arrays
from training.experiment import device_of
from training.graph import TrainGraph, propagate

Way = Callable[[Tensor], Tensor]
OURS = "ours: one CSR, mirrored"


def train_graph(data: Path, device: torch.device) -> TrainGraph:
    """The training graph of a data folder, on a device."""
    with tempfile.TemporaryDirectory() as home:
        arrays = load_arrays(data, Path(home), 0)
    pairs = torch.from_numpy(arrays.train)
    graph = TrainGraph.of(len(arrays.users), len(arrays.items), pairs[:, 0], pairs[:, 1])
    return graph.to(device)


def ways(graph: TrainGraph) -> dict[str, Way]:
    """One propagation, x -> Ã x, in each of the ways."""
    adjacency, weight_E, edges_2E = graph.adjacency, graph.weight_E, graph.edge_index
    size = (graph.nodes, graph.nodes)
    csr = torch.sparse_csr_tensor(
        adjacency.crow_N1, adjacency.col_E, weight_E, size, check_invariants=False
    )
    # The structure is symmetric, so either order of its two rows is the same matrix.
    coo = torch.sparse_coo_tensor(
        edges_2E.flip(0), weight_E, size, check_invariants=False
    ).coalesce()
    given, made = LGConv(normalize=False), LGConv(normalize=True)
    return {
        OURS: lambda x: propagate(adjacency, weight_E, x, weight_E),
        "plain torch, CSR": lambda x: csr @ x,
        "plain torch, COO": lambda x: torch.sparse.mm(coo, x),
        "PyG LGConv, CSR as adj_t": lambda x: given(x, csr),
        "PyG LGConv, edge_index": lambda x: given(x, edges_2E, weight_E),
        "PyG LGConv, normalising": lambda x: made(x, edges_2E),
    }


def layered(way: Way, layers: int) -> Way:
    """LightGCN's sum over layers 0 to `layers`, or a single propagation for 1."""

    def total(x: Tensor) -> Tensor:
        if layers == 1:
            return way(x)
        reached, read = x, x
        for _ in range(layers):
            reached = way(reached)
            read = read + reached
        return read

    return total


def passes(way: Way, nodes_ND: Tensor, grad_ND: Tensor) -> tuple[Tensor, Tensor, float]:
    """The result, the gradient, and the milliseconds of both passes."""
    nodes_ND = nodes_ND.clone().requires_grad_()
    settle(nodes_ND)
    started = time.perf_counter()
    found = way(nodes_ND)
    found.backward(grad_ND)
    settle(nodes_ND)
    seconds = time.perf_counter() - started
    assert nodes_ND.grad is not None
    return found.detach(), nodes_ND.grad, seconds * 1e3


def settle(tensor: Tensor) -> None:
    """Wait for what the device was given to do."""
    if tensor.is_cuda:
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    # PyTorch says of every CSR tensor that CSR is in beta.
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
    torch.manual_seed(0)
    graph = train_graph(given.data, device_of(given.device))
    device = graph.weight_E.device
    nodes_ND = torch.randn(graph.nodes, given.dim, device=device)
    grad_ND = torch.randn(graph.nodes, given.dim, device=device)
    print(
        f"{graph.nodes:,} nodes, {len(graph.weight_E):,} entries, width {given.dim}, {device},"
        f" {torch.get_num_threads()} threads; medians of {given.repeats}, forward and backward"
    )
    for layers in (1, 3):
        contest = {name: layered(way, layers) for name, way in ways(graph).items()}
        expected = passes(contest[OURS], nodes_ND, grad_ND)
        for way in contest.values():
            found = passes(way, nodes_ND, grad_ND)
            torch.testing.assert_close(found[:2], expected[:2], rtol=1e-4, atol=1e-5)
        times: dict[str, list[float]] = {name: [] for name in contest}
        for _ in range(given.repeats):
            for name, way in contest.items():
                times[name].append(passes(way, nodes_ND, grad_ND)[2])
        print(f"\n{f'layers: {layers}':<28} {'ms':>10} {'ours is faster by':>18}")
        ours = statistics.median(times[OURS])
        for name, some in times.items():
            took = statistics.median(some)
            print(f"{name:<28} {took:>10.3f} {took / ours:>17.2f}x")


if __name__ == "__main__":
    main()
