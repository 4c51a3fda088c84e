"""The topics of a document's passages in, those of the document out: like ones merged, each with weight and place."""

from collections import defaultdict
from collections.abc import Sequence

from topicgen.passages import Passage
from topicgen.phrase import group_alike, stems, supported
from topicgen.records import PassageTopic, RankedTopic


def merge_topics(passages: Sequence[Passage], found: Sequence[Sequence[RankedTopic]]) -> list[PassageTopic]:
    """The topics of a document, best first.

    Topics that share most of their words are one; it is called as the likeliest of them, and its passage is where that
    one was written. Its weight is the share of the characters read that lie in passages with one of them. The best
    topic is the one whose words are at home in most of the document: for each passage the share of the topic's words
    that it has, weighted by the length of the passage; of equal ones the one with the larger weight, then the likelier.

    Args:
        passages: The passages, in order.
        found: The topics of each.
    """
    written = [(ranked, number) for number, topics in enumerate(found) for ranked in topics]
    written.sort(key=lambda pair: -pair[0].score)  # stable: of equal scores the earlier passage comes first
    members: dict[int, set[int]] = defaultdict(set)
    for (_, number), head in zip(written, group_alike([ranked.topic for ranked, _ in written]), strict=True):
        members[head].add(number)
    total = sum(len(passage.text) for passage in passages)
    shares = [len(passage.text) / total for passage in passages]
    words = [stems(passage.text) for passage in passages]

    def at_home(topic: str) -> float:
        return sum(share * supported(topic, known) for share, known in zip(shares, words, strict=True))

    merged = []
    for head, numbers in members.items():
        ranked, place = written[head]
        weight = sum(shares[number] for number in numbers)
        passage = passages[place]
        merged.append(PassageTopic(ranked.topic, weight, ranked.score, passage.offset, len(passage.text)))
    return sorted(merged, key=lambda topic: (-at_home(topic.topic), -topic.weight, -topic.score))
