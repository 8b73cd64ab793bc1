"""A picture of each result, where matplotlib is installed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Figure


def draw(figure: Figure, path: Path) -> bool:
    """Bars with the spread of their repetitions; whether there was anything to draw with."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    canvas, axes = plt.subplots(figsize=(max(6.0, 1.6 * len(figure.groups)), 4.5), layout="constrained")
    width = 0.8 / len(figure.bars)
    for position, (name, spreads) in enumerate(figure.bars.items()):
        shown = [(at, spread) for at, spread in enumerate(spreads) if spread is not None]
        axes.bar(
            [at + (position - (len(figure.bars) - 1) / 2) * width for at, _ in shown],
            [spread.median for _, spread in shown],
            width,
            yerr=[[s.median - s.least for _, s in shown], [s.most - s.median for _, s in shown]],
            label=name,
            capsize=2,
        )
    if figure.line is not None:
        axes.axhline(figure.line, color="black", linestyle="--", linewidth=1, label="goal")
    if figure.logarithmic:
        axes.set_yscale("log")
    axes.set_xticks(range(len(figure.groups)), figure.groups)
    axes.set_title(figure.title)
    axes.set_ylabel(figure.axis)
    if len(figure.bars) > 1 or figure.line is not None:
        axes.legend(fontsize="small")
    canvas.savefig(path, dpi=120)
    plt.close(canvas)
    return True
