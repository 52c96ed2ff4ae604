"""Small data sets in which every text says whose it is."""

import json
import random
from pathlib import Path


def make(folder: Path, users: int = 30, items: int = 20, per_user: int = 6, seed: int = 1) -> Path:
    """A data folder with its own split. Titles, descriptions and reviews carry their ids.

    Two thirds of a user's interactions are for training; a held-out review carries `heldout…`.
    """
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    rows = []
    for user in range(users):
        for place, item in enumerate(draw.sample(range(items), per_user)):
            part = ("val", "test", "train", "train", "train", "train")[place % 6]
            mark = f"mark-u{user}-i{item}" if part == "train" else f"heldout-u{user}-i{item}"
            rows.append(
                {
                    "user_id": f"u{user}",
                    "item_id": f"i{item}",
                    "rating": float(draw.randint(1, 5)),
                    "timestamp": 1_600_000_000 + draw.randint(0, 10**7),
                    "review": f"A {draw.choice(['sturdy', 'quiet', 'bright'])} thing, says {mark}.",
                    "split": part,
                }
            )
    things = [
        {
            "item_id": f"i{item}",
            "title": f"Title-i{item}",
            "description": f"The thing numbered i{item} is well made." if item % 3 else None,
        }
        for item in range(items)
    ]
    people = [{"user_id": f"u{user}"} for user in range(users)]
    for name, table in (("interactions", rows), ("items", things), ("users", people)):
        lines = "".join(json.dumps(row) + "\n" for row in table)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    return folder


def turned(data: Path) -> None:
    """Let validation and test of a data folder change places."""
    path = data / "interactions.jsonl"
    rows = path.read_text("utf-8")
    swapped = rows.replace('"val"', '"?"').replace('"test"', '"val"').replace('"?"', '"test"')
    path.write_text(swapped, "utf-8")


async def refined(data: Path, workspace: Path, url: str) -> None:
    """Profiles and one hop, by the server at `url`."""
    from agents.models.openai import OpenAIModel
    from agents.run import Watch, refine
    from agents.setup import Options
    from stores.connection import Connection
    from stores.datasets import load_training
    from stores.embedders import OpenAIEmbedder

    far = Connection("openai", "far", url)
    model, options = OpenAIModel(far), Options(hops=1, domain="generic")
    loaded = load_training(data, workspace / "split", 0)
    await refine(loaded, workspace, model, OpenAIEmbedder(far), options, Watch())
    await model.close()
