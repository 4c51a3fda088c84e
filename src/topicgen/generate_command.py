"""The options of `topicgen generate`, and from them the job that runs it."""

import argparse
import sys
from typing import get_args

from topicgen import config
from topicgen.scale_command import add_scaling, scaled_job
from topicgen.terminal import say


def add_generate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds the command and its options."""
    reader, generation = config.ReaderSettings(), config.GenerationSettings()
    parser = commands.add_parser(
        "generate",
        help="write a topic for every document",
        description="Writes a topic for every document of files, folders or standard input.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help=".txt .md .csv .tsv .jsonl .parquet (all but the last also .gz), a folder, or -",
    )
    group = parser.add_argument_group("input")
    add = group.add_argument
    add(
        "--input-format",
        choices=get_args(config.InputFormat),
        default=reader.input_format,
        help="default: by file name",
    )
    add(
        "--unit",
        choices=get_args(config.Unit),
        default=reader.unit,
        help="one document of a text file (default: paragraph)",
    )
    add("--text-column", metavar="NAME", help="column that holds the text")
    add("--id-column", metavar="NAME", help="column that holds a unique id (default: derived from source and position)")
    add("--keep", metavar="A,B", default="", help="columns to carry into the output; a column named id becomes the id")
    add("--encoding", metavar="NAME", help="encoding of text files (default: UTF-8, or what a byte order mark says)")
    add("--delimiter", metavar="CHAR", help="field delimiter of CSV files (default: comma)")
    group = parser.add_argument_group("model")
    add = group.add_argument
    add(
        "--model",
        default="mini",
        help="mini, a model folder, a hub id, or with --engine openai a name on the server (default: mini)",
    )
    add(
        "--engine",
        choices=["auto", "onnx", "ct2", "hf", "vllm", "openai", "ray"],
        default="auto",
        help="what runs the model (default: auto)",
    )
    add(
        "--threads",
        type=int,
        metavar="N",
        help="CPU cores to use (default: all that may be used), or requests at once of openai (default: 16)",
    )
    add(
        "--precision",
        choices=["auto", "int8", "float32", "bf16", "fp8", "nf4"],
        default="auto",
        help="arithmetic: int8 with onnx and ct2, float32 with ct2; bf16, fp8 or nf4 on a GPU (default: auto)",
    )
    add(
        "--topics",
        type=int,
        default=generation.topics,
        metavar="N",
        help="distinct topics for a document, best first (default: 1)",
    )
    add(
        "--max-passages",
        type=int,
        default=generation.max_passages,
        metavar="N",
        help="passages of a document that is longer than the model reads (default: 256; 1: only its beginning)",
    )
    add(
        "--max-topic-tokens",
        type=int,
        default=generation.max_topic_tokens,
        metavar="N",
        help="longest topic (default: 16)",
    )
    add(
        "--temperature",
        type=float,
        default=generation.temperature,
        metavar="T",
        help="above 0: sample (default: 0, deterministic)",
    )
    add("--deterministic", action="store_true", help="compute each document alone: no neighbour changes its topic")
    add("--seed", type=int, default=generation.seed, metavar="N", help="seed of sampling (default: 0)")
    add("--no-second-look", action="store_true", help="do not seek again when a topic has a word foreign to the text")
    add_scaling(parser)
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("-o", "--output", metavar="FILE", help=".jsonl, .csv or .parquet (default: standard output)")
    add(
        "--format",
        choices=get_args(config.OutputFormat),
        help="default: by file name; a table on a terminal, else jsonl",
    )
    add("--with-text", action="store_true", help="carry the text into the output")
    add("--escape-formulas", action="store_true", help="make CSV cells safe that a spreadsheet would run")
    add(
        "--quarantine", metavar="FILE", help="where bad rows go (default: OUTPUT.quarantine.jsonl, or quarantine.jsonl)"
    )
    add("--force", action="store_true", help="start anew: overwrite an output, also that of a run")
    add(
        "--dry-run",
        action="store_true",
        help="write nothing; estimate documents, time and memory from a sample",
    )
    add("--no-cache", action="store_true", help="generate topics that the cache has too, and add none to it")
    add("-q", "--quiet", action="store_true", help="no progress bar, no notices")
    add("-v", "--verbose", action="store_true", help="say more on stderr")
    parser.set_defaults(run=run_generate)


def run_generate(args: argparse.Namespace) -> int:
    """``topicgen generate``."""
    from topicgen.job import GenerateJob

    keep = tuple(name for name in args.keep.split(",") if name)
    job = (scaled_job(args) or GenerateJob)(
        inputs=args.inputs,
        reader=config.ReaderSettings(
            input_format=args.input_format,
            unit=args.unit,
            encoding=args.encoding,
            delimiter=args.delimiter,
            text_column=args.text_column,
            id_column=args.id_column,
            keep=keep,
            **({"max_characters": config.LONG_CHARACTERS} if args.max_passages > 1 else {}),
        ),
        generation=config.GenerationSettings(
            max_topic_tokens=args.max_topic_tokens,
            topics=args.topics,
            max_passages=args.max_passages,
            temperature=args.temperature,
            seed=args.seed,
            second_look=not args.no_second_look,
            deterministic=args.deterministic,
        ),
        output=None if args.output == "-" else args.output,
        output_format=args.format,
        with_text=args.with_text,
        escape_formulas=args.escape_formulas,
        quarantine=args.quarantine,
        force=args.force,
        model=args.model,
        cache=not args.no_cache,
        load_options={"engine": args.engine, "threads": args.threads, "precision": args.precision},
        say=(lambda _: None) if args.quiet else say,
        warn=say,
        verbose=args.verbose,
        progress=not args.quiet and sys.stderr.isatty(),
    )
    return job.estimate() if args.dry_run else job.run()
