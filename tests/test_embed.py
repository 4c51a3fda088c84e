"""Vectors of topics, and how close they are."""

from pathlib import Path

import numpy as np
import pytest
from models import MINI, replace

from topicgen import embed
from topicgen.embed import TokenEmbedder, cosine
from topicgen.errors import UserError
from topicgen.models import ModelFolder

TOPICS = ["GAN training", "training of generative adversarial networks", "stock market crash", "the ferry timetable"]


@pytest.fixture(scope="module")
def embedder() -> TokenEmbedder:
    return TokenEmbedder()


def similarity(embedder: TokenEmbedder, left: str, right: str) -> float:
    return float(cosine(embedder.encode([left]), embedder.encode([right]))[0])


def test_rows_have_length_one(embedder: TokenEmbedder) -> None:
    vectors = embedder.encode(TOPICS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * len(TOPICS), abs=1e-6)


def test_a_related_topic_is_nearer_than_an_unrelated_one(embedder: TokenEmbedder) -> None:
    assert similarity(embedder, TOPICS[0], TOPICS[1]) > similarity(embedder, TOPICS[0], TOPICS[2]) + 0.2


def test_related_words_are_nearer_than_unrelated_ones(embedder: TokenEmbedder) -> None:
    assert similarity(embedder, "doctors", "hospital") > similarity(embedder, "doctors", "guitar") + 0.1


def test_a_rare_word_counts_more_than_a_frequent_one(embedder: TokenEmbedder) -> None:
    assert similarity(embedder, "the galaxy", "galaxy") > similarity(embedder, "the galaxy", "the")


def test_the_common_component_is_gone(embedder: TokenEmbedder) -> None:
    unrelated = ["stock market crash", "guitar lessons", "soil bacteria", "medieval poetry", "ferry timetable"]
    vectors = embedder.encode(unrelated)
    between = (vectors @ vectors.T)[np.triu_indices(len(unrelated), 1)]
    assert between.mean() < 0.2  # 0.25 with it


def test_equal_texts_have_cosine_one(embedder: TokenEmbedder) -> None:
    vectors = embedder.encode(TOPICS)
    assert cosine(vectors, vectors) == pytest.approx([1] * len(TOPICS), abs=1e-6)
    assert cosine(vectors, vectors).max() <= 1


def test_case_and_outer_space_do_not_matter(embedder: TokenEmbedder) -> None:
    assert np.array_equal(embedder.encode([" Stock Market CRASH\n"]), embedder.encode(["stock market crash"]))


def test_a_text_has_the_same_vector_in_any_company(embedder: TokenEmbedder) -> None:
    alone = np.concatenate([embedder.encode([topic]) for topic in TOPICS])
    assert np.array_equal(embedder.encode([*TOPICS, "", "a far longer text " * 50])[: len(TOPICS)], alone)
    assert np.array_equal(embedder.encode(TOPICS[::-1])[::-1], alone)


def test_empty_texts_give_zeros_and_are_like_nothing(embedder: TokenEmbedder) -> None:
    vectors = embedder.encode(["", " \n", "ferry"])
    assert not vectors[:2].any()
    assert cosine(vectors, vectors)[:2].tolist() == [0, 0]


def test_no_texts_give_no_rows(embedder: TokenEmbedder) -> None:
    assert embedder.encode([]).shape == (0, embedder.encode(["ferry"]).shape[1])


def test_cosine_refuses_arrays_of_different_shapes(embedder: TokenEmbedder) -> None:
    with pytest.raises(ValueError, match=r"\(1, \d+\) and \(2, \d+\)"):
        cosine(embedder.encode(["a"]), embedder.encode(["a", "b"]))


def test_damaged_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in MINI.iterdir():
        (tmp_path / file.name).symlink_to(file)
    replace(tmp_path / "model.safetensors", b"no weights")
    monkeypatch.setattr(embed, "find_model", lambda name: ModelFolder(tmp_path, name))
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read as safetensors"):
        TokenEmbedder()
