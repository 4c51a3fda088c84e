"""A model in, a folder for ``ollama create`` out: the GGUF file, and a Modelfile with the prompt as template."""

import json
import re
from pathlib import Path

from topicgen.config import GenerationSettings
from topicgen.errors import UserError
from topicgen.export import gguf
from topicgen.export.check import Reopened
from topicgen.export.gguf_tokens import gguf_tokens, without_begin
from topicgen.export.llamacpp import llamacpp_writer
from topicgen.export.target import Target
from topicgen.models import ModelFolder
from topicgen.prompt import Prompt

FILE = "Modelfile"
_QUOTES = '"""'
_DOCUMENT = "{{ .Prompt }}"
_BRACES = '{{ "{{" }}'  # two braces that the template language leaves alone


def write(model: ModelFolder, folder: Path, weights: str) -> None:
    """Writes ``model.gguf`` and ``Modelfile``."""
    gguf.write(model, folder, weights)
    (folder / FILE).write_text(modelfile(model), encoding="utf-8")


def modelfile(model: ModelFolder) -> str:
    """The Modelfile (https://docs.ollama.com/modelfile).

    Raises:
        UserError: When the prompt holds what a Modelfile cannot quote.
    """
    before, after = without_begin(model.prompt.prefix, gguf_tokens(model)), model.prompt.suffix
    if _QUOTES in before + after or '"' in model.prompt.stop:
        raise UserError(f"{model.path}: a Modelfile cannot hold a prompt with {_QUOTES}, nor a stop token with quotes")
    template = before.replace("{{", _BRACES) + _DOCUMENT + after.replace("{{", _BRACES)
    return f"""\
FROM ./{gguf.FILE}
TEMPLATE {_QUOTES}{template}{_QUOTES}
PARAMETER stop {json.dumps(model.prompt.stop, ensure_ascii=False)}
PARAMETER temperature 0
PARAMETER repeat_penalty 1
PARAMETER num_predict {GenerationSettings().max_topic_tokens}
PARAMETER num_ctx {model.context_tokens}
"""


def reopen(model: ModelFolder, folder: Path, _weights: str) -> Reopened:
    """Loads the GGUF file, and asks it with the Modelfile's template."""
    text = (folder / FILE).read_text(encoding="utf-8")
    found = re.search(f"^TEMPLATE {_QUOTES}(.*?){_QUOTES}$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise UserError(f"{folder / FILE}: has no TEMPLATE")
    before, _, after = found[1].partition(_DOCUMENT)
    before, after = (part.replace(_BRACES, "{{") for part in (before, after))
    prompt = Prompt(before, after, model.prompt.stop, model.prompt.fold_white_space)
    return Reopened(llamacpp_writer(folder / gguf.FILE, prompt, model.context_tokens), "llama.cpp")


OLLAMA = Target(gguf.GGUF.types, write, reopen)
