"""What checkpoints were made from, before and now -> nothing where it is the same, else one line that names it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topicgen.errors import UserError
from topicgen.runs.fingerprint import Fingerprint, differences

_NAMED = 3  # differences that the line has room for


def identity_of(parts: Mapping[str, Any]) -> Fingerprint:
    """Parts of a run as JSON gives them back, so that those of a file can be compared with it."""
    made: Fingerprint = json.loads(json.dumps(parts))
    return made


def require_same(folder: Path, earlier: Any, now: Fingerprint) -> None:
    """Raises UserError when the checkpoints in ``folder`` are those of another run."""
    if earlier == now:
        return
    named = differences(earlier, now) if isinstance(earlier, dict) else ["another version of topicgen wrote them"]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    raise UserError(
        f"{folder}: holds checkpoints of another run: {', '.join(named[:_NAMED])}{more}; use --resume never to start"
        " anew, or another --output-dir"
    )
