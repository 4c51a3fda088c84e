"""The picture of a pack in docs/training.md, drawn from topicgen's own packing: docs/pack.png.

    python benchmarks/train_gpu/picture.py FILE.png

Left the same three documents as a padded batch and as a pack, right which tokens of the pack see which others.
"""

import sys
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from topicgen.training.packing import PADDING, PREFIX, Fill, Pack, pack
from topicgen.training.rows import TokenRow

PROMPT = 4  # tokens that all documents begin with
LENGTHS = ((9, 3), (5, 2), (7, 2))  # tokens of each document, those of its topic among them
FILL = Fill(tokens=28, kept=1)
PROMPT_COLOR, EMPTY_COLOR = "#8a8a8a", "#ececec"
DOCUMENT_COLORS = ("#2f6fb0", "#3f9a5f", "#c8501e")
NAMES = "abc"


def color_of(document: int) -> str:
    return {PREFIX: PROMPT_COLOR, PADDING: EMPTY_COLOR}.get(document) or DOCUMENT_COLORS[document]


def cells(axes: Axes, y: float, documents: Iterable[int], learned: set[int]) -> None:
    """A row of tokens; a dot stands in those whose output is learned from."""
    for x, document in enumerate(documents):
        axes.add_patch(Rectangle((x, y), 0.92, 0.92, color=color_of(document), linewidth=0))
        if x in learned:
            axes.plot(x + 0.46, y + 0.46, "o", color="white", markersize=4)


def draw_rows(axes: Axes, made: Pack) -> None:
    longest = PROMPT + max(whole for whole, _ in LENGTHS)
    axes.text(0, -0.6, f"a padded batch: {len(LENGTHS)} x {longest} = {len(LENGTHS) * longest} tokens", fontsize=11)
    for number, (whole, topic) in enumerate(LENGTHS):
        filling = longest - PROMPT - whole
        documents = [PREFIX] * PROMPT + [number] * whole + [PADDING] * filling
        end = PROMPT + whole
        cells(axes, number * 1.3, documents, set(range(end - topic - 1, end - 1)))
    y = 6.0
    axes.text(0, y - 0.6, f"one pack: {len(made.ids)} tokens, the prompt once", fontsize=11)
    cells(axes, y, made.documents.tolist(), set(made.kept.tolist()))
    for x, position in enumerate(made.positions.tolist()):
        filling = made.documents[x] == PADDING
        axes.text(x + 0.46, y + 1.6, "" if filling else str(position), fontsize=6.5, ha="center", color="#333333")
    axes.text(0, y + 2.5, "positions: each document goes on after the prompt", fontsize=8, color="#333333")
    handles = [
        Patch(color=PROMPT_COLOR, label="prompt, the same for all"),
        *(
            Patch(color=c, label=f"document {name} and its topic")
            for c, name in zip(DOCUMENT_COLORS, NAMES, strict=True)
        ),
        Patch(color=EMPTY_COLOR, label="filling"),
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2, frameon=False, fontsize=9)
    axes.text(
        0, y + 3.5, "white dots: rows whose next token is learned; the last layer, the", fontsize=8, color="#333333"
    )
    axes.text(0, y + 4.2, "output matrix and the loss are computed for these only", fontsize=8, color="#333333")
    axes.set(xlim=(0, FILL.tokens), ylim=(y + 4.4, -1.4))
    axes.axis("off")


def draw_mask(axes: Axes, made: Pack) -> None:
    documents, positions, kept = made.documents.tolist(), made.positions.tolist(), set(made.kept.tolist())
    size = len(documents)
    for row in range(size):
        for column in range(size):
            same = documents[column] in (PREFIX, documents[row])
            sees = same and positions[row] >= positions[column] and documents[row] != PADDING
            color = color_of(documents[column]) if sees else "#f7f7f7"
            axes.add_patch(Rectangle((column, row), 0.92, 0.92, color=color, linewidth=0))
        if row in kept:
            axes.plot(size + 0.8, row + 0.46, "<", color=color_of(documents[row]), markersize=5)
    axes.text(size / 2, -0.7, "which token (row) sees which (column)", fontsize=11, ha="center")
    axes.set(xlim=(-0.2, size + 1.6), ylim=(size + 0.2, -1.6), aspect="equal")
    axes.axis("off")


def main() -> None:
    rows = [TokenRow(tuple(range(1, whole + 1)), whole - topic) for whole, topic in LENGTHS]
    made = pack(range(PROMPT), rows, FILL)
    figure = Figure(figsize=(11, 5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    draw_rows(left, made)
    draw_mask(right, made)
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
