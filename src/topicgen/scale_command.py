"""The options of `topicgen generate --engine ray`, and from them what runs it."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, get_args

from topicgen.config import RayEngine, ScaleSettings
from topicgen.errors import UsageError

if TYPE_CHECKING:
    from topicgen.scale import ScaledJob


def add_scaling(parser: argparse.ArgumentParser) -> None:
    """Adds the options; those that are not given stay None, so that they can be refused with another engine."""
    add = parser.add_argument_group("several machines (--engine ray)").add_argument
    add("--ray-address", metavar="ADDRESS", help="a running Ray cluster, or auto (default: one on this machine only)")
    add("--ray-engine", choices=get_args(RayEngine), help="what runs the model on each worker (default: auto)")
    add("--ray-block", type=int, metavar="N", help="documents of a block, and rows of an output file (default: 5000)")
    add("--ray-workers", type=int, metavar="N", help="most workers (default: as many as there is room for)")


def scaled_job(args: argparse.Namespace) -> "Callable[..., ScaledJob] | None":
    """What makes the job, or None where another engine was named.

    Raises:
        UsageError: When an option is out of bounds, or given with another engine.
    """
    names = ("address", "engine", "block", "workers")
    given = {name: value for name in names if (value := getattr(args, f"ray_{name}")) is not None}
    if args.engine == "ray":
        settings = ScaleSettings(**given)
        from topicgen.scale import ScaledJob

        return partial(ScaledJob, scale=settings)
    if given:
        raise UsageError(f"--ray-{next(iter(given))} needs --engine ray")
    return None
