"""Embedders of sentence-transformers and model2vec, and what is no such model."""

import sys
from pathlib import Path

import numpy as np
import pytest
from embedders import KINDS, SIZE, copied, made_embedder
from models import MINI

from topicgen.embed import Embedder, TokenEmbedder, cosine
from topicgen.errors import UserError
from topicgen.named_embedders import load_embedder

LIBRARIES = {"sentence-transformers": "sentence_transformers", "model2vec": "model2vec"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("embedders")
    return {kind: made_embedder(kind, made / kind.replace(" ", "-")) for kind in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def embedder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Embedder:
    return load_embedder(str(folders[request.param]))


def test_the_offline_embedder_is_the_default_and_names_itself() -> None:
    assert all(isinstance(load_embedder(name), TokenEmbedder) for name in (None, "mini"))
    assert load_embedder(None).name == "mini token embeddings (SIF)"


def test_rows_have_length_one_and_those_of_empty_texts_none(embedder: Embedder) -> None:
    vectors = embedder.encode(["night trains", "", " \n", "trains"])
    assert (vectors.shape, vectors.dtype) == ((4, SIZE), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0, 1], abs=1e-6)
    assert embedder.encode([]).shape == (0, SIZE)


def test_texts_that_share_words_are_nearer(embedder: Embedder) -> None:
    vectors = embedder.encode(["the night train", "a night train", "soil bacteria"])
    assert cosine(vectors[:1], vectors[1:2])[0] > cosine(vectors[:1], vectors[2:])[0] + 0.2


def test_a_text_has_the_same_vector_in_any_company(embedder: Embedder) -> None:
    alone = embedder.encode(["night trains"])
    assert embedder.encode(["a far longer text " * 50, "night trains"])[1:] == pytest.approx(alone, abs=1e-6)


def test_an_embedder_is_named_as_the_user_named_it(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        assert load_embedder(str(folder)).name == str(folder)


def test_both_libraries_read_a_static_model_alike(folders: dict[str, Path]) -> None:
    one, other = (load_embedder(str(folders[kind])).encode(["night trains", "soil"]) for kind in LIBRARIES)
    assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_missing_library_names_its_extra(
    kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[kind], None)
    with pytest.raises(UserError, match=rf"{LIBRARIES[kind]} needs the extra 'embed': pip install 'topicgen\[embed\]"):
        load_embedder(str(folders[kind]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"x" * 40])
def test_a_damaged_folder_is_one_line(
    kind: str, file: str, content: bytes | None, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(folders[kind], tmp_path / "copy")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError) as refusal:
        load_embedder(str(folder))
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_pickles_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["sentence-transformers"], tmp_path / "copy")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no \*\.safetensors; pytorch_model\.bin may run code"):
        load_embedder(str(folder))


@pytest.mark.parametrize("name", ["", " ", "./no/such", "/no/such", "a/b/c", "x" * 5000, "owner/" + "x" * 5000])
def test_a_bad_name_is_one_line(name: str) -> None:
    with pytest.raises(UserError) as refusal:
        load_embedder(name)
    assert "\n" not in str(refusal.value)


def test_a_file_is_no_model() -> None:
    with pytest.raises(UserError, match="is a file; a model is a folder"):
        load_embedder(str(MINI / "config.json"))


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"), ("owner/static", "owner/static")],
)
def test_a_hub_id_is_looked_for_on_the_hub(name: str, hub_id: str) -> None:
    with pytest.raises(
        UserError, match=rf"model '{hub_id}' is no folder here and cannot be downloaded: HF_HUB_OFFLINE"
    ):
        load_embedder(name)
