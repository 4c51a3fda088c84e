"""A model in, a folder of whole weights in safetensors out: what transformers, vLLM and topicgen load."""

from pathlib import Path

from topicgen.export.check import Reopened, engine_of, greedy, load_engine
from topicgen.export.target import Target
from topicgen.extras import require
from topicgen.models import ModelFolder, find_model


def write(model: ModelFolder, folder: Path, weights: str) -> None:
    """Writes the folder."""
    torch = require("torch", "export")
    from topicgen.training.merging import stored_type, write_merged

    model.require_llama("export")
    write_merged(folder, model, stored_type(model) if weights == "auto" else getattr(torch, weights))


def reopen(model: ModelFolder, folder: Path, _weights: str) -> Reopened:
    """Loads the folder as any model, with the engine that its source is run with."""
    merged = find_model(str(folder))
    name = engine_of(model)
    engine = load_engine(name, merged)
    return Reopened(greedy(engine, merged.prompt, merged.tokenizer), f"the {name} engine")


MERGED = Target(("auto", "float32", "bfloat16", "float16"), write, reopen)
