"""Which of a file's columns is which of ours.

Headers are compared without case, spaces, dashes and underscores. Our own name comes first, then
the aliases in the order written here, so a file may carry both `parent_asin` and `asin`.
"""

from collections.abc import Mapping, Sequence

from errors import DataError, unknown

USER = ("userid", "user", "uid", "reviewerid", "reviewer", "customerid", "memberid", "playerid")
ITEM = (
    *("itemid", "item", "iid", "parentasin", "asin", "businessid", "movieid", "productid"),
    *("bookid", "gameid", "appid", "songid", "trackid", "newsid", "jobid", "isbn"),
)
TIME = ("timestamp", "unixreviewtime", "time", "datetime", "date", "createdat", "unixtime")
NAME = ("title", "name", "itemname", "producttitle", "productname", "movietitle", "booktitle")

FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "interactions": {
        "user_id": USER,
        "item_id": ITEM,
        "rating": ("rating", "overall", "stars", "score", "reviewrating"),
        "timestamp": TIME,
        "review": ("review", "reviewtext", "text", "comment", "reviewbody"),
        "summary": ("summary", "headline", "reviewsummary", "reviewtitle", "reviewheadline"),
        "split": ("split",),
    },
    "items": {
        "item_id": (*ITEM, "id"),
        "title": NAME,
        "description": ("description", "desc", "itemdescription", "overview", "synopsis", "plot"),
    },
    "users": {"user_id": (*USER, "id")},
    "pairs": {"user_id": USER, "item_id": ITEM},
}
IDS = {
    "interactions": ("user_id", "item_id"),
    "items": ("item_id",),
    "users": ("user_id",),
    "pairs": ("user_id", "item_id"),
}


def plain(column: str) -> str:
    return column.lower().replace("_", "").replace("-", "").replace(" ", "")


def field_named(kind: str, column: str) -> str | None:
    """Our name of one column, read alone."""
    return next((ours for ours, names in FIELDS[kind].items() if plain(column) in names), None)


def matched(kind: str, columns: Sequence[str], asked: Mapping[str, str]) -> dict[str, str]:
    """Ours -> theirs, for import: what was asked for, then our names, then the aliases."""
    found = {ours: asked[ours] for ours in FIELDS[kind] if asked.get(ours) in columns}
    free = [column for column in columns if column not in found.values()]
    for ours in FIELDS[kind]:
        if ours not in found and ours in free:
            found[ours] = ours
            free.remove(ours)
    for ours, names in FIELDS[kind].items():
        ranked = [column for name in names for column in free if plain(column) == name]
        if ours not in found and ranked:
            found[ours] = ranked[0]
            free.remove(ranked[0])
    return found


def exact(kind: str, columns: Sequence[str]) -> dict[str, str]:
    """Ours -> ours, for data folders, where an alias is an attribute like any other."""
    return {ours: ours for ours in FIELDS[kind] if ours in columns}


def check_asked(kind: str, name: str, columns: Sequence[str], asked: Mapping[str, str]) -> None:
    """Refuse a --column that names a column the file does not have."""
    for ours, theirs in asked.items():
        # Items and users files may spell an id in their own way, so only interactions must obey.
        binding = ours in FIELDS[kind] and (kind == "interactions" or ours not in IDS[kind])
        if binding and theirs not in columns:
            raise DataError(f"{name} has no column {theirs!r} to use as {ours}.", hint=its(columns))


def check_ids(kind: str, name: str, columns: Sequence[str], found: Mapping[str, str]) -> None:
    for ours in IDS[kind]:
        if ours not in found:
            raise DataError(
                f"{name} has no column {ours}.",
                hint=f"{its(columns)} Say which it is: data import --column {ours}=NAME.",
            )


def check_known(asked: Mapping[str, str]) -> None:
    known = dict.fromkeys(ours for fields in FIELDS.values() for ours in fields)
    for ours in asked:
        if ours not in known:
            raise unknown("column", ours, known)


def its(columns: Sequence[str]) -> str:
    return f"Its columns: {', '.join(columns) or 'none'}."
