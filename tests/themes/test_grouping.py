"""Vectors of documents into themes: every document, whatever the order."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from themes.collections_made import made

from topicgen.embed import Vectors
from topicgen.errors import UsageError
from topicgen.themes import grouping
from topicgen.themes.dendrogram import IntArray, agglomerate
from topicgen.themes.grouping import group, most_themes
from topicgen.themes.layout import layout
from topicgen.themes.space import Space


@pytest.fixture(scope="module")
def collection() -> tuple[Vectors, IntArray]:
    topics, texts, gold = made(150)
    return Space.fit_encode(topics, texts)[1], gold


def blobs(groups: int, documents: int, seed: int = 0) -> tuple[Vectors, IntArray]:
    """Unit vectors around random directions."""
    draw = np.random.default_rng(seed)
    gold = draw.integers(0, groups, documents)
    points = draw.normal(size=(groups, 30))[gold] + 0.4 * draw.normal(size=(documents, 30))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), gold


def test_subjects_are_found_with_and_without_their_number(collection: tuple[Vectors, IntArray]) -> None:
    vectors, gold = collection
    assert adjusted_rand_score(gold, group(vectors, themes=3).themes) == 1
    assert adjusted_rand_score(gold, group(vectors).themes) == 1


@pytest.mark.parametrize("groups", [4, 12, 25])
def test_the_natural_number_is_near_the_truth(groups: int) -> None:
    vectors, gold = blobs(groups, 1000)
    found = group(vectors)
    assert 0.7 * groups <= len(found.centroids) <= 1.4 * groups
    assert adjusted_rand_score(gold, found.themes) > 0.8


@pytest.mark.parametrize("micro", [2000, 100])
def test_five_orders_of_the_rows_give_the_same_groups(monkeypatch: pytest.MonkeyPatch, micro: int) -> None:
    monkeypatch.setattr(grouping, "MICRO", micro)
    vectors, _ = blobs(8, 400)
    first = group(vectors)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(vectors))
        again = group(vectors[order])
        assert np.array_equal(again.themes, first.themes[order])
        assert np.array_equal(again.subthemes, first.subthemes[order])
        assert np.array_equal(again.centroids, first.centroids)
        assert np.array_equal(layout(vectors[order], again), layout(vectors, first)[order])


def test_micro_groups_hardly_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, gold = blobs(10, 2000)
    monkeypatch.setattr(grouping, "MICRO", 200)
    assert adjusted_rand_score(gold, group(vectors, themes=10).themes) > 0.95


def test_records_fit_together(collection: tuple[Vectors, IntArray]) -> None:
    found = group(collection[0], themes=5)
    assert np.array_equal(found.parents[found.subthemes], found.themes)
    assert set(found.themes) == set(range(5))
    assert set(found.subthemes) == set(range(len(found.parents)))
    assert sorted(np.bincount(found.themes), reverse=True) == np.bincount(found.themes).tolist()
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx([1] * 5, abs=1e-6)
    assert found.sub_centroids.shape == (len(found.parents), found.centroids.shape[1])


def test_more_granularity_never_gives_fewer_themes() -> None:
    vectors, _ = blobs(12, 600)
    numbers = [len(group(vectors, granularity=x).centroids) for x in np.linspace(0, 1, 7)]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (2, most_themes(600))


@pytest.mark.parametrize("themes", [1, 2, 7, 150, 1000])
def test_the_number_that_was_asked_for(collection: tuple[Vectors, IntArray], themes: int) -> None:
    different = len(np.unique(collection[0], axis=0))
    assert len(group(collection[0], themes=themes).centroids) == min(themes, different)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5])
def test_few_documents_are_grouped(rows: int) -> None:
    vectors = blobs(3, 10)[0][:rows]
    found = group(vectors)
    assert found.themes.shape == found.subthemes.shape == (rows,)
    assert layout(vectors, found).shape == (rows, 2)


def test_equal_documents_are_one_theme() -> None:
    vectors = np.full((40, 4), 0.5, np.float32)
    found = group(vectors)
    assert len(found.centroids) == len(found.parents) == 1
    assert len(np.unique(layout(vectors, found), axis=0)) == 40


def test_documents_without_direction_join_the_largest_theme() -> None:
    vectors, _ = blobs(3, 90)
    found = group(np.vstack([vectors, np.zeros((2, 30), np.float32)]), themes=3)
    assert found.themes[-2:].tolist() == [0, 0]
    assert not group(np.zeros((5, 4), np.float32)).themes.any()


@pytest.mark.parametrize("options", [{"themes": 0}, {"granularity": 1.5}, {"themes": 2, "granularity": 0.5}])
def test_wrong_numbers_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        group(blobs(2, 10)[0], **options)  # type: ignore[arg-type]


def test_dendrogram_is_average_linkage_without_balance() -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    vectors = blobs(5, 60)[0].astype(np.float64)
    tree = agglomerate(vectors, np.ones(60), balance=0)
    expected = fcluster(linkage(vectors, "average", metric="cosine"), 6, criterion="maxclust")
    assert adjusted_rand_score(expected, tree.cut(6)) == 1
    assert tree.cut(1).tolist() == [0] * 60
    assert sorted(tree.cut(60)) == list(range(60))


def test_near_themes_are_near_on_the_map() -> None:
    draw = np.random.default_rng(0)
    directions = np.eye(6)
    directions[1] = directions[0] + 0.4 * directions[5]  # two near themes, three far ones
    gold = np.repeat(np.arange(5), 60)
    points = directions[gold] + 0.03 * draw.normal(size=(300, 6))
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    places = layout(vectors, group(vectors, themes=5))
    assert places.min() >= 0
    assert places.max() <= 1
    centres = np.array([places[gold == theme].mean(axis=0) for theme in range(5)])
    distance = np.linalg.norm(centres - centres[0], axis=1)
    assert distance[1] == distance[1:].min()
