"""Small source files for the import tests, and what becomes of them."""

import gzip

from stores.formats.importing import import_data
from stores.formats.layout import read_source


def put(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text if isinstance(text, bytes) else text.encode(encoding)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(raw)
    return path


def brought(src, out, **options):
    """The interactions of an imported source, as tuples without the row number."""
    import_data(src, out, **options)
    return [tuple(row)[:6] for row in read_source(out).rows]


def bare(src, out, **options):
    return [row[:2] for row in brought(src, out, **options)]
