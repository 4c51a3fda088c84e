"""``topicgen themes`` and ``topicgen report`` on the command line: options, and what they ask for."""

import argparse
import sys
from typing import TYPE_CHECKING

from topicgen import config
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK, UsageError
from topicgen.terminal import say

if TYPE_CHECKING:
    from topicgen.themes.job import ThemesJob

DESCRIPTION = """\
Groups the topics of a collection into themes and names them; later documents join.

  topicgen themes topics.jsonl -o themes/              run files of `topicgen generate`, or tables like them
  topicgen themes more.jsonl --registry themes/        later documents
  topicgen themes rename FOLDER ID NAME                corrections, which hold in all later updates
  topicgen themes merge FOLDER ID ID                   the first into the second
  topicgen themes move FOLDER DOCUMENT_ID ID
  topicgen themes pin FOLDER ID [--off]                never renamed, merged or split
  topicgen themes export FOLDER -o labelled.jsonl      labelled examples for `topicgen train`
"""


def add_themes(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds both commands to the parser."""
    defaults = config.ReaderSettings()
    parser = commands.add_parser(
        "themes",
        help="group topics into themes, correct them, add later documents",
        description=DESCRIPTION,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help=".jsonl .csv .tsv .parquet, or a correction and what it needs"
    )
    add = parser.add_argument_group("input").add_argument
    add("--topic-column", metavar="NAME", help="column of topics (default: topic, prediction, predicted or output)")
    add("--text-column", metavar="NAME", help="column of texts (default: text, or the only one with a usual name)")
    add("--date-column", metavar="NAME", help="column of dates (default: date, published, created_at, timestamp, year)")
    add("--label-column", metavar="NAME", action="append", default=[], help="column to keep, such as a category")
    add("--encoding", metavar="NAME", default=defaults.encoding, help="encoding of text files (default: UTF-8)")
    add("--delimiter", metavar="CHAR", default=defaults.delimiter, help="field delimiter of CSV (default: comma)")
    add = parser.add_argument_group("themes").add_argument
    add("--themes", type=int, metavar="N", help="number of themes (default: chosen from the data)")
    add("--granularity", type=float, metavar="X", help="0: few and broad, 1: many and narrow")
    add("--embedder", metavar="NAME", help="model of sentence-transformers or model2vec beside the default")
    add("--registry", metavar="FOLDER", help="themes that the documents join; new ones are born where none is near")
    add("--model", default="mini", help="what writes the names: mini, a model folder, or a hub id (default: mini)")
    add("--no-model-names", action="store_true", help="name each theme by its most central topic")
    add = parser.add_argument_group("corrections").add_argument
    add("--off", action="store_true", help="of pin: end it")
    add("--corrected", action="store_true", help="of export: only what a person corrected")
    add = parser.add_argument_group("output").add_argument
    add("-o", "--output", metavar="FOLDER", help="folder to write (default: that of --registry); of export: a file")
    add("--no-text", action="store_true", help="do not keep the texts in the folder")
    add("--no-report", action="store_true", help="do not write report.html")
    add("--force", action="store_true", help="replace earlier themes, or an earlier export")
    add("-q", "--quiet", action="store_true", help="no notices")
    parser.set_defaults(run=run_themes)
    _add_report(commands, epilog)


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    parser = commands.add_parser(
        "report",
        help="write the report of a themes folder again, and open it",
        description="Writes the report of a themes folder: one page that needs no network, or Markdown.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="what `topicgen themes` wrote")
    parser.add_argument("--format", choices=["html", "md"], default="html", help="default: html")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.set_defaults(run=run_report)


def run_themes(args: argparse.Namespace) -> int:
    """``topicgen themes``."""
    from topicgen.themes.correcting import CORRECTIONS, run_correction

    speak = (lambda _: None) if args.quiet else say
    if args.inputs[0] in CORRECTIONS:
        _refuse_options_of_grouping(args)
        run_correction(
            args.inputs[0],
            args.inputs[1:],
            output=args.output,
            on=not args.off,
            corrected=args.corrected,
            force=args.force,
            say=speak,
        )
        return EXIT_OK
    if args.off or args.corrected:
        raise UsageError("--off is for `themes pin`, and --corrected for `themes export`")
    return EXIT_OK if _job(args).run() else EXIT_INCOMPLETE


def run_report(args: argparse.Namespace) -> int:
    """``topicgen report``."""
    from topicgen.themes.correcting import rewrite_report

    path = rewrite_report(args.folder, args.format)
    sys.stdout.write(f"{path}\n")
    if args.open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            say(f"no browser could be opened; open {path}")
    return EXIT_OK


def _refuse_options_of_grouping(args: argparse.Namespace) -> None:
    act = args.inputs[0]
    given = {
        "--registry": args.registry,
        "--themes": args.themes is not None,
        "--granularity": args.granularity is not None,
        "--no-text": args.no_text,
        "--off": args.off and act != "pin",
        "--corrected": args.corrected and act != "export",
        "--output": args.output and act != "export",
    }
    for option, found in given.items():
        if found:
            raise UsageError(f"{option} is not for `topicgen themes {act}`; if {act!r} is a file, write ./{act}")


def _job(args: argparse.Namespace) -> "ThemesJob":
    from topicgen.themes.collection import CollectionColumns
    from topicgen.themes.job import ThemesJob

    return ThemesJob(
        inputs=args.inputs,
        output=args.output,
        registry=args.registry,
        columns=CollectionColumns(args.topic_column, args.text_column, args.date_column, tuple(args.label_column)),
        reading=config.ReaderSettings(encoding=args.encoding, delimiter=args.delimiter),
        themes=args.themes,
        granularity=args.granularity,
        model=None if args.no_model_names else args.model,
        embedder=args.embedder,
        with_text=not args.no_text,
        report=not args.no_report,
        force=args.force,
        say=(lambda _: None) if args.quiet else say,
        warn=say,
    )
