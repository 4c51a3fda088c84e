"""A model folder in, a repository of the Hugging Face hub out; texts and paths of this machine stay here."""

import os
import shutil
from pathlib import Path
from typing import Any

from topicgen.adapters import BASE_FILE, CONFIG_FILE, WEIGHTS_FILE
from topicgen.errors import UserError
from topicgen.export.check import Reopened, engine_of, greedy, load_engine
from topicgen.export.target import Target
from topicgen.extras import require
from topicgen.models import BASES, EMBEDDED, ModelFolder, find_model
from topicgen.prompt import PROMPT_FILE
from topicgen.version import __version__

TOKEN = "HF_TOKEN"  # noqa: S105 - a name, no secret
_SHARED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", PROMPT_FILE, "loss.png")
_ADAPTER = (CONFIG_FILE, WEIGHTS_FILE, BASE_FILE)
_CONFLICT = 409
_WHOLE = "model.safetensors.index.json"


def write(model: ModelFolder, folder: Path, _weights: str) -> None:
    """Gathers what is sent: weights as they are, config, tokenizer and prompt.

    Raises:
        UserError: When the adapter's base is a folder of this machine.
    """
    if model.adapter:
        name = model.adapter.base_name
        if name not in (*EMBEDDED, *BASES) and (name.count("/") != 1 or Path(name).is_dir()):
            raise UserError(
                f"{model.path}: its base is the folder {name}, which others lack; export --to merged, and push that"
            )
        wanted = [model.path / file for file in (*_SHARED, *_ADAPTER)]
    else:
        wanted = [*(model.path / file for file in (*_SHARED, _WHOLE)), *model.weights]
    for file in wanted:
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def reopen(model: ModelFolder, folder: Path, _weights: str) -> Reopened:
    """Loads what will be sent, as the one who downloads it would."""
    sent = find_model(str(folder))
    name = engine_of(model)
    return Reopened(greedy(load_engine(name, sent), sent.prompt, sent.tokenizer), f"the {name} engine")


def require_token() -> str:
    """The token of the environment; raises UserError when there is none, or the hub may not be reached."""
    require("huggingface_hub", "export")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise UserError("HF_HUB_OFFLINE is set; unset it to push to the hub, or use --dry-run")
    if not (token := os.environ.get(TOKEN, "").strip()):
        raise UserError(f"{TOKEN} is not set; pushing needs a token that may write (or use --dry-run)")
    return token


def push(folder: Path, repo: str, *, public: bool, existing: bool, token: str) -> str:
    """Makes the repository and sends the folder in one commit; gives its address.

    Args:
        folder: What is sent.
        repo: ``owner/name``.
        public: Whether a new repository is public; that of an existing one stays as it is.
        existing: Whether the repository may exist already.
        token: A token of the hub that may write.

    Raises:
        UserError: When the hub refuses or cannot be reached.
    """
    hub = require("huggingface_hub", "export")
    api: Any = hub.HfApi(token=token, library_name="topicgen", library_version=__version__)
    try:
        api.create_repo(repo, private=not public, exist_ok=existing)
        made = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"topicgen {__version__}")
    except Exception as error:  # noqa: BLE001 - of the library, of its transfers and of the network
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).replace(token, "...")
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = "; it exists, and --force adds to it" if status == _CONFLICT else ""
        raise UserError(f"{repo}: cannot be pushed to the hub: {reason}{hint}") from None
    return str(made.commit_url)


HUB = Target(("auto",), write, reopen)
