"""A pre-trained Llama and labelled (text, topic) rows in, a model that writes topics out.

    python mini/adapt.py --base build/base --written mini/topics.tsv --corpus build/corpus --out build/writer \
        --folds 0 --epochs 1 --batch-rows 64 --soup 1 --rehearsal 0.8
    python mini/adapt.py --base build/writer --labels build/labels.jsonl --corpus build/corpus --out build/mini

Without --labels the model is fitted to written topics; with both, these are rehearsed. Every fold is scored on rows
that its models never saw; the written model is then fitted to all rows. General texts, with what their title names as
topic, are rehearsed so that other domains are not forgotten, as many of each source. Several models that differ only in
their seed are averaged into one (model soup, Wortsman et al. 2022).
"""

import argparse
import copy
import itertools
import json
import random
import shutil
import tempfile
from pathlib import Path

import model as mini
import numpy as np
import torch
from rows import Pair, encode, fill, pack, place, topic_pairs
from shards import read_shard, read_topics, text_hash
from tokenizer import TOPIC
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

import topicgen
from topicgen import TopicGenerator
from topicgen.intervals import bootstrap
from topicgen.metrics import SCORES

Known = tuple[dict[str, list[Pair]], list[Pair]]  # general texts by source, with titles; texts with written topics
PROMPT = Path(topicgen.__file__).parent / "assets/mini/prompt.json"


