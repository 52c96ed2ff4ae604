"""What the tests of exports share: export in this process, and what Chroma holds."""

from stores.arrays import load_arrays
from stores.descriptions import Descriptions
from stores.exports.export import Asked, exported
from stores.exports.material import load


def go(place, out, format, **asked):
    """Export the workspace of a (data, workspace) pair."""
    data, workspace = place
    loaded = load(data, workspace / "split", 0)
    return exported(Asked(format, out, **asked), workspace, loaded)


def stored(workspace, kind, hop):
    """Rows, sorted by node, and embeddings by node."""
    found = Descriptions(workspace / "chroma")
    rows, (nodes, vectors) = found.rows(kind, hop), found.vectors(kind, hop)
    found.close()
    return rows, dict(zip(nodes, vectors, strict=True))


def arrays_of(place):
    return load_arrays(place[0], place[1] / "split", 0)
