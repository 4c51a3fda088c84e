"""The command line: arguments in, exit code out. Each command imports what it needs when it runs."""

import argparse
import atexit
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from topicgen.errors import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TERMINATED,
    TerminatedError,
    UserError,
)
from topicgen.evaluation.command import add_evaluate
from topicgen.export.command import add_export
from topicgen.generate_command import add_generate
from topicgen.runs.command import add_runs
from topicgen.serving.command import add_serve
from topicgen.terminal import say
from topicgen.themes.command import add_themes
from topicgen.training.command import add_train
from topicgen.version import __version__

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EPILOG = """\
exit codes: 0 ok; 1 failure; 2 wrong usage; 3 some documents could not be read or failed, the rest is written;
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
    add_generate(commands, EPILOG)
    add_runs(commands, EPILOG)
    add_train(commands, EPILOG)
    add_evaluate(commands, EPILOG)
    add_themes(commands, EPILOG)
    add_serve(commands, EPILOG)
    add_export(commands, EPILOG)
    doctor = commands.add_parser("doctor", help="report versions, devices, models, caches and what is missing")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=run_doctor)
    return parser


def run_doctor(args: argparse.Namespace) -> int:
    """``topicgen doctor``."""
    import json

    from topicgen.doctor import describe, examine

    state = examine()
    sys.stdout.write((json.dumps(state, indent=2) if args.json else describe(state)) + "\n")
    return EXIT_FAILURE if state["problems"] else EXIT_OK


def _leave_quietly() -> None:
    """The reader of stdout went away: nothing may be written to it any more, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Without ``argv`` it is the process's own command, after which the process ends. Threads may still hold it up; a
    signal then ends it at once, with the same exit code.
    """
    args = build_parser().parse_args(argv)
    if argv is None:
        atexit.register(_ignore_signals)  # early, so that it comes last: Python's own end is short
    if sys.stderr is None:  # closed before the start
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        """The first SIGTERM ends the command; those that follow would only interrupt its end."""
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_IGN)
        raise TerminatedError

    signal.signal(signal.SIGTERM, end)
    if previous[signal.SIGINT] is signal.default_int_handler:  # nohup and shells in the background ignore it
        signal.signal(signal.SIGINT, end)
    try:
        code = _run(args)
    except KeyboardInterrupt:
        code = _ended(signal.SIGINT)
    except TerminatedError:
        code = _ended(signal.SIGTERM)
    except Exception:
        if not came:
            raise
        code = _ended(came[0])  # a library that was just being loaded turned the signal into an error of its own
    finally:
        if argv is not None:
            for number, handler in previous.items():
                signal.signal(number, handler or signal.SIG_DFL)
    if argv is None:
        for number in SIGNALS:
            signal.signal(number, lambda *_: os._exit(code))
    return code


def _ended(number: int) -> int:
    """Says that a signal ended the command; gives its exit code."""
    _ignore_signals()
    interrupted = number == signal.SIGINT
    say(f"{'interrupted' if interrupted else 'terminated'}; what was written is kept")
    return EXIT_INTERRUPTED if interrupted else EXIT_TERMINATED


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _run(args: argparse.Namespace) -> int:
    """Runs one command; a failure becomes one line and an exit code."""
    run: Callable[[argparse.Namespace], int] = args.run
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
    except OSError as error:  # such as a full disk behind standard output
        _leave_quietly()
        say(f"{error.filename or 'standard output'}: {error.strerror or error}")
        return EXIT_FAILURE
    except MemoryError:
        say("out of memory")
        return EXIT_FAILURE
