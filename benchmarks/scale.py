"""What 10 million users, 10 million items and a billion interactions would take: docs/scale.md.

    python -m benchmarks.scale [--users 10000000] [--items 10000000] [--interactions 1000000000]

Nothing is run: unit costs that were measured on small data are multiplied. Every number is in one
of three places below: `Measured` (each with the command that gives it), `Assumed` (prices and other
people's hardware) and `PLANS` (what one might do). Whoever measures anew edits these and puts what
this prints into docs/scale.md; a test compares the two.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

GIB, TIB = 2**30, 2**40
HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class Measured:
    """Unit costs. Sizes in bytes, times in seconds."""

    # refine --dry-run --hops 2 --data amazon_instruments: tokens (in, out) of a call, by stage.
    item_profile: tuple[float, float] = (798_527 / 900, 195_615 / 900)
    user_profile: tuple[float, float] = (2_163_499 / 1_429, 189_057 / 1_429)
    hop_1: tuple[float, float] = (2_710_513 / 2_329, 288_319 / 2_329)
    hop_2: tuple[float, float] = (3_649_399 / 2_329, 288_319 / 2_329)
    # benchmarks.throughput: calls a second that one process keeps up, checks and ledger included.
    calls_per_second: float = 305
    # refine --hops 2 --data amazon_instruments: bytes of the file by calls, texts and rows.
    ledger_per_call: float = 5_530
    cached_vector: float = 2_140
    chroma_disk_per_row: float = 7_650
    # 30,000 rows of 384 numbers in a folder: growth of resident memory by row.
    chroma_memory_per_row: float = 2_800
    # benchmarks.growth_refine --hops 1 --per-user 100, from 300,000 to 1,000,000: growth
    # of the peak by interaction, and the graph by edge, its review included.
    refine_memory_per_interaction: float = 758
    graph_memory_per_edge: float = 520
    # benchmarks.growth at 3 and 10 million: memory by interaction, and a step over the whole graph.
    training_memory_per_interaction: float = (2.52 - 1.51) * GIB / 7e6
    training_step: float = 1.786 / 10e6
    # minilm, 60 words a piece, two cores.
    pieces_per_second: float = 113


@dataclass(frozen=True)
class Assumed:
    """What nobody measured here."""

    # gpt-4o-mini's list price in genai-prices, dollars for a million tokens; half in a batch.
    input_price: float = 0.15
    output_price: float = 0.60
    batch_discount: float = 0.5
    # An account's limits: of the order that large customers get.
    calls_per_minute: float = 30_000
    tokens_per_minute: float = 150e6
    # A model of 8 billion parameters on one data-centre GPU, by the reports of serving engines.
    gpu_input_per_second: float = 20_000
    gpu_output_per_second: float = 2_500
    gpu_hour: float = 2.50
    # The same sentence encoder on such a GPU.
    gpu_pieces_per_second: float = 5_000
    # A step walks through memory: bandwidth of such a GPU by that of the two measured cores.
    gpu_step_speedup: float = 60
    # A part of the interactions is held out.
    trained: float = 0.6
    batch: int = 1_000_000
    epochs: int = 30
    machine: float = 24 * GIB
    dim: int = 384


@dataclass(frozen=True)
class World:
    """How large the data is."""

    users: float
    items: float
    interactions: float


@dataclass(frozen=True)
class Plan:
    """What is described: hops of refinement, and the shares of users and items, busiest first."""

    name: str
    hops: int
    users: float = 1.0
    items: float = 1.0


PLANS = (
    Plan("everything, 2 hops", 2),
    Plan("everything, 1 hop", 1),
    Plan("profiles only", 0),
    Plan("item profiles only", 0, users=0.0),
    Plan("busiest tenth, 2 hops", 2, 0.1, 0.1),
    Plan("busiest hundredth, 2 hops", 2, 0.01, 0.01),
)
ACTIVITY, POPULARITY = 0.5, 0.8
"""Exponents of the power laws (as in benchmarks.growth): the n-th of N has a share like n^-this."""


@dataclass(frozen=True)
class Bill:
    """What a plan takes; `nodes` are described at each hop."""

    nodes: float
    calls: float
    tokens: tuple[float, float]


def bill(plan: Plan, world: World, unit: Measured) -> Bill:
    """Calls and tokens: a call for each node at each hop. Hops above 2 are as long as hop 2."""
    users, items = plan.users * world.users, plan.items * world.items
    nodes = users + items
    asked = [(items, unit.item_profile), (users, unit.user_profile)]
    asked += [(nodes, unit.hop_1 if hop == 1 else unit.hop_2) for hop in range(1, plan.hops + 1)]
    read, written = (sum(n * cost[way] for n, cost in asked) for way in (0, 1))
    return Bill(nodes, sum(n for n, _ in asked), (read, written))


def covered(plan: Plan) -> tuple[float, float]:
    """The shares of interactions whose user, and whose item, is described, by the power laws."""
    return plan.users ** (1 - ACTIVITY), plan.items ** (1 - POPULARITY)


def table(head: str, rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    names = head.split("|")
    lines = [f"| {' | '.join(names)} |", f"| --- |{' ---: |' * (len(names) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def costs(world: World, unit: Measured, guess: Assumed) -> Iterator[tuple[str, ...]]:
    for plan in PLANS:
        found = bill(plan, world, unit)
        read, written = found.tokens
        dollars = (read * guess.input_price + written * guess.output_price) / 1e6
        gpu = read / guess.gpu_input_per_second + written / guess.gpu_output_per_second
        minutes = max(
            found.calls / guess.calls_per_minute, sum(found.tokens) / guess.tokens_per_minute
        )
        users, items = covered(plan)
        yield (
            plan.name,
            f"{users:.0%} / {items:.0%}",
            f"{found.calls / 1e6:.1f} M",
            f"{read / 1e9:.1f} G",
            f"{written / 1e9:.2f} G",
            f"${dollars:,.0f}",
            f"${dollars * guess.batch_discount:,.0f}",
            f"{gpu / HOUR:,.0f} (${gpu / HOUR * guess.gpu_hour:,.0f})",
            f"{minutes * 60 / DAY:.1f}",
            f"{found.calls / unit.calls_per_second / HOUR:.1f}",
        )


def stores(world: World, unit: Measured, guess: Assumed) -> Iterator[tuple[str, ...]]:
    for plan in PLANS:
        found = bill(plan, world, unit)
        rows = found.nodes * (plan.hops + 1)
        yield (
            plan.name,
            f"{rows / 1e6:.1f} M",
            f"{found.calls * unit.ledger_per_call / GIB:,.0f} GiB",
            f"{rows * unit.cached_vector / GIB:,.0f} GiB",
            f"{rows * unit.chroma_disk_per_row / GIB:,.0f} GiB",
            f"{rows * unit.chroma_memory_per_row / GIB:,.0f} GiB",
            f"{found.nodes * guess.dim * 4 / GIB:,.0f} GiB",
            f"{rows / unit.pieces_per_second / HOUR:,.0f}",
            f"{rows / guess.gpu_pieces_per_second / HOUR:,.1f}",
        )


def walls(world: World, unit: Measured, guess: Assumed) -> Iterator[tuple[str, ...]]:
    """What fills one machine, smallest size first, and how many machines this world would fill."""
    rows_by_interaction = 3 * (world.users + world.items) / world.interactions
    needs = (
        ("`refine`, all of it", unit.refine_memory_per_interaction),
        ("networkx, reviews included", unit.graph_memory_per_edge * guess.trained),
        ("Chroma, 3 layers", unit.chroma_memory_per_row * rows_by_interaction),
        ("training, ids only", unit.training_memory_per_interaction),
        ("text of one hop, as numbers", guess.dim * 4 * rows_by_interaction / 3),
    )
    for name, need in sorted(needs, key=lambda one: -one[1]):
        yield (
            name,
            f"{need:,.0f} B",
            f"{guess.machine / need / 1e6:,.0f} M",
            f"{need * world.interactions / GIB:,.0f} GiB",
            f"{need * world.interactions / guess.machine:,.0f}",
        )


def training(world: World, unit: Measured, guess: Assumed) -> Iterator[tuple[str, ...]]:
    for batch in (4096, guess.batch):
        steps = world.interactions * guess.trained / batch
        step = unit.training_step * world.interactions
        whole = steps * step * guess.epochs
        yield (
            f"{batch:,}",
            f"{steps:,.0f}",
            f"{step:,.0f} s",
            f"{whole / DAY:,.0f} days",
            f"{step / guess.gpu_step_speedup:.1f} s",
            f"{whole / guess.gpu_step_speedup / HOUR:,.0f}",
        )


def report(world: World, unit: Measured, guess: Assumed) -> str:
    """The tables of docs/scale.md."""
    cost = (
        "plan|interactions with a described user / item|calls|tokens in|tokens out|API|API, batch"
        "|own GPU hours|days at the account's limits|hours of one process of ours"
    )
    store = (
        "plan|texts|ledger|vectors.sqlite|Chroma, disk|Chroma, memory|one hop as float32"
        "|hours to embed, 2 cores|hours, one GPU"
    )
    wall = "what|bytes an interaction|interactions in 24 GiB|here|machines of 24 GiB"
    train = "batch|steps an epoch|a step, 2 cores|30 epochs|a step, GPU|GPU hours"
    return "\n\n".join(
        [
            table(cost, costs(world, unit, guess)),
            table(store, stores(world, unit, guess)),
            table(wall, walls(world, unit, guess)),
            table(train, training(world, unit, guess)),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=float, default=10e6)
    parser.add_argument("--items", type=float, default=10e6)
    parser.add_argument("--interactions", type=float, default=1e9)
    given = parser.parse_args()
    world = World(given.users, given.items, given.interactions)
    print(report(world, Measured(), Assumed()))


if __name__ == "__main__":
    main()
