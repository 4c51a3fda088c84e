"""Corpus rows in, token batches on one device out: one text with its title to a row, rows packed without padding."""

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from shards import read_shard, read_topics, text_hash
from tokenizer import BOS, EOS, TITLE, TOPIC
from tokenizers import Tokenizer

CONTEXT = 1024
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
    prompt reaches up to and includes the separator.
    """

    tokens: torch.Tensor
    starts: np.ndarray
    lengths: np.ndarray
    prompts: np.ndarray


def encode(tokenizer: Tokenizer, pairs: list[tuple[str, str, str]]) -> tuple[list[list[int]], list[int]]:
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


def place(tokens: np.ndarray, lengths: np.ndarray, prompts: np.ndarray, device: str) -> Rows:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return Rows(torch.from_numpy(tokens.astype(np.int64)).to(device), starts, lengths, prompts)


def shard_pairs(path: Path, form: str, topics: dict[str, str]) -> list[tuple[str, str, str]]:
    """The rows of one shard in the form "title" (as it is) or "topic" (its topic, or the core of its title)."""
    pairs = []
    for row in read_shard(path):
        subject = topics.get(text_hash(row["text"]), core(row["title"])) if form == "topic" else None
        pairs.append((row["text"], TOPIC, subject) if subject else (row["text"], TITLE, row["title"]))
    return pairs


def _encode_shard(job: tuple[Path, Path, str, Path | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tokenizer_path, path, form, topics = job
    pairs = shard_pairs(path, form, read_topics(topics) if topics else {})
    return pack(*encode(Tokenizer.from_file(str(tokenizer_path)), pairs))


def load_corpus(
    tokenizer_path: Path, shards: list[Path], form: str, device: str, jobs: int, topics: Path | None = None
) -> Rows:
    with ProcessPoolExecutor(jobs) as pool:
        parts = list(pool.map(_encode_shard, [(tokenizer_path, path, form, topics) for path in shards]))
    tokens, length, prompt = (np.concatenate(column) for column in zip(*parts, strict=True))
    return place(tokens, length, prompt, device)


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


def epochs(forms: list[Rows], size: int, seed: int, most: int) -> Iterator[tuple[Rows, np.ndarray]]:
    """Endless batches of rows in random order; each epoch takes one of each row's forms at random."""
    generator = np.random.default_rng(seed)
    while True:
        which = generator.integers(len(forms), size=len(forms[0].lengths))
        batches = []
        for number, rows in enumerate(forms):
            mine = generator.permutation(np.flatnonzero(which == number))
            batches += [(rows, mine[part]) for part in cut(rows.lengths[mine], size, most)]
        for index in generator.permutation(len(batches)):
            yield batches[index]
