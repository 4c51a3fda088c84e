"""What ``topicgen export`` is asked for; each default stands here once."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from topicgen.config import require_one_of
from topicgen.errors import UsageError

TargetName = Literal["merged", "ct2", "gguf", "ollama", "hub"]
WeightType = Literal["auto", "float32", "bfloat16", "float16", "int8", "q8_0"]
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How a model is exported."""

    to: TargetName
    """The form."""
    weights: WeightType = "auto"
    """Type of the numbers; ``auto`` takes the first that the target lists."""
    repo: str | None = None
    """Hub repository, as ``owner/name``."""
    public: bool = False
    """Whether a new hub repository is public."""
    dry_run: bool = False
    """Whether a hub push stops before anything is sent."""
    texts: int = 48
    """Texts whose topics are compared, at most."""
    least_equal: float = 0.9
    """Share of equal topics below which an export is refused."""
    least_equal_rounded: float = 0.5
    """The same where weights were rounded to 8 bits, so that words of nearly the same likelihood change places."""

    def __post_init__(self) -> None:
        require_one_of("to", self.to, get_args(TargetName))
        require_one_of("type", self.weights, get_args(WeightType))
        if self.to == "hub":
            if self.repo is None or not _REPO.fullmatch(self.repo):
                raise UsageError(f"--to hub needs --repo owner/name, not {self.repo!r}")
        elif self.repo or self.public or self.dry_run:
            raise UsageError("--repo, --public and --dry-run are for --to hub")
