"""``topicgen train`` on the command line: one option for each setting, and which job they ask for."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from topicgen.config import ReaderSettings
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK, UsageError
from topicgen.terminal import say
from topicgen.training.settings import BASE_DEFAULTS, TrainingSettings, combine, read_recipe

DESCRIPTION = "Fine-tunes a Llama with LoRA, so that it writes topics like those of your examples."


def add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="fine-tune a model on labelled texts",
        description=DESCRIPTION,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("data", nargs="+", metavar="LABELLED", help="tables of texts with topics, a folder, or a hub data set id")
    add("--recipe", metavar="FILE", help="YAML file of settings; options go before it")
    add("--preview", type=int, metavar="N", help="print the tokens of N examples, those with loss marked, and stop")
    add("--merge", metavar="FOLDER", help="also write merged weights, checked against adapter and base")
    add("--encoding", metavar="NAME", help="encoding of tables (default: UTF-8, or what a byte order mark says)")
    add("--delimiter", metavar="CHAR", help="field delimiter of CSV files (default: comma)")
    add("--force", action="store_true", help="overwrite a finished model in the output folder")
    add("-q", "--quiet", action="store_true", help="no progress, no notices")
    group = parser.add_argument_group("settings (also names of a recipe, with _ for -)")
    for setting in fields(TrainingSettings):
        _add_setting(group, setting)
    parser.set_defaults(run=run_train)


def _add_setting(group: Any, setting: Any) -> None:
    default = "" if setting.default is None else f" (default: {setting.default})"
    options: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
    options["help"] = (setting.metadata["help"] + default).replace("%", "%%")
    if "bool" in str(setting.type):
        options["action"] = argparse.BooleanOptionalAction
    elif choices := get_args(setting.type):
        if all(isinstance(choice, str) for choice in choices):
            options["choices"] = choices
        else:
            options["metavar"] = "N" if int in choices or float in choices else "NAME"
    else:
        options["metavar"] = "N" if setting.type in (int, float) else "NAME"
    group.add_argument("--" + setting.name.replace("_", "-"), **options)


def run_train(args: argparse.Namespace) -> int:
    """``topicgen train``."""
    asked = {f.name: getattr(args, f.name) for f in fields(TrainingSettings) if hasattr(args, f.name)}
    recipe = read_recipe(Path(args.recipe)) if args.recipe else {}
    base = asked.get("base") or recipe.get("base") or TrainingSettings().base
    settings = combine(BASE_DEFAULTS.get(str(base), {}), recipe, asked)
    if args.preview is not None and args.preview < 1:
        raise UsageError(f"--preview needs a positive number, not {args.preview}")
    from topicgen.training.job import TrainJob

    job = TrainJob(
        inputs=args.data,
        settings=settings,
        reading=ReaderSettings(encoding=args.encoding, delimiter=args.delimiter),
        preview=args.preview,
        merge=Path(args.merge) if args.merge else None,
        force=args.force,
        say=(lambda _: None) if args.quiet else say,
        warn=say,
        quiet=args.quiet,
    )
    return EXIT_INCOMPLETE if job.run().failed else EXIT_OK
