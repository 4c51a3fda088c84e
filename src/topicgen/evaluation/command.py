"""``topicgen evaluate`` on the command line: its options, and which job they ask for."""

import argparse
import sys
from typing import TYPE_CHECKING

from topicgen import config
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK, UsageError
from topicgen.terminal import say

if TYPE_CHECKING:
    from topicgen.evaluation.job import EvaluateJob

DESCRIPTION = "Scores topics of models, files and baselines against reference topics, with intervals."


def add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="score topics against references, compare models, ask people",
        description=DESCRIPTION,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("labelled", nargs="?", metavar="LABELLED", help="table of texts with reference topics")
    _add_data(parser)
    _add_systems(parser)
    _add_people(parser)
    _add_output(parser)
    parser.set_defaults(run=run_evaluate)


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("data").add_argument
    add("--references", metavar="FILE", help="the labelled table, where it is not the first argument")
    add("--encoding", metavar="NAME", help="encoding of tables (default: UTF-8, or what a byte order mark says)")
    add("--delimiter", metavar="CHAR", help="field delimiter of CSV files (default: comma)")
    add("--text-column", metavar="NAME", help="column of the text (default: by usual names)")
    add("--topic-column", metavar="NAME", action="append", default=[], help="reference topic; several for several")
    add("--id-column", metavar="NAME", help="column of unique ids (default: id, where there is one)")
    add("--title-column", metavar="NAME", help="column of titles, a baseline (default: title, where there is one)")
    add("--category-column", metavar="NAME", help="column of gold categories (default: category, where there is one)")


def _add_systems(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is scored").add_argument
    add("--model", "--models", nargs="+", action="extend", default=[], metavar="MODEL", help="mini, folder or hub id")
    add("--predictions", nargs="+", action="extend", default=[], metavar="FILE", help="topics of any other system")
    add("--predictions-column", metavar="NAME", help="their column of topics (default: topic or prediction)")
    add(
        "--system-column",
        action="append",
        default=[],
        metavar="NAME",
        help="column of LABELLED with topics of a system",
    )
    add("--baselines", action="store_true", help="also score topics made without a language model")
    add("--train", metavar="FILE", help="labelled table for the baselines that learn (default: leave one out)")
    add("--embedder", metavar="NAME", help="model of sentence-transformers or model2vec, or none (default: mini's)")
    add("--threads", type=int, metavar="N", help="CPU cores to use (default: all that may be used)")
    add(
        "--precision",
        choices=["auto", "int8", "float32", "bf16", "fp8", "nf4"],
        default="auto",
        help="arithmetic: int8 with onnx and ct2, float32 with ct2; bf16, fp8 or nf4 on a GPU (default: auto)",
    )
    add("--stability", type=int, default=0, metavar="N", help="run N documents again in other order and batches")


def _add_people(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("people and judges: two systems, pair by pair").add_argument
    add("--ask", type=int, metavar="N", help="write a blind HTML form with N documents, and its key")
    add("--answers", nargs="+", default=[], metavar="FILE", help="read saved answers: win rates and agreement")
    add("--key", metavar="FILE", help="key of the form (default: key.json in the output folder)")
    add("--judge", metavar="MODEL", help="let a model of an OpenAI-compatible server judge (OPENAI_BASE_URL)")
    add("--judge-rubric", metavar="FILE", help="text with {document}, {first} and {second} (default: built in)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    defaults = config.EvaluationSettings()
    add = parser.add_argument_group("output").add_argument
    add("-o", "--output", metavar="FOLDER", help="for metrics.json, predictions.parquet and evaluation.html")
    add("--samples", type=int, default=defaults.samples, metavar="N", help="bootstrap samples (default: 1000)")
    add(
        "--seed",
        type=int,
        default=defaults.seed,
        metavar="N",
        help="seed of bootstrap, samples and orders (default: 0)",
    )
    add("--force", action="store_true", help="overwrite an earlier evaluation")
    add("-q", "--quiet", action="store_true", help="no notices")


def run_evaluate(args: argparse.Namespace) -> int:
    """``topicgen evaluate``."""
    from topicgen.evaluation import people
    from topicgen.outputs import standard_output

    standard_output(sys.stdout, "backslashreplace")
    _check(args)
    settings = config.EvaluationSettings(
        samples=args.samples, seed=args.seed, stability=args.stability, ask=1 if args.ask is None else args.ask
    )
    key = args.key or (f"{args.output}/key.json" if args.output else "key.json")
    if args.answers and not args.judge:
        return people.tell_answers(args.answers, key, args.output, settings, args.force)
    job = _job(args, settings)
    if args.ask is not None:
        return people.ask_people(job)
    if args.judge:
        return people.ask_judge(job, args.judge, args.judge_rubric, args.answers, key)
    return EXIT_OK if job.run() else EXIT_INCOMPLETE


def _check(args: argparse.Namespace) -> None:
    """Refuses options of which one would be ignored."""
    table = args.labelled or args.references
    wrong = {
        "--train is for --baselines": args.train and not args.baselines,
        "--stability is for --model": args.stability and not args.model,
        "--ask and --judge are two calls": args.ask is not None and args.judge,
        "--ask writes a form and --answers reads one: two calls": args.ask is not None and args.answers,
        "--answers needs no table, unless with --judge": args.answers and table and not args.judge,
    }
    for message, found in wrong.items():
        if found:
            raise UsageError(message)


def _job(args: argparse.Namespace, settings: config.EvaluationSettings) -> "EvaluateJob":
    from topicgen.evaluation.examples import LabelledColumns
    from topicgen.evaluation.job import EvaluateJob

    if (args.labelled is None) == (args.references is None):
        raise UsageError("name one labelled table, as the first argument or with --references")
    return EvaluateJob(
        labelled=args.labelled or args.references,
        columns=LabelledColumns(
            text=args.text_column,
            id=args.id_column,
            references=tuple(args.topic_column),
            title=args.title_column,
            category=args.category_column,
            predictions=tuple(args.system_column),
        ),
        reading=config.ReaderSettings(encoding=args.encoding, delimiter=args.delimiter),
        models=args.model,
        predictions=args.predictions,
        predictions_column=args.predictions_column,
        baselines=args.baselines,
        training=args.train,
        embedder=args.embedder,
        settings=settings,
        output=args.output,
        force=args.force,
        load_options={"threads": args.threads, "precision": args.precision},
        say=(lambda _: None) if args.quiet else say,
        warn=say,
    )
