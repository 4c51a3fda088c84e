"""A model and an export of it in, how many of their topics are equal out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice

from tokenizers import Tokenizer

from topicgen.config import GenerationSettings
from topicgen.engines import ENGINES, Engine, Precision
from topicgen.engines.choice import choose_engine
from topicgen.errors import UserError
from topicgen.models import ModelFolder
from topicgen.phrase import clean
from topicgen.prompt import Prompt, PromptEncoder

Writer = Callable[[Sequence[str]], list[str]]
"""Texts in, a topic for each out."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """An export, loaded from its files.

    Attributes:
        write: Writes topics with it.
        by: What runs it.
    """

    write: Writer
    by: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many topics of an export are those of its source.

    Attributes:
        texts: Texts that both wrote a topic for.
        equal: Texts with the same topic, letter by letter.
        by: What ran the export.
        example: The first topic that differs, of the source and of the export.
    """

    texts: int
    equal: int
    by: str
    example: tuple[str, str] | None

    def __str__(self) -> str:
        differing = "" if self.example is None else f"; {self.example[0]!r} became {self.example[1]!r}"
        return f"{self.equal} of {self.texts} topics equal (run by {self.by}{differing})"


def greedy(engine: Engine, prompt: Prompt, tokenizer: Tokenizer) -> Writer:
    """Writes with an engine what other programs write too: likeliest tokens, no second look."""
    encoder = PromptEncoder(prompt, tokenizer, engine.max_prompt_tokens)

    def write(texts: Sequence[str]) -> list[str]:
        prompts = [encoded.ids for encoded in encoder.encode(texts)]
        found = engine.generate(prompts, GenerationSettings(second_look=False))
        return [clean(tokenizer.decode(best.ids), finished=best.finished) for best, *_ in found]

    return write


def engine_of(model: ModelFolder) -> str:
    """The engine that compares: exact on the CPU; transformers for quantised models, and large ones on a GPU."""
    return "hf" if model.quantized else choose_engine(model, "float32")


def topics_of(model: ModelFolder, texts: Sequence[str], precision: Precision = "float32") -> list[str]:
    """What the model itself writes; it is let go afterwards, so that source and export are not in memory together."""
    return greedy(load_engine(engine_of(model), model, precision), model.prompt, model.tokenizer)(texts)


def load_engine(name: str, model: ModelFolder, precision: Precision = "float32") -> Engine:
    """An engine for a comparison; transformers' chooses the precision by the machine."""
    return ENGINES[name](model, precision=precision if name == "ct2" else "auto")


def sample_texts(model: ModelFolder, most: int) -> list[str]:
    """Texts to compare on: those of the model's test part, if its folder has one, and the package's own.

    They are cut so short that every form reads them whole: no token is shorter than a byte.
    """
    found: list[str] = []
    test = model.path / "test.jsonl"
    if test.is_file():
        try:
            with test.open(encoding="utf-8") as lines:
                found = [str(json.loads(line)["text"]) for line in islice(lines, most // 2)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{test}: cannot be read as the model's test part ({error})") from None
    own = files("topicgen").joinpath("assets/texts.txt").read_text(encoding="utf-8")
    found += [line for line in own.splitlines() if line]
    short = [text.encode()[: model.context_tokens // 2].decode(errors="ignore") for text in found[:most]]
    return [text for text in short if text.strip()]


def compare(expected: Sequence[str], export: Reopened, texts: Sequence[str], least: float) -> Agreement:
    """Compares an export's topics with those of its source.

    Raises:
        UserError: When less than the share ``least`` of them is equal.
    """
    found = export.write(texts)
    differing = [pair for pair in zip(expected, found, strict=True) if pair[0] != pair[1]]
    made = Agreement(len(texts), len(texts) - len(differing), export.by, differing[0] if differing else None)
    if made.equal < least * made.texts:
        raise UserError(f"the export was not kept, because it writes other topics than the model: {made}")
    return made