def tune(base, tokenizer, pairs: list[Pair], known: Known, args, seed: int):
    """One model fitted to the pairs: AdamW, linear decay, loss on topic tokens (and a little on the text)."""
    device = base.device
    model = copy.deepcopy(base)
    trainer = mini.Trainer(model, compiled=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=args.weight_decay)
    rng = random.Random(seed)
    general, written = known
    each = int(args.rehearsal * len(pairs)) // max(1, len(general))  # the same of each source, where it has so many
    extra = [(some, min(len(some), each)) for some in general.values()]
    extra.append((written, min(len(written), int(args.rehearsal_written * len(pairs)))))
    total, step = -(-(len(pairs) + sum(count for _, count in extra)) // args.batch_rows) * args.epochs, 0
    for _ in range(args.epochs):
        chosen = pairs + [pair for some, count in extra for pair in rng.sample(some, count)]
        rng.shuffle(chosen)
        for first in range(0, len(chosen), args.batch_rows):
            rows = place(*pack(*encode(tokenizer, chosen[first : first + args.batch_rows])), str(device))
            size = -(-int(rows.lengths.sum()) // 64) * 64
            batch = fill(rows, np.arange(len(rows.lengths)), size, args.text_weight, 1.0, args.batch_rows + 1)
            for group in optimizer.param_groups:
                group["lr"] = args.lr * min(1.0, (step + 1) / (0.1 * total), (total - step) / (0.9 * total))
            summed, weights = trainer.loss(batch)
            (summed / weights).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    return model.eval()


def soup(base, tokenizer, pairs: list[Pair], known: Known, args):
    models = [tune(base, tokenizer, pairs, known, args, args.seed + k) for k in range(args.soup)]
    with torch.no_grad():
        for group in zip(*(m.parameters() for m in models), strict=True):
            group[0].copy_(torch.stack([p.data for p in group]).mean(0))
    return models[0]


@torch.no_grad()
def write_topics(model, tokenizer: Tokenizer, texts: list[str], new: int = 24, batch: int = 64) -> list[str]:
    """Greedy topics; prompts of one batch are padded on the left."""
    rows, prompts = encode(tokenizer, [(text, TOPIC, "") for text in texts])
    order = sorted(range(len(rows)), key=lambda i: prompts[i])
    out = [""] * len(rows)
    for first in range(0, len(order), batch):
        part = order[first : first + batch]
        width = max(prompts[i] for i in part)
        ids = torch.full((len(part), width), model.config.pad_token_id)
        for line, i in enumerate(part):
            ids[line, width - prompts[i] :] = torch.tensor(rows[i][: prompts[i]])
        ids = ids.to(model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
            made = model.generate(
                input_ids=ids,
                attention_mask=(ids != model.config.pad_token_id).long(),
                max_new_tokens=new,
                do_sample=False,
            )
        for i, line in zip(part, made[:, width:].tolist(), strict=True):
            out[i] = tokenizer.decode(line, skip_special_tokens=True).strip()
    return out


def score(predictions: list[str], references: list[str]) -> dict[str, list[float]]:
    return {n: [f(p, r) for p, r in zip(predictions, references, strict=True)] for n, f in SCORES.items()}


def as_shipped(model, tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    """Topics as users get them: 8-bit weights, with the second look."""
    with tempfile.TemporaryDirectory() as name:
        mini.save(model, Path(name))
        tokenizer.save(f"{name}/tokenizer.json")
        shutil.copy(PROMPT, name)
        return [topic.topic for topic in TopicGenerator.load(name).generate(texts)]


def cross_validate(base, tokenizer, labels: list[dict], known: Known, args) -> tuple[list[str], list[str]]:
    """Out-of-fold predictions of every row, greedy and as shipped; folds by position after a seeded shuffle."""
    order = list(range(len(labels)))
    random.Random(args.seed).shuffle(order)
    predictions, shipped = [""] * len(labels), [""] * len(labels)
    for fold in range(args.folds):
        held = order[fold :: args.folds]
        seen = [(labels[i]["text"], TOPIC, labels[i]["topic"]) for i in order if i not in set(held)]
        model, texts = soup(base, tokenizer, seen, known, args), [labels[i]["text"] for i in held]
        looked = as_shipped(model, tokenizer, texts) if args.as_shipped else texts
        for i, topic, again in zip(held, write_topics(model, tokenizer, texts), looked, strict=True):
            predictions[i], shipped[i] = topic, again
    return predictions, shipped


def summary(predictions: list[str], references: list[str]) -> dict[str, str]:
    return {name: bootstrap(values).percent() for name, values in score(predictions, references).items()}


def general_summary(model, tokenizer, corpus: Path) -> dict[str, str]:
    """ROUGE-1 and ROUGE-L of topics of held-out texts against their titles, by source, and against written topics."""
    rows = list(read_shard(corpus / "heldout.jsonl.xz"))
    written = read_topics(Path(__file__).parent / "held_out_topics.tsv")
    general = [row for row in rows if row["domain"] != "arxiv"]
    parts = {
        domain: [(row["text"], row["title"]) for row in general if row["domain"] == domain]
        for domain in ("reuters", "digitalgov", "18f", "reddit")
    }
    parts["all titles"] = [pair for part in parts.values() for pair in part]
    parts["written topics"] = [(row["text"], written[h]) for row in general if (h := text_hash(row["text"])) in written]
    result = {}
    for name, part in parts.items():
        scores = score(write_topics(model, tokenizer, [text for text, _ in part]), [reference for _, reference in part])
        result[name] = f"{bootstrap(scores['rouge1']).percent()} / {bootstrap(scores['rougeL']).percent()}"
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--labels", type=Path, help="JSON lines: text, topic")
    parser.add_argument(
        "--written", type=Path, nargs="*", default=[], help="tables of topics by the hash of their text"
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folds", type=int, default=5, help="0: no cross-validation")
    parser.add_argument("--lr", type=float, nargs="+", default=[2e-4])
    parser.add_argument("--epochs", type=int, nargs="+", default=[4])
    parser.add_argument("--soup", type=int, nargs="+", default=[5])
    parser.add_argument("--rehearsal", type=float, nargs="+", default=[0.5], help="general texts per labelled row")
    parser.add_argument(
        "--rehearsal-written", type=float, nargs="+", default=[0.5], help="written topics per labelled row"
    )
    parser.add_argument("--text-weight", type=float, nargs="+", default=[0.0])
    parser.add_argument("--weight-decay", type=float, nargs="+", default=[0.1])
    parser.add_argument("--batch-rows", type=int, nargs="+", default=[16])
    parser.add_argument(
        "--as-shipped", action="store_true", help="cross-validate with 8-bit weights and second look too"
    )
    parser.add_argument("--predictions", type=Path, help="JSON file for the out-of-fold predictions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    grid = ("lr", "epochs", "soup", "rehearsal", "rehearsal_written", "text_weight", "weight_decay", "batch_rows")
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(args.base / "tokenizer.json"))
    base = LlamaForCausalLM.from_pretrained(args.base, dtype=torch.float32).to(args.device)
    general, written = topic_pairs(args.corpus, args.written, args.jobs)
    known: Known = (general, written)
    if args.labels:
        labels = [json.loads(line) for line in args.labels.read_text(encoding="utf-8").splitlines()]
    else:
        known = (general, [])
        labels = [{"text": text, "topic": topic} for text, _, topic in written]
    references = [row["topic"] for row in labels]
    if args.folds:
        zero = write_topics(base, tokenizer, [row["text"] for row in labels])
        print("RESULT", json.dumps({"before adaptation": summary(zero, references)}), flush=True)
    best: tuple[float, dict, dict[str, list[str]]] | None = None
    for values in itertools.product(*(getattr(args, name) for name in grid)):
        one = argparse.Namespace(**{**vars(args), **dict(zip(grid, values, strict=True))})
        settings = dict(zip(grid, values, strict=True))
        if args.folds:
            predictions, shipped = cross_validate(base, tokenizer, labels, known, one)
            result = {**settings, **summary(predictions, references)}
            topics = {"out_of_fold": predictions}
            if args.as_shipped:
                topics = {"out_of_fold": shipped, "likeliest": predictions}
                result["as shipped"] = summary(shipped, references)
            print("RESULT", json.dumps(result), flush=True)
            mean = bootstrap(score(topics["out_of_fold"], references)["rouge1"]).mean
            if best is None or mean > best[0]:
                best = (mean, settings, topics)
        else:
            best = (0.0, settings, {})
    if args.predictions and best:
        args.predictions.write_text(json.dumps({"settings": best[1], **best[2]}, indent=0))
    if args.out and best:
        one = argparse.Namespace(**{**vars(args), **best[1]})
        model = soup(base, tokenizer, [(r["text"], TOPIC, r["topic"]) for r in labels], known, one)
        mini.save(model, args.out)
        tokenizer.save(str(args.out / "tokenizer.json"))
        print("RESULT", json.dumps({"written": best[1], "general": general_summary(model, tokenizer, args.corpus)}))


if __name__ == "__main__":
    main()
