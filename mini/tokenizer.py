"""Corpus shards in, a byte-level BPE tokenizer out, with Llama 3's pre-tokenisation.

python mini/tokenizer.py --corpus build/corpus --out build/tokenizer.json
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from shards import read_shard
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# The pattern of Llama 3's tokenizer (Meta's `llama-models`, llama3/tokenizer.py).
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BOS, EOS, PAD, TITLE, TOPIC, KEYPHRASES = SPECIAL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|pad|>",
    "<|title|>",
    "<|topic|>",
    "<|keyphrases|>",
]


def texts(paths: list[Path], rows_per_shard: int) -> Iterator[str]:
    """Every row of general text, and the first rows of each shard's papers: general text is scarce in the corpus."""
    for path in paths:
        for number, row in enumerate(read_shard(path)):
            if number < rows_per_shard or row["domain"] != "arxiv":
                yield row["title"] + "\n" + row["text"]


def train(paths: list[Path], vocab_size: int, rows_per_shard: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts(paths, rows_per_shard), trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocab-size", type=int, default=16384)
    parser.add_argument("--rows-per-shard", type=int, default=6000)
    args = parser.parse_args()
    paths = sorted(args.corpus.glob("corpus-*.jsonl.xz"))
    tokenizer = train(paths, args.vocab_size, args.rows_per_shard)
    tokenizer.save(str(args.out))
    sample = [row for _, row in zip(range(2000), read_shard(paths[0]), strict=False)]
    tokens = sum(len(tokenizer.encode(row["text"]).ids) for row in sample)
    characters = sum(len(row["text"]) for row in sample)
    print(f"vocabulary {tokenizer.get_vocab_size()}, {characters / tokens:.2f} characters a token,", end=" ")
    print(f"{tokens / len(sample):.0f} tokens a text")


if __name__ == "__main__":
    main()
