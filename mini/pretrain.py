"""Corpus shards and a tokenizer in, a pre-trained Llama that writes titles and topics out.

    python mini/pretrain.py --corpus build/corpus --tokenizer build/tokenizer.json --out build/base --seconds 560
    torchrun --nproc-per-node 2 mini/pretrain.py ...     # the same on two GPUs: twice the batch

Titles come behind <|title|>. Texts with a topic that was written for this project have it in half of the passes behind
<|topic|>, other general texts what their title names. While the learning rate cools down, a share of the batches has
written topics only. With teachers, models of earlier runs, a target is learnt from what they expect as well as from the
title itself: a model that reads its corpus many times learns titles by heart, their expectations it cannot.
Matrices learn by Muon, embeddings and norms by AdamW; the learning rate is warmed up, held, and cooled down to zero.
The length of the run is a number of seconds, so that a rented GPU is used to the last one; log.jsonl tells the tokens.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

import model as mini
import numpy as np
import torch
import torch.distributed as dist
from rows import CONTEXT, Rows, cut, encode, epochs, fill, load_corpus, pack, place
from shards import read_shard
from tokenizer import TITLE
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM


def optimizers(model, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.model.layers.named_parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(
        others, lr=args.embedding_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=args.device != "cpu"
    )
    if args.optimizer == "adamw":
        return [adam, torch.optim.AdamW(matrices, lr=args.lr, betas=(0.9, 0.95), weight_decay=args.weight_decay)]
    muon = torch.optim.Muon(
        matrices, lr=args.lr, weight_decay=args.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
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


class Clock:
    """Progress of the run from 0 to 1. With several processes that of the first, so that all end on the same step."""

    def __init__(self, seconds: float, device: str) -> None:
        self.seconds, self.device = seconds, device
        self.started = time.time()
        self.progress = 0.0

    def restart(self) -> None:
        self.started = time.time()

    def read(self) -> None:
        now = torch.tensor((time.time() - self.started) / self.seconds, device=self.device)
        if dist.is_initialized():
            dist.broadcast(now, 0)
        self.progress = now.item()


def average_gradients(model) -> None:
    """Mean over all processes of each gradient, in place."""
    if dist.is_initialized():
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


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
    parser.add_argument("--init", type=Path, help="go on from this model folder instead of random weights")
    parser.add_argument(
        "--teachers", type=Path, nargs="*", default=[], help="model folders: targets are learnt from their mean"
    )
    parser.add_argument("--softness", type=float, default=0.7, help="share of the teachers in the loss of a target")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--inner", type=int, default=1920)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=1)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--embedding-lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.6, help="of the matrices")
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--cooldown", type=float, default=0.4, help="share of the run")
    parser.add_argument("--batch-tokens", type=int, default=131072, help="of each process")
    parser.add_argument("--text-weight", type=float, default=0.5)
    parser.add_argument("--target-weight", type=float, default=2.0)
    parser.add_argument("--topics", type=Path, nargs="*", default=[], help="tables of topics by the hash of their text")
    parser.add_argument(
        "--topic-share", type=float, default=0.25, help="of the batches of the cool-down: topics, not titles"
    )
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--shards", type=int, default=None, help="use only the first shards")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    args.most = (
        args.batch_tokens // 32 + args.batch_tokens // CONTEXT + 2
    )  # documents of a batch; a text has over 32 tokens
    if "RANK" in os.environ:
        cuda = args.device != "cpu"
        dist.init_process_group("nccl" if cuda else "gloo")
        args.device = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else "cpu"
        if cuda:
            torch.cuda.set_device(args.device)
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    shards = sorted(args.corpus.glob("corpus-*.jsonl.xz"))[: args.shards]
    titles, topics = load_corpus(args.tokenizer, shards, args.topics, args.device, args.jobs)
    held_out = held_out_rows(args, tokenizer)
    if args.init:
        model = LlamaForCausalLM.from_pretrained(args.init, dtype=torch.float32).to(args.device)
    else:
        shape = (args.layers, args.width, args.inner, args.heads, args.kv_heads, args.head_dim)
        model = mini.build(tokenizer, *shape).to(args.device)
    print(
        f"{len(titles.lengths)} rows, {len(topics.lengths)} with a written topic, {len(titles.tokens):,} tokens, "
        f"{model.num_parameters():,} parameters",
        flush=True,
    )
    teachers = [
        mini.Trainer(
            LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(args.device), args.device != "cpu"
        )
        for folder in args.teachers
    ]
    fit(model, teachers, titles, topics, held_out, args)
    if first_process():
        mini.save(model, args.out)
        tokenizer.save(str(args.out / "tokenizer.json"))
    if dist.is_initialized():
        dist.destroy_process_group()


def first_process() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def fit(
    model, teachers: list[mini.Trainer], titles: Rows, topics: Rows, held_out: dict[str, Rows], args: argparse.Namespace
) -> None:
    trainer = mini.Trainer(model, compiled=args.device != "cpu")
    chosen = optimizers(model, args)
    groups = [group for optimizer in chosen for group in optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    sources = [
        itertools.islice(epochs(rows, args.batch_tokens, args.seed, args.most), rank, None, world)
        for rows in (titles, topics)
    ]
    dice = np.random.default_rng(args.seed)  # the same in all processes
    clock, began = Clock(args.seconds, args.device), time.time()
    tokens, step, counted, running = 0, 0, 0, float("nan")
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "log.jsonl" if rank == 0 else Path(os.devnull)).open("w") as log:

        def record(**fields: object) -> None:
            if rank == 0:
                line = {"step": step, "tokens": tokens, "seconds": round(time.time() - clock.started, 1), **fields}
                log.write(json.dumps(line, default=str) + "\n")
                log.flush()
                print(line, flush=True)

        record(settings=vars(args), processes=world)
        while clock.progress < 1:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate * schedule(clock.progress, step, args.warmup, args.cooldown)
            topical = clock.progress > 1 - args.cooldown and dice.random() < args.topic_share
            rows, chosen_rows = next(sources[topical])
            batch = fill(rows, chosen_rows, args.batch_tokens, args.text_weight, args.target_weight, args.most)
            summed, weights = (
                trainer.distil(batch, teachers, args.target_weight, args.softness) if teachers else trainer.loss(batch)
            )
            loss = summed / weights
            loss.backward()
            average_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in chosen:
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            tokens += args.batch_tokens * world
            if step % 10 == 0:
                running = loss.item()
                if step == 10:  # the graphs are compiled: the clock starts here
                    clock.restart()
                    counted = tokens
                    record(compile_seconds=round(time.time() - began, 1), loss=round(running, 4))
                clock.read()  # waits for the GPU, which keeps the processor from running ahead and the clock honest
            if step % 200 == 0:
                speed = round((tokens - counted) / (time.time() - clock.started))
                record(loss=round(running, 4), tokens_per_second=speed)
        speed = round((tokens - counted) / (time.time() - clock.started))
        record(loss=round(running, 4), tokens_per_second=speed, **validate(trainer, held_out, args))


if __name__ == "__main__":
    main()
