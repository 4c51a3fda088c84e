"""The space of a collection: near documents are about the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from themes.collections_made import made

from topicgen.embed import TokenEmbedder
from topicgen.errors import UserError
from topicgen.themes.space import Space
from topicgen.themes.terms import counted_terms, singular


def test_rows_have_length_one_and_a_document_without_known_terms_is_zero() -> None:
    topics, texts, _ = made(60)
    space = Space.fit(topics, texts)
    vectors = space.encode([*topics, "zzz"], [*texts, "1234 !"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors[:-1], axis=1) == pytest.approx([1] * 60, abs=1e-6)
    assert not vectors[-1].any()


def test_documents_of_one_subject_are_nearer_than_those_of_two() -> None:
    topics, texts, gold = made(90)
    vectors = Space.fit_encode(topics, texts)[1]
    cosine = vectors @ vectors.T
    same = gold[:, None] == gold
    assert cosine[same].mean() > cosine[~same].mean() + 0.3


def test_vectors_do_not_depend_on_the_order_or_the_company() -> None:
    topics, texts, _ = made(90)
    space, vectors = Space.fit_encode(topics, texts)
    order = np.random.default_rng(3).permutation(90)
    shuffled = Space.fit_encode([topics[i] for i in order], [texts[i] for i in order])[1]
    assert np.array_equal(shuffled, vectors[order])
    assert np.array_equal(space.encode(topics[7:8], texts[7:8]), vectors[7:8])


def test_saved_space_encodes_the_same(tmp_path: Path) -> None:
    topics, texts, _ = made(60)
    space, vectors = Space.fit_encode(topics, texts)
    space.save(tmp_path / "space")
    loaded = Space.load(tmp_path / "space")
    assert (loaded.size, loaded.name) == (space.size, space.name)
    assert np.array_equal(loaded.encode(topics, texts), vectors)


def test_embedder_stands_beside_the_terms(tmp_path: Path) -> None:
    topics, texts, _ = made(30)
    embedder = TokenEmbedder()
    space, vectors = Space.fit_encode(topics, texts, embedder=embedder)
    assert vectors.shape == (30, space.size)
    space.save(tmp_path)
    with pytest.raises(UserError, match="--embedder"):
        Space.load(tmp_path).encode(topics, texts)
    assert np.array_equal(Space.load(tmp_path, embedder=embedder).encode(topics, texts), vectors)


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "version", "values"])
def test_damaged_space_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    Space.fit(*made(30)[:2]).save(tmp_path)
    tensors, values = tmp_path / "space.safetensors", tmp_path / "space.json"
    if damage == "missing":
        tensors.unlink()
    elif damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:100])
    elif damage == "other":
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x01")
    elif damage == "version":
        values.write_text(json.dumps(json.loads(values.read_text()) | {"format": 2}))
    else:
        values.write_text("{}")
    with pytest.raises(UserError, match=r"space|damaged"):
        Space.load(tmp_path)


@pytest.mark.parametrize("topics", [[], ["alone"], ["a"], ["same words"] * 30, ["日本の天気", "天気の話", "météo"]])
def test_any_collection_has_a_space(topics: list[str]) -> None:
    space, vectors = Space.fit_encode(topics, [""] * len(topics))
    assert vectors.shape == (len(topics), space.size)
    assert np.isfinite(vectors).all()


def test_terms_are_singular_words_and_pairs_of_characters() -> None:
    assert counted_terms("The cities and the City, 42 GANs") == {"city": 2, "gan": 1}
    assert counted_terms("天気予報") == {"天気": 1, "気予": 1, "予報": 1}
    assert [singular(w) for w in ("classes", "analysis", "virus", "gas")] == ["class", "analysis", "virus", "gas"]
