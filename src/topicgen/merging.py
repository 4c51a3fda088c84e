"""The topics of a document's passages in, those of the document out: like ones merged, each with weight and place."""

from collections import defaultdict
from collections.abc import Sequence

from topicgen.passages import Passage
from topicgen.phrase import group_alike
from topicgen.records import PassageTopic, RankedTopic


def merge_topics(passages: Sequence[Passage], found: Sequence[Sequence[RankedTopic]]) -> list[PassageTopic]:
    """The topics of a document, best first.

    Topics that share most of their words are one; it is called as the likeliest of them, and its passage is where that
    one was written. Its weight is the share of the characters read that lie in passages with one of them. First comes
    the topic of more than half of the text, if there is one, else that of the beginning, where texts say what they are
    about (benchmarks/passages.py compares other choices); the others follow by weight, then score.

    Args:
        passages: The passages, in order.
        found: The topics of each, likeliest first.
    """
    written = [(ranked, number) for number, topics in enumerate(found) for ranked in topics]
    beginning = written[0]
    written.sort(key=lambda pair: -(pair[0].score or 0))  # stable: of equal scores the earlier passage comes first
    members: dict[int, set[int]] = defaultdict(set)
    heads = group_alike([ranked.topic for ranked, _ in written])
    for (_, number), head in zip(written, heads, strict=True):
        members[head].add(number)
    total = sum(len(passage.text) for passage in passages)
    merged = []
    for head, numbers in members.items():
        ranked, place = written[head]
        weight = sum(len(passages[number].text) for number in numbers) / total
        passage = passages[place]
        merged.append(PassageTopic(ranked.topic, weight, ranked.score, passage.offset, len(passage.text)))
    first = merged[list(members).index(heads[written.index(beginning)])]
    return sorted(merged, key=lambda t: (-t.weight if t.weight > 0.5 else 0, t != first, -t.weight, -(t.score or 0)))
