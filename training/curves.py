"""What a training looked like: TensorBoard events as it goes, and a picture at its end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from training.trainer import METRIC, Epoch


@contextmanager
def events(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """Writes an epoch's loss terms, seconds and validation for TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def write(epoch: Epoch) -> None:
        for name, value in epoch.terms.items():
            writer.add_scalar(f"loss/{name}", value, epoch.number)
        for name, value in (epoch.val or {}).items():
            writer.add_scalar(f"val/{name}", value, epoch.number)
        writer.add_scalar("seconds", epoch.seconds, epoch.number)

    try:
        yield write
    finally:
        writer.close()


def draw(path: Path, title: str, seeds: Mapping[int, Sequence[Epoch]]) -> None:
    """Loss terms of the first seed, and validation Recall@20 of every seed, by epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, recall = figure.subplots(1, 2)
    first = next(iter(seeds.values()))
    for name in first[0].terms:
        values = [abs(e.terms.get(name, float("nan"))) for e in first]
        losses.plot([e.number for e in first], values, label=name)
    losses.set(title="loss terms, weighted, first seed (size)", xlabel="epoch", yscale="log")
    losses.legend(frameon=False)
    for seed, epochs in seeds.items():
        judged = [(e.number, e.val[METRIC]) for e in epochs if e.val]
        recall.plot(*zip(*judged, strict=True), marker=".", label=f"seed {seed}")
    recall.set(title="validation Recall@20", xlabel="epoch")
    recall.legend(frameon=False)
    for axes in (losses, recall):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
