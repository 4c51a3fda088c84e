"""``topicgen runs``: an output -> the state of its run, for people or as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from topicgen.errors import EXIT_OK


def add_runs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", epilog: str) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "runs",
        help="show the state of the run that an output belongs to",
        description="Shows the state of the run that an output of topicgen generate belongs to.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("outputs", nargs="+", metavar="OUT", help="an output, finished or not")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each output, a line each")
    parser.set_defaults(run=run_runs)


def run_runs(args: argparse.Namespace) -> int:
    """``topicgen runs``."""
    states = [examine(name) for name in args.outputs]
    shown = [json.dumps(state, ensure_ascii=False) if args.json else describe(state) for state in states]
    sys.stdout.write("\n".join(shown) + "\n")
    return EXIT_OK


def examine(output: str) -> dict[str, Any]:
    """The state of a run as it is now; raises UserError when there is none.

    Where the writer is at work or was killed, documents are counted in its rows.
    """
    from topicgen.errors import UserError
    from topicgen.locks import holder
    from topicgen.outputs import output_path
    from topicgen.runs.record import RunPaths, RunRecord, last_write
    from topicgen.runs.rows import count_lines, count_rows

    target, _ = output_path(output)
    record = RunRecord.load(RunPaths.of(target, "jsonl").record)
    if record is None:
        raise UserError(f"{output}: belongs to no run: there is no {target.name}.run.json")
    paths = RunPaths.of(target, record.output_format)
    process = holder(paths.lock)
    state, seconds, left_out = record.state, record.seconds, record.left_out
    statuses, ended = record.statuses, record.ended
    if state == "running":
        statuses = dict(sorted(count_rows(paths.lines).items()))
        left_out = count_lines(Path(record.quarantine)) if record.quarantine else 0
        last = datetime.now(UTC)
        if process is None:
            state, last = "interrupted", last_write(paths.lines) if paths.lines.exists() else last
            ended = last.isoformat(timespec="milliseconds")
        seconds = record.seconds_until(last)
    documents = sum(statuses.values())
    return {
        "output": output,
        "state": state,
        "process": process,
        "documents": documents,
        "statuses": statuses,
        "seconds": round(seconds, 3),
        "documents_per_second": round(documents / seconds, 2) if seconds else None,
        "rows_left_out": left_out,
        "quarantine": record.quarantine if left_out else None,
        "incomplete": record.incomplete,
        "started": record.started,
        "ended": ended,
        "error": record.error,
        "model": record.model,
        "fingerprint": record.fingerprint,
    }


def describe(state: dict[str, Any]) -> str:
    """The state as lines for people."""
    from topicgen.runs.fingerprint import shown

    process = f" by process {state['process']}" if state["process"] else ""
    statuses = [f"{count} {status}" for status, count in state["statuses"].items()]
    rate = state["documents_per_second"]
    lines = [
        ("state", f"{state['state']}{process}"),
        ("documents", f"{state['documents']}{_listed(statuses)}"),
        ("rate", f"{rate}/s over {state['seconds']:.1f} s" if rate else "-"),
        ("rows left out", f"{state['rows_left_out']}{_listed([state['quarantine']] if state['quarantine'] else [])}"),
        *(("incomplete", source) for source in state["incomplete"]),
        *([("error", state["error"])] if state["error"] else []),
        ("started", state["started"]),
        ("ended", state["ended"] or "-"),
        ("model name", state["model"]),
        *((name, shown(value)) for name, value in state["fingerprint"].items()),
    ]
    return "\n".join([state["output"], *(f"  {name:<18}{value}" for name, value in lines)])


def _listed(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""
