"""Corpus rows in, token batches on one device out: one text with its title to a row, rows packed without padding."""

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from shards import Row, read_shard, read_topics, text_hash
from tokenizer import BOS, EOS, TITLE, TOPIC
from tokenizers import Tokenizer

Pair = tuple[str, str, str]  # text, separator, target
CONTEXT = 1024
WRITTEN = "written"  # beside the sources of texts
EDITED = 12  # words of a title that editors wrote, at most
LEAD = re.compile(r"^(an?|the|on|on the|towards?|some)\s+", re.IGNORECASE)
MEANS = re.compile(r"\s+(via|using|by|based on|through|with)\s.*$", re.IGNORECASE)


def core(title: str) -> str | None:
    """What a title says the text is about, in 2 to 7 words: no system name before a colon, no "via ...", no article."""
    before, _, after = title.partition(": ")
    subject = after if len(after.split()) >= 2 else before
    subject = LEAD.sub("", MEANS.sub("", subject)).strip(" .?!")
    return subject if 2 <= len(subject.split()) <= 7 else None


@dataclass
class Rows:
    """Token rows ``<bos> text <title>|<topic> target <eos>`` behind one another.

    tokens: int64 (total,) on the device of training. starts, lengths, prompts: (rows,) on the CPU, in tokens; the
    prompt reaches up to and includes the separator. twins: (rows,), the row of the same text with another target, or
    the row itself; a pass over the rows takes one of the two.
    """

    tokens: torch.Tensor
    starts: np.ndarray
    lengths: np.ndarray
    prompts: np.ndarray
    twins: np.ndarray

    def only(self, chosen: np.ndarray) -> "Rows":
        """The chosen rows, without their twins."""
        columns = (column[chosen] for column in (self.starts, self.lengths, self.prompts))
        return Rows(self.tokens, *columns, np.arange(len(chosen)))


def encode(tokenizer: Tokenizer, pairs: list[Pair]) -> tuple[list[list[int]], list[int]]:
    """(text, separator, target) to token rows and the lengths of their prompts; the text gives way to the context."""
    tokenizer.encode_special_tokens = True  # a text that holds "<|topic|>" is plain text
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    texts = tokenizer.encode_batch([text for text, _, _ in pairs], add_special_tokens=False)
    targets = tokenizer.encode_batch([target for _, _, target in pairs], add_special_tokens=False)
    rows, prompts = [], []
    for (_, separator, _), text, target in zip(pairs, texts, targets, strict=True):
        head = [bos, *text.ids[: CONTEXT - 3 - len(target.ids)], tokenizer.token_to_id(separator)]
        rows.append([*head, *target.ids, eos])
        prompts.append(len(head))
    return rows, prompts


