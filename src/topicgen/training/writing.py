"""A model in training and a few documents in, its likeliest topics out: a look at what it has learned so far."""

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

from topicgen.phrase import clean
from topicgen.training.distributed import Group
from topicgen.training.llama import PackedLlama
from topicgen.training.packing import Fill, pack
from topicgen.training.rows import TokenRow

LONGEST = 24  # tokens of a topic


def write_topics(
    model: PackedLlama,
    prefix: Sequence[int],
    rows: Sequence[TokenRow],
    tokenizer: Tokenizer,
    stop: int,
    fill: Fill | None,
    group: Group,
) -> list[str]:
    """Greedy topics of documents that fit into one pack; each step reads the pack anew, fast enough for a few.

    All processes write the same topics together, which takes the same number of steps: they may share the model.
    """
    written: list[list[int]] = [[] for _ in rows]
    going = list(range(len(rows)))
    for _ in range(LONGEST):
        # One token more than is known: the row before it is where the next token is read.
        asked = [
            TokenRow((*rows[i].ids[: rows[i].answer], *written[i], stop), rows[i].answer + len(written[i]))
            for i in going
        ]
        logits = model.logits(pack(prefix, asked, fill).to(model.device))
        likeliest = group.first(logits[: len(going)].argmax(-1))
        for i, token in zip(going, likeliest.tolist(), strict=True):
            written[i].append(token)
        going = [i for i in going if written[i][-1] != stop]
        if not going:
            break
    topics = []
    for tokens in written:
        finished = tokens[-1:] == [stop]
        topics.append(clean(tokenizer.decode(tokens[: len(tokens) - finished]), finished=finished))
    return topics


def fitting(rows: Sequence[TokenRow], prefix: int, capacity: int) -> Iterator[list[TokenRow]]:
    """The rows in order, in groups that fit into one pack while their topics grow; one that never fits is cut."""
    group: list[TokenRow] = []
    room = capacity - prefix
    for row in rows:
        head = min(row.answer, capacity - prefix - LONGEST - 1)
        shortened = TokenRow((*row.ids[:head], *row.ids[row.answer :]), head) if head < row.answer else row
        size = head + LONGEST + 1
        if group and size > room:
            yield group
            group, room = [], capacity - prefix
        group.append(shortened)
        room -= size
    if group:
        yield group
