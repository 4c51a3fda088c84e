"""The command line: arguments in, exit code out. Each command imports what it needs when it runs."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import get_args

from topicgen import config
from topicgen.errors import (
    EXIT_FAILURE,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TERMINATED,
    TerminatedError,
    UserError,
)
from topicgen.evaluation.command import add_evaluate
from topicgen.serving.command import add_serve
from topicgen.terminal import say
from topicgen.themes.command import add_themes
from topicgen.training.command import add_train
from topicgen.version import __version__

EPILOG = """\
exit codes: 0 ok; 1 failure; 2 wrong usage; 3 some of the input could not be read, the rest is written;
130 interrupted (Ctrl-C); 143 terminated. Data goes to stdout, everything else to stderr.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="topicgen",
        description="Writes a topic for every paragraph of a text collection with a language model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"topicgen {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_generate(commands)
    add_train(commands, EPILOG)
    add_evaluate(commands, EPILOG)
    add_themes(commands, EPILOG)
    add_serve(commands, EPILOG)
    doctor = commands.add_parser("doctor", help="report versions, devices, models, caches and what is missing")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=run_doctor)
    return parser


def _add_generate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    reader, generation = config.ReaderSettings(), config.GenerationSettings()
    parser = commands.add_parser(
        "generate",
        help="write a topic for every document",
        description="Writes a topic for every document of files, folders or standard input.",
        epilog=EPILOG,
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
    add("--model", default="mini", help="mini, a model folder, or a hub id (default: mini)")
    add("--engine", choices=["auto", "ct2", "hf"], default="auto", help="what runs the model (default: auto)")
    add("--threads", type=int, metavar="N", help="CPU cores to use (default: all that may be used)")
    add("--precision", choices=["int8", "float32"], default="int8", help="arithmetic of ct2 (default: int8)")
    add(
        "--topics",
        type=int,
        default=generation.topics,
        metavar="N",
        help="distinct topics for a document, best first (default: 1)",
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
    add("--force", action="store_true", help="overwrite an existing output")
    add("-q", "--quiet", action="store_true", help="no progress bar, no notices")
    add("-v", "--verbose", action="store_true", help="say more on stderr")
    parser.set_defaults(run=run_generate)


def run_doctor(args: argparse.Namespace) -> int:
    """``topicgen doctor``."""
    import json

    from topicgen.doctor import describe, examine

    state = examine()
    sys.stdout.write((json.dumps(state, indent=2) if args.json else describe(state)) + "\n")
    return EXIT_FAILURE if state["problems"] else EXIT_OK


def run_generate(args: argparse.Namespace) -> int:
    """``topicgen generate``."""
    from topicgen.job import GenerateJob

    keep = tuple(name for name in args.keep.split(",") if name)
    job = GenerateJob(
        inputs=args.inputs,
        reader=config.ReaderSettings(
            input_format=args.input_format,
            unit=args.unit,
            encoding=args.encoding,
            delimiter=args.delimiter,
            text_column=args.text_column,
            id_column=args.id_column,
            keep=keep,
        ),
        generation=config.GenerationSettings(
            max_topic_tokens=args.max_topic_tokens,
            topics=args.topics,
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
        load_options={"engine": args.engine, "threads": args.threads, "precision": args.precision},
        say=(lambda _: None) if args.quiet else say,
        warn=say,
        verbose=args.verbose,
        progress=not args.quiet and sys.stderr.isatty(),
    )
    return EXIT_INCOMPLETE if job.run().failed else EXIT_OK


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise TerminatedError


def _leave_quietly() -> None:
    """The reader of stdout went away: nothing may be written to it any more, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = build_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    if sys.stderr is None:  # closed before the start
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        if sys.stdout is None:
            raise UserError("standard output is closed; send it to a file, or to /dev/null")
        code = run(args)
        sys.stdout.flush()
        return code
    except UserError as error:
        say(str(error))
        return error.exit_code
    except BrokenPipeError:
        _leave_quietly()
        return EXIT_OK
    except KeyboardInterrupt:
        say("interrupted; what was written is kept")
        return EXIT_INTERRUPTED
    except TerminatedError:
        say("terminated; what was written is kept")
        return EXIT_TERMINATED
    except OSError as error:  # such as a full disk behind standard output
        _leave_quietly()
        say(f"{error.filename or 'standard output'}: {error.strerror or error}")
        return EXIT_FAILURE
    except MemoryError:
        say("out of memory")
        return EXIT_FAILURE
    finally:
        signal.signal(signal.SIGTERM, previous)
