"""``topicgen export`` on the command line."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from topicgen.errors import EXIT_OK
from topicgen.export.settings import ExportSettings, TargetName, WeightType
from topicgen.terminal import say

DESCRIPTION = """\
Writes a model in a form that other programs run, loads it again and compares its topics with those of the model.
"""


def add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write a model for llama.cpp, Ollama, CTranslate2, transformers or the hub",
        description=DESCRIPTION,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="mini, a model folder, or a hub id")
    add("--to", required=True, choices=get_args(TargetName), help="the form")
    add("-o", "--output", metavar="FOLDER", help="folder to write (default: MODEL-FORM; none for hub)")
    add(
        "--type",
        dest="weights",
        choices=get_args(WeightType),
        default="auto",
        help="numbers of the weights (default: as stored; int8 for ct2, float16 for gguf and ollama)",
    )
    add("--repo", metavar="OWNER/NAME", help="hub repository; the token comes from HF_TOKEN")
    add("--public", action="store_true", help="make a new hub repository public (default: private)")
    add("--dry-run", action="store_true", help="show what would be sent to the hub, and send nothing")
    add("--force", action="store_true", help="replace an earlier export; add to an existing hub repository")
    add("-q", "--quiet", action="store_true", help="no notices")
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    """``topicgen export``."""
    settings = ExportSettings(
        to=args.to, weights=args.weights, repo=args.repo, public=args.public, dry_run=args.dry_run
    )
    from topicgen.export.job import ExportJob

    job = ExportJob(
        model=args.model,
        settings=settings,
        output=Path(args.output) if args.output else None,
        force=args.force,
        say=(lambda _: None) if args.quiet else say,
    )
    sys.stdout.write(job.run())
    return EXIT_OK
