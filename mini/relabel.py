"""A model that writes topics and the corpus in, a table of topics by the hash of their text out.

    python mini/relabel.py --model build/writer --corpus build/corpus --out build/topics.tsv

Papers only: other texts keep the cores of their titles. A topic that its text does not support is left out.
"""

import argparse
import time
from pathlib import Path

import torch
from adapt import write_topics
from shards import read_shard, text_hash
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from topicgen.phrase import clean, support


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--least-support", type=float, default=0.75, help="share of a topic's words that its text has")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rows", type=int, help="only so many of each shard")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    kind = torch.float32 if args.device == "cpu" else torch.bfloat16
    model = LlamaForCausalLM.from_pretrained(args.model, dtype=kind).to(args.device).eval()
    began, written, kept = time.time(), 0, 0
    with args.out.open("w", encoding="utf-8") as out:
        out.write("text_hash\ttopic\n")
        for path in sorted(args.corpus.glob("corpus-*.jsonl.xz")):
            texts = [row["text"] for row in read_shard(path) if row["domain"] == "arxiv"][: args.rows]
            for text, raw in zip(texts, write_topics(model, tokenizer, texts, 16, args.batch), strict=True):
                topic = clean(raw)
                written += 1
                if topic and support(topic, text) >= args.least_support:
                    out.write(f"{text_hash(text)}\t{topic}\n")
                    kept += 1
            print(f"{written} topics, {kept} kept, {written / (time.time() - began):.0f} a second", flush=True)


if __name__ == "__main__":
    main()
