"""A base model in, the prompt that it is fine-tuned with out."""

from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.models import WeightsFolder
from topicgen.prompt import Prompt

INSTRUCTION = "Please generate a meaningful topic for the following article."
_PLACE = "\x00document\x00"


def alpaca(begin: str, stop: str) -> Prompt:
    """The original project's prompt for base models, in the layout of Alpaca (Taori et al. 2023)."""
    head = (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a"
        f" response that appropriately completes the request.\n\n### Instruction:\n{INSTRUCTION}\n\n### Input:\n"
    )
    return Prompt(prefix=begin + head, suffix="\n\n### Response:\n", stop=stop)


def prompt_of(base: WeightsFolder) -> Prompt:
    """The base's own prompt; else its chat template around the instruction; else the Alpaca layout.

    Raises:
        UserError: When the tokenizer names no token that ends a text, or its chat template leaves out the document.
    """
    if own := base.own_prompt:
        return own
    transformers = require("transformers", "train")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.path, trust_remote_code=False)
    if tokenizer.eos_token is None:
        raise UserError(f"{base.path}: the tokenizer names no end-of-text token")
    if not tokenizer.chat_template:
        return alpaca(tokenizer.bos_token or "", tokenizer.eos_token)
    messages = [{"role": "user", "content": f"{INSTRUCTION}\n\n{_PLACE}"}]
    whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, found, after = whole.partition(_PLACE)
    if not found:
        raise UserError(f"{base.path}: the chat template leaves out what the user says")
    return Prompt(prefix=before, suffix=after, stop=tokenizer.eos_token)
