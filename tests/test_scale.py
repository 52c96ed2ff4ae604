"""docs/scale.md tells what benchmarks/scale.py computes."""

from dataclasses import replace

import pytest

from benchmarks.scale import PLANS, Assumed, Measured, Plan, World, bill, covered, report
from tests.conftest import ROOT

WORLD = World(10e6, 10e6, 1e9)


def test_the_tables_of_the_document_are_those_that_the_script_prints():
    told = (ROOT / "docs" / "scale.md").read_text("utf-8")
    for table in report(WORLD, Measured(), Assumed()).split("\n\n"):
        assert table in told, "put what `python -m benchmarks.scale` prints into docs/scale.md"


def test_a_node_is_a_call_at_each_hop():
    unit = replace(Measured(), item_profile=(1, 10), user_profile=(2, 20), hop_1=(3, 30))
    found = bill(Plan("", 1), World(100, 50, 1000), unit)
    assert (found.nodes, found.calls) == (150, 300)
    assert found.tokens == (50 + 200 + 450, 500 + 2000 + 4500)


def test_the_share_of_interactions_is_never_smaller_than_the_share_of_nodes():
    for plan in PLANS:
        users, items = covered(plan)
        assert plan.users <= users <= 1 and plan.items <= items <= 1


@pytest.mark.parametrize("factor", [2, 10])
def test_stores_and_calls_grow_as_the_nodes_do(factor):
    small, large = WORLD, World(WORLD.users * factor, WORLD.items * factor, WORLD.interactions)
    for plan in PLANS:
        one, more = (bill(plan, world, Measured()) for world in (small, large))
        assert more.calls == pytest.approx(factor * one.calls)
