"""The training graph in a file: a part of it shows a node what the whole graph shows it."""

import pytest

from errors import StoreError, UsageError
from graph_ops.graph import build
from graph_ops.neighbourhood import RULES, Sampling
from graph_ops.seen import evidence, listened_to
from stores import graph_file
from stores.datasets import load_training
from tests.worlds import make


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set, and a workspace with its graph in a file."""
    home = tmp_path_factory.mktemp("graph")
    data = load_training(make(home / "data", users=25, items=15), home / "split", 0)
    graph_file.write(home, data)
    return home, data


def part_of(home, node, radius):
    with graph_file.reading(home) as db:
        part = graph_file.around(db, node, radius)
    return build(part.users, part.items, part.interactions)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("hop", [0, 1, 2])
def test_a_part_shows_every_node_what_the_whole_graph_shows_it(world, rule, hop):
    home, data = world
    whole, sampling = build(data.users, data.items, data.training), Sampling(3, rule, 5)
    below = {node: f"It is {node} and so on." for node in whole}
    for node in whole:
        part = part_of(home, node, 2 if rule == "degree-damped" else 1)
        told = [
            (
                listened_to(graph, node, hop, sampling),
                evidence(graph, node, hop, below, sampling, 300),
            )
            for graph in (part, whole)
        ]
        assert told[0] == told[1]
        assert told[0][1] or hop


def test_a_part_holds_a_nodes_own_interactions_and_its_neighbours(world):
    home, data = world
    with graph_file.reading(home) as db:
        part = graph_file.around(db, "user:u3")
        assert [row.item for row in part.interactions] == sorted(part.items)
        assert set(part.users) == {"u3"}
        assert graph_file.titles(db, ["item:i1", "user:u3"]) == {"item:i1": "Title-i1"}
        assert graph_file.degree(db, "user:u3") == len(part.interactions)
        about = graph_file.about(db)
    assert (about.digest, about.domain, about.language) == (
        *(data.digest, data.domain, data.language),
    )


def test_a_node_that_is_not_in_the_data_has_no_surroundings(world):
    with graph_file.reading(world[0]) as db:
        assert not graph_file.around(db, "user:nobody").users


def test_nothing_that_was_held_out_is_in_the_file(world):
    home, _ = world
    written = (home / graph_file.FILE).read_bytes()
    assert b"mark-u" in written and b"heldout" not in written


def test_it_is_written_once_and_anew_for_other_data(world, tmp_path):
    home, data = world
    before = (home / graph_file.FILE).stat().st_mtime_ns
    graph_file.write(home, data)
    assert (home / graph_file.FILE).stat().st_mtime_ns == before
    other = load_training(make(tmp_path / "other", users=4, items=4, per_user=3), tmp_path, 0)
    graph_file.write(tmp_path, data)
    graph_file.write(tmp_path, other)
    with graph_file.reading(tmp_path) as db:
        assert graph_file.about(db).digest == other.digest
    assert not list(tmp_path.glob("graph.sqlite?*"))


def test_a_missing_or_damaged_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="training graph"):
        graph_file.reading(tmp_path).__enter__()
    (tmp_path / graph_file.FILE).write_bytes(b"no database, and long enough to be looked at" * 40)
    with pytest.raises(StoreError, match="cannot be read"), graph_file.reading(tmp_path) as db:
        graph_file.around(db, "user:u1")
