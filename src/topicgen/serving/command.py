"""``topicgen serve`` on the command line: options, and what they ask for."""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from topicgen.errors import EXIT_OK, UsageError
from topicgen.extras import require
from topicgen.serving.settings import TOKEN_VARIABLE, ServerSettings
from topicgen.terminal import say

if TYPE_CHECKING:
    from topicgen.generate import TopicGenerator

EXTRA = "serve"
LIMITS = {
    "max_documents": "documents of one request for topics; JSON lines may have any number",
    "max_theme_documents": "documents of one request for themes",
    "max_characters": "characters of one document",
    "max_body_bytes": "bytes of a JSON body",
    "max_stream_bytes": "bytes of a body of JSON lines",
    "max_requests": "requests that are answered at the same time",
    "max_connections": "open connections",
    "queue_documents": "documents that may wait for the engine",
    "header_seconds": "how long the header of a request may take",
    "body_seconds": "how long its body may take, and a second more for each 1,000 bytes",
    "request_seconds": "how long an answer may take",
    "stream_seconds": "how long an answer of JSON lines may take",
    "stall_seconds": "how long a client may leave an answer unread",
    "drain_seconds": "how long requests in flight may take after SIGTERM",
}
"""Settings that are options of the same name, and what they mean."""


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds the command to the parser."""
    defaults = ServerSettings()
    parser = commands.add_parser(
        "serve",
        help="answer requests for topics and themes over HTTP",
        description="Serves models over HTTP: topics, themes, OpenAI's chat completions; documentation at /docs.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("address").add_argument
    secret = f"any but the loopback's needs a secret in {TOKEN_VARIABLE}"
    add("--host", default=defaults.host, help=f"address to listen on (default: {defaults.host}); {secret}")
    add("--port", type=int, default=defaults.port, metavar="N", help=f"default: {defaults.port}; 0: any free one")
    add("--allowed-host", action="append", default=[], metavar="NAME", help="a name by which clients call the server")
    add = parser.add_argument_group("model").add_argument
    add("--model", nargs="+", default=["mini"], help="mini, model folders, or hub ids (default: mini)")
    add("--engine", choices=["auto", "onnx", "ct2", "hf"], default="auto", help="what runs the models (default: auto)")
    add("--threads", type=int, metavar="N", help="CPU cores to use (default: all that may be used)")
    add("--precision", choices=["int8", "float32"], default="int8", help="arithmetic on the CPU (default: int8)")
    add("--deterministic", action="store_true", help="compute each document alone: no neighbour changes its topic")
    add("--no-second-look", action="store_true", help="do not seek doubtful topics again")
    add = parser.add_argument_group("limits").add_argument
    for name, meaning in LIMITS.items():
        default = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        add(option, type=type(default), default=default, metavar="N", help=f"{meaning} (default: {default:,})")
    parser.add_argument("-q", "--quiet", action="store_true", help="no notices")
    parser.set_defaults(run=run_serve)


def run_serve(args: argparse.Namespace) -> int:
    """``topicgen serve``."""
    for library in ("fastapi", "uvicorn", "prometheus_client", "fastapi_offline", "sklearn", "scipy", "threadpoolctl"):
        if find_spec(library) is None:  # those of themes are imported by the first request that needs them
            require(library, EXTRA)
    settings = settings_of(args)
    from topicgen.serving.server import listening, serve

    speak = (lambda _: None) if args.quiet else say
    with listening(settings) as bound:
        generators = load(args)
        host, port = bound.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        serve(settings, bound, generators, lambda: speak(f"serving {', '.join(generators)} on {address}"))
    speak("stopped")
    return EXIT_OK


def settings_of(args: argparse.Namespace) -> ServerSettings:
    """The settings that the options and the environment ask for."""
    return ServerSettings(
        host=args.host,
        port=args.port,
        token=os.environ.get(TOKEN_VARIABLE) or None,
        allowed_hosts=tuple(args.allowed_host),
        deterministic=args.deterministic,
        second_look=not args.no_second_look,
        **{name: getattr(args, name) for name in LIMITS},
    )


def load(args: argparse.Namespace) -> "dict[str, TopicGenerator]":
    """The models by the names that requests use: a folder's own name, not its path."""
    from topicgen.generate import TopicGenerator

    generators: dict[str, TopicGenerator] = {}
    for model in args.model:
        name = Path(model).resolve().name if Path(model).is_dir() else model
        if name in generators:
            raise UsageError(f"two models are called {name!r}")
        generators[name] = TopicGenerator.load(
            model, engine=args.engine, threads=args.threads, precision=args.precision
        )
    return generators