def pack(rows: list[list[int]], prompts: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tokens = np.concatenate([np.array(row, dtype=np.uint16) for row in rows])
    return tokens, np.array([len(row) for row in rows]), np.array(prompts)


def place(
    tokens: np.ndarray, lengths: np.ndarray, prompts: np.ndarray, device: str, twins: np.ndarray | None = None
) -> Rows:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    own = np.arange(len(lengths)) if twins is None else twins
    return Rows(torch.from_numpy(tokens.astype(np.int64)).to(device), starts, lengths, prompts, own)


Encoded = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # tokens, lengths, prompts, twins, written


def _encode_shard(job: tuple[Path, Path, dict[str, str]]) -> Encoded:
    tokenizer_path, path, written = job
    rows = list(read_shard(path))
    known = [written.get(text_hash(row["text"])) for row in rows]
    topics = [(n, topic) for n, row in enumerate(rows) if (topic := known[n] or named(row))]
    pairs = [(row["text"], TITLE, row["title"]) for row in rows]
    pairs += [(rows[number]["text"], TOPIC, topic) for number, topic in topics]
    twins = np.arange(len(pairs))
    with_topic = np.zeros(len(pairs), dtype=bool)
    for twin, (number, _) in enumerate(topics, start=len(rows)):
        twins[number], twins[twin] = twin, number
        with_topic[twin] = known[number] is not None
    return *pack(*encode(Tokenizer.from_file(str(tokenizer_path)), pairs)), twins, with_topic


def load_corpus(
    tokenizer_path: Path, shards: list[Path], tables: list[Path], device: str, jobs: int
) -> tuple[Rows, Rows]:
    """All texts with their titles; as a twin the written topic, or for other general texts what their title names.

    Beside them the rows that have a written topic, once more.
    """
    written = topics_of(tables)
    with ProcessPoolExecutor(jobs) as pool:
        parts = list(pool.map(_encode_shard, [(tokenizer_path, path, written) for path in shards]))
    before = np.cumsum([0, *(len(part[1]) for part in parts)])
    tokens, length, prompt, twins, with_topic = (np.concatenate(column) for column in zip(*parts, strict=True))
    rows = place(tokens, length, prompt, device, twins + np.repeat(before[:-1], np.diff(before)))
    return rows, rows.only(with_topic.nonzero()[0])


def supported(title: str, text: str) -> bool:
    """Whether most long words of a title stand in its text: forum titles often do not say what the post is about."""
    long_words = [word for word in title.lower().split() if len(word) > 3]
    return bool(long_words) and sum(word in text.lower() for word in long_words) >= 0.6 * len(long_words)


def named(row: Row) -> str | None:
    """What the title of a text outside science names, supported by the text or not."""
    return core(row["title"]) or general_topic(row) if row["domain"] != "arxiv" else None


def topics_of(tables: list[Path]) -> dict[str, str]:
    """Topics of several tables by the hash of their text."""
    return {key: topic for table in tables for key, topic in read_topics(table).items()}


def general_topic(row: Row) -> str | None:
    """What a text outside science is about, from its title: the core, or all of it where editors wrote it.

    People who post in forums ask, tell and joke; their titles count only where they name what the text has.
    """
    title = row["title"]
    subject = core(title)
    if row["domain"] != "reddit":
        return subject or (title if 2 <= len(title.split()) <= EDITED else None)
    asks = "?" in title or title.lower().startswith(("i ", "my ", "how ", "why ", "what "))
    return subject if subject and not asks and supported(subject, row["text"]) else None


def _shard_pairs(job: tuple[Path, dict[str, str]]) -> dict[str, list[Pair]]:
    path, topics = job
    found: dict[str, list[Pair]] = {}
    for row in read_shard(path):
        if topic := topics.get(text_hash(row["text"])):
            found.setdefault(WRITTEN, []).append((row["text"], TOPIC, topic))
        elif row["domain"] != "arxiv" and (subject := general_topic(row)):
            found.setdefault(row["domain"], []).append((row["text"], TOPIC, subject))
    return found


def topic_pairs(corpus: Path, tables: list[Path], jobs: int) -> tuple[dict[str, list[Pair]], list[Pair]]:
    """General texts with what their title names, by source; texts with the topics written for this project."""
    topics = topics_of(tables)
    with ProcessPoolExecutor(jobs) as pool:
        parts = list(pool.map(_shard_pairs, [(path, topics) for path in sorted(corpus.glob("corpus-*.jsonl.xz"))]))
    found = {kind: [pair for part in parts for pair in part.get(kind, [])] for kind in sorted(set().union(*parts))}
    written = found.pop(WRITTEN, [])
    counts = {source: len(pairs) for source, pairs in found.items()}
    print(
        f"general texts with a title: {counts}; {len(written)} of {len(topics)} texts with a written topic", flush=True
    )
    return found, written


@dataclass
class Batch:
    """Documents behind one another, without padding between them, filled up to a fixed number of tokens.

    ids, position, weight: (tokens,); weight is the loss weight of predicting the *next* token.
    bounds: (documents + 1,) int32 offsets of the documents; the filling counts as documents of weight 0.
    """

    ids: torch.Tensor
    position: torch.Tensor
    weight: torch.Tensor
    bounds: torch.Tensor


def fill(rows: Rows, chosen: np.ndarray, size: int, prompt_weight: float, target_weight: float, most: int) -> Batch:
    """The chosen rows as one batch of ``size`` tokens with ``most`` (possibly empty) documents.

    The separator has no weight: where a text ends is not for the model to guess.
    """
    length, prompt, start = rows.lengths[chosen], rows.prompts[chosen], rows.starts[chosen]
    offset = np.concatenate([[0], np.cumsum(length)])
    used = int(offset[-1])
    bounds = np.concatenate([offset, np.arange(used + CONTEXT, size, CONTEXT)])
    if used > size or len(bounds) > most:
        raise ValueError(f"{len(chosen)} rows of {used} tokens do not fit into {size} tokens and {most} documents")
    bounds = np.concatenate([bounds, np.full(most + 1 - len(bounds), size)])
    column = np.arange(used) - np.repeat(offset[:-1], length)
    prompts = np.repeat(prompt, length)
    weight = np.where(column + 2 < prompts, prompt_weight, np.where(column + 1 < prompts, 0.0, target_weight))
    weight[offset[1:] - 1] = 0.0
    position = np.arange(size) - np.repeat(bounds[:-1], np.diff(bounds))
    index = np.zeros(size, dtype=np.int64)
    index[:used] = column + np.repeat(start, length)
    device = rows.tokens.device
    return Batch(
        rows.tokens[torch.from_numpy(index).to(device)],
        torch.from_numpy(position).to(device),
        torch.from_numpy(np.pad(weight, (0, size - used)).astype(np.float32)).to(device),
        torch.from_numpy(bounds.astype(np.int32)).to(device),
    )


def cut(lengths: np.ndarray, size: int, most: int) -> Iterator[slice]:
    """Slices of consecutive rows that fit into ``size`` tokens and ``most`` documents."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        done = ends[first - 1] if first else 0
        last = min(int(np.searchsorted(ends, done + size, side="right")), first + most - size // CONTEXT - 1)
        yield slice(first, last)
        first = last


def epochs(rows: Rows, size: int, seed: int, most: int) -> Iterator[tuple[Rows, np.ndarray]]:
    """Endless batches of rows in random order, epoch after epoch; of two twins one, by a coin."""
    generator = np.random.default_rng(seed)
    while True:
        own = np.arange(len(rows.lengths))
        coin = generator.random(len(own)) < 0.5
        first = np.minimum(own, rows.twins)
        kept = (rows.twins == own) | ((own == first) == coin[first])
        order = generator.permutation(own[kept])
        batches = [order[part] for part in cut(rows.lengths[order], size, most)]
        for index in generator.permutation(len(batches)):
            yield rows, batches[index]
