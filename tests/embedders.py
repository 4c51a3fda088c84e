"""Embedding models made for tests: a random vector for each token of mini's tokenizer."""

import shutil
from pathlib import Path

import numpy as np
from models import MINI

SIZE = 16
KINDS = ("sentence-transformers", "model2vec", "model2vec without modules.json")


def made_embedder(kind: str, folder: Path) -> Path:
    """A folder as the library of this kind saves it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MINI / "tokenizer.json"))
    vectors = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), SIZE)).astype(np.float32)
    if kind == "sentence-transformers":
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        module = StaticEmbedding(tokenizer, embedding_weights=vectors)
        SentenceTransformer(modules=[module], device="cpu").save(str(folder), create_model_card=False)
        return folder
    from model2vec import StaticModel

    StaticModel(vectors, tokenizer, config={}, normalize=False).save_pretrained(folder)
    if kind == "model2vec without modules.json":
        (folder / "modules.json").unlink()
    return folder


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))
