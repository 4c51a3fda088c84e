"""The registry: made, saved, loaded, asked."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from numbers_space import NumbersSpace, member, members, registry_of, reloaded, three_themes

from topicgen.errors import UserError
from topicgen.themes.centroids import centroids_of
from topicgen.themes.registry import Registry


def test_every_document_has_a_theme_and_a_subtheme_of_it() -> None:
    registry = three_themes()
    assert [(t.id, t.size, t.born, t.level) for t in registry.active()] == [
        ("t1", 30, 1, 1),
        ("t2", 25, 1, 1),
        ("t3", 20, 1, 1),
    ]
    assert all(registry.themes[row.subtheme].parent == row.theme for row in registry.documents)
    assert {t.id for t in registry.active(2)} == {f"t{n}.{k}" for n in (1, 2, 3) for k in (1, 2)}
    assert sum(t.size for t in registry.active(2)) == 75


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    registry = three_themes()
    found = reloaded(registry, tmp_path / "r")
    assert found.themes == registry.themes
    assert [row.member for row in found.documents] == [row.member for row in registry.documents]
    assert np.array_equal(found.centroids.sums, registry.centroids.sums)


def test_a_document_is_assigned_in_milliseconds() -> None:
    registry = three_themes()
    text = member("new", 1).text
    began = time.perf_counter()
    for _ in range(20):
        (found,) = registry.assign(["bread"], [text])
    assert (time.perf_counter() - began) / 20 < 0.05
    assert (found.theme.id, found.subtheme.parent, found.near) == ("t2", "t2", True)


def test_a_document_unlike_all_others_has_the_nearest_theme_and_is_not_near() -> None:
    (found,) = three_themes().assign(["volcano"], ["0.3 0 0 0 0 1"])
    assert (found.theme.id, found.near) == ("t1", False)


def test_assign_wants_a_text_for_each_topic() -> None:
    with pytest.raises(ValueError, match="1 and 2"):
        three_themes().assign(["a", "b"], ["0 0 0 0 0 1"])


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_documents_are_a_collection(tmp_path: Path, count: int) -> None:
    registry = registry_of(members(0, count))
    assert sum(t.size for t in reloaded(registry, tmp_path / "r").active()) == count


def test_a_theme_of_equal_topics_lets_similar_ones_in() -> None:
    registry = registry_of([member(f"{n}", 0, noise=0) for n in range(30)])
    assert registry.assign(["ice"], ["1 0.4 0 0 0 0"])[0].near
    assert not registry.assign(["ice"], ["1 2 0 0 0 0"])[0].near


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "themes"
    path.mkdir()
    three_themes().save(path)
    return path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("centroids.safetensors", "centroids.safetensors: damaged"),
        ("documents.parquet", "documents.parquet: damaged"),
        ("space/numbers.json", "numbers.json: damaged"),
    ],
)
def test_a_flipped_byte_is_seen(folder: Path, name: str, told: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=told):
        Registry.load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "documents.parquet").unlink()
    with pytest.raises(UserError, match=r"documents\.parquet: missing"):
        Registry.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "of format 2; this topicgen reads format 1"),
        ({"created": "yesterday"}, "damaged or edited by hand"),
        ({"themes": None}, "damaged or edited by hand"),
    ],
)
def test_another_format_and_an_edited_registry_are_refused(folder: Path, change: dict[str, object], told: str) -> None:
    path = folder / "registry.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=told):
        Registry.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', "[" * 100_000])
def test_a_registry_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "registry.json").write_text(content)
    with pytest.raises(UserError, match=r"registry\.json"):
        Registry.load(folder)


def test_a_folder_without_a_registry_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no themes folder"):
        Registry.load(tmp_path)
    with pytest.raises(UserError, match="no themes folder"):
        Registry.load(tmp_path / "nowhere")


def test_a_space_is_needed_once_and_only_to_encode() -> None:
    registry = three_themes()
    assert isinstance(registry.space, NumbersSpace)


def test_documents_without_a_known_word_open_no_threshold_and_are_near_nothing() -> None:
    vectors = np.zeros((60, 3), np.float32)
    vectors[:50, 0] = 1
    made = centroids_of(vectors, ["t1"] * 60)
    assert made.thresholds[0] > 0.5
    registry = three_themes()
    [found] = registry.place(np.zeros((1, registry.centroids.units.shape[1]), np.float32))
    assert not found.near
