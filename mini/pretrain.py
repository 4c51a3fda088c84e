"""Corpus shards and a tokenizer in, a pre-trained Llama that writes titles and topics out.

    python mini/pretrain.py --corpus build/corpus --tokenizer build/tokenizer.json --out build/base --seconds 560

Matrices learn by Muon, embeddings and norms by AdamW; the learning rate is warmed up, held, and cooled down to zero.
The length of the run is a number of seconds, so that a rented GPU is used to the last one; log.jsonl tells the tokens.
"""

import argparse
import json
import time
from pathlib import Path

import model as mini
import numpy as np
import torch
from rows import CONTEXT, Rows, cut, encode, epochs, fill, load_corpus, pack, place
from shards import read_shard
from tokenizer import TITLE
from tokenizers import Tokenizer


def optimizers(model, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.model.layers.named_parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(
        others, lr=args.embedding_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=args.device != "cpu"
    )
    if args.optimizer == "adamw":
        return [adam, torch.optim.AdamW(matrices, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)]
    muon = torch.optim.Muon(matrices, lr=args.lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [adam, muon]


def schedule(progress: float, step: int, warmup: int, cooldown: float) -> float:
    """Factor of the learning rate: linear warm-up by steps, flat, linear cool-down over the last share."""
    return min(1.0, (step + 1) / warmup, max(0.0, (1 - progress) / cooldown))


def held_out_rows(args: argparse.Namespace, tokenizer: Tokenizer) -> dict[str, Rows]:
    rows = list(read_shard(args.corpus / "heldout.jsonl.xz"))
    parts = {
        "arxiv": [r for r in rows if r["domain"] == "arxiv"],
        "general": [r for r in rows if r["domain"] != "arxiv"],
    }
    return {
        name: place(*pack(*encode(tokenizer, [(r["text"], TITLE, r["title"]) for r in part])), args.device)
        for name, part in parts.items()
    }


@torch.no_grad()
def validate(trainer: mini.Trainer, held_out: dict[str, Rows], args: argparse.Namespace) -> dict[str, float]:
    """Title loss in nats a token on held-out texts."""
    result = {}
    for name, rows in held_out.items():
        total, weight = 0.0, 0.0
        for part in cut(rows.lengths, args.batch_tokens, args.most):
            chosen = np.arange(len(rows.lengths))[part]
            loss, weights = trainer.loss(fill(rows, chosen, args.batch_tokens, 0.0, 1.0, args.most))
            total, weight = total + float(loss), weight + float(weights)
        result[f"title_loss_{name}"] = round(total / weight, 4)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="time of training, without loading and compiling")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--inner", type=int, default=1408)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--embedding-lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--cooldown", type=float, default=0.4, help="share of the run")
    parser.add_argument("--batch-tokens", type=int, default=131072)
    parser.add_argument("--text-weight", type=float, default=0.5)
    parser.add_argument("--target-weight", type=float, default=2.0)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--shards", type=int, default=None, help="use only the first shards")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    args.most = (
        args.batch_tokens // 32 + args.batch_tokens // CONTEXT + 2
    )  # documents of a batch; a text has over 32 tokens
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    shards = sorted(args.corpus.glob("corpus-*.jsonl.xz"))[: args.shards]
    forms = [load_corpus(args.tokenizer, shards, form, args.device, args.jobs) for form in ("title", "topic")]
    held_out = held_out_rows(args, tokenizer)
    model = mini.build(tokenizer, args.layers, args.width, args.inner, args.heads, args.kv_heads).to(args.device)
    print(
        f"{len(forms[0].lengths)} rows, {len(forms[0].tokens):,} tokens, {model.num_parameters():,} parameters",
        flush=True,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    fit(model, forms, held_out, args)
    mini.save(model, args.out)
    tokenizer.save(str(args.out / "tokenizer.json"))


def fit(model, forms: list[Rows], held_out: dict[str, Rows], args: argparse.Namespace) -> None:
    trainer = mini.Trainer(model, compiled=args.device != "cpu")
    chosen = optimizers(model, args)
    groups = [group for optimizer in chosen for group in optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    source = epochs(forms, args.batch_tokens, args.seed, args.most)
    began = started = time.time()
    tokens, step, counted = 0, 0, 0
    with (args.out / "log.jsonl").open("w") as log:

        def record(**fields: object) -> None:
            line = {"step": step, "tokens": tokens, "seconds": round(time.time() - started, 1), **fields}
            log.write(json.dumps(line) + "\n")
            log.flush()
            print(line, flush=True)

        record(settings={k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()})
        while (progress := (time.time() - started) / args.seconds) < 1:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate * schedule(progress, step, args.warmup, args.cooldown)
            summed, weights = trainer.loss(
                fill(*next(source), args.batch_tokens, args.text_weight, args.target_weight, args.most)
            )
            loss = summed / weights
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in chosen:
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            tokens += args.batch_tokens
            if step % 10 == 0:
                running = loss.item()  # also keeps the CPU from running ahead of the GPU, and the clock honest
            if step == 10:  # the graphs are compiled: the clock starts here
                started, counted = time.time(), tokens
                record(compile_seconds=round(started - began, 1), loss=round(running, 4))
            if step % 200 == 0:
                record(loss=round(running, 4), tokens_per_second=round((tokens - counted) / (time.time() - started)))
        speed = round((tokens - counted) / (time.time() - started))
        record(loss=round(running, 4), tokens_per_second=speed, **validate(trainer, held_out, args))


if __name__ == "__main__":
    main()
