"""A model in, a CTranslate2 folder out. Needs no torch."""

import shutil
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer

from topicgen.cache import cache_folder
from topicgen.engines import CT2Engine, Precision
from topicgen.engines.ct2_weights import ct2_folder
from topicgen.export.check import Reopened, greedy
from topicgen.export.target import Target
from topicgen.models import ModelFolder
from topicgen.prompt import Prompt


def write(model: ModelFolder, folder: Path, weights: str) -> None:
    """Copies the form that the CPU engine keeps in the cache, and tokenizer and prompt beside it."""
    made, owner = ct2_folder(model, weights, cache_folder())
    for file in sorted(made.iterdir()):
        shutil.copyfile(file, folder / file.name)
    if owner:
        owner.cleanup()
    shutil.copyfile(model.path / "tokenizer.json", folder / "tokenizer.json")
    model.prompt.save(folder)


def reopen(model: ModelFolder, folder: Path, weights: str) -> Reopened:
    """Loads the folder, with its own tokenizer and prompt."""
    engine = CT2Engine(model, precision=cast(Precision, weights), exported=folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Reopened(greedy(engine, Prompt.load(folder), tokenizer), "CTranslate2")


CT2 = Target(("int8", "float32"), write, reopen)
