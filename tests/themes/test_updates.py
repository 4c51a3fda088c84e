"""Later documents: they join, stay loose, or found themes."""

from pathlib import Path

import numpy as np
from numbers_space import home, member, members, reloaded, three_themes, update

from topicgen.themes.corrections import merge, move, pin, rename
from topicgen.themes.records import Member


def test_later_documents_join_the_theme_that_is_near(tmp_path: Path) -> None:
    registry = reloaded(three_themes(), tmp_path / "r")
    growth = update(registry, members(1, 8, "later-"))
    assert (growth.added, growth.born, growth.loose) == (8, [], 0)
    assert registry.themes["t2"].size == 33
    assert registry.themes["t2"].history[-1] == {"update": 2, "event": "grown", "documents": 8}
    assert registry.updates[-1] == {"number": 2, "documents": 83, "added": 8, "inputs": []}


def test_documents_of_a_new_subject_found_a_theme_that_is_marked(tmp_path: Path) -> None:
    registry = reloaded(three_themes(), tmp_path / "r")
    growth = update(registry, [*members(4, 12), *members(0, 3, "later-")])
    assert [(t.id, t.born, t.size) for t in growth.born] == [("t4", 2, 12)]
    assert registry.themes["t4"].history[0] == {"update": 2, "event": "born", "documents": 12}
    assert {row.theme for row in registry.documents if row.member.id.startswith("elections")} == {"t4"}
    assert all(0 <= row.x <= 1 and 0 <= row.y <= 1 for row in registry.documents)
    again = reloaded(registry, tmp_path / "s")
    assert again.assign(["vote"], ["0 0 0 0 1 0"])[0].theme.id == "t4"


def test_no_document_changes_its_theme_or_place_when_others_come() -> None:
    registry = three_themes()
    before = [(row.member.id, row.theme, row.subtheme, row.x, row.y) for row in registry.documents]
    update(registry, [*members(4, 12), *members(0, 9, "later-")])
    assert [(r.member.id, r.theme, r.subtheme, r.x, r.y) for r in registry.documents[:75]] == before


def test_a_few_strays_have_the_nearest_theme_until_enough_have_come() -> None:
    registry = three_themes()
    first = update(registry, members(5, 2))
    assert (first.born, first.loose, len(registry.loose)) == ([], 2, 2)
    centre = registry.centroids.units.copy()
    second = update(registry, members(5, 9, "later-"))
    assert [(t.id, t.size) for t in second.born] == [("t4", 11)]
    assert registry.loose == []
    assert {home(registry, "volcanoes-0"), home(registry, "later-volcanoes-3")} == {"t4"}
    lost = [t for t in registry.active(1) if t.history[-1]["event"] == "split"]
    assert sum(entry.history[-1]["documents"] for entry in lost) == 2
    assert sum(t.size for t in registry.active(1)) == sum(t.size for t in registry.active(2)) == 86
    assert np.allclose(registry.centroids.units[:3], centre, atol=1e-6)  # strays pulled no centroid


def test_documents_that_are_known_are_left_out() -> None:
    registry = three_themes()
    growth = update(registry, members(0, 30))
    assert (growth.added, growth.known, registry.number) == (0, 30, 1)


def test_documents_without_a_vector_have_a_theme_all_the_same() -> None:
    registry = three_themes()
    growth = update(registry, [Member("blank", "something", "", "made", 1)])
    assert growth.added == 1
    assert home(registry, "blank") in registry.themes


def test_ids_are_never_used_again() -> None:
    registry = three_themes()
    merge(registry, "t3", "t1")
    assert [t.id for t in update(registry, members(4, 12)).born] == ["t4"]
    merge(registry, "t4", "t1")
    assert [t.id for t in update(registry, members(5, 12)).born] == ["t5"]


def test_corrections_survive_later_updates(tmp_path: Path) -> None:
    registry = three_themes()
    rename(registry, "t2", "Bread and cakes")
    merge(registry, "t3", "t1")
    move(registry, "glaciers-0", "t2")
    registry = reloaded(registry, tmp_path / "r")
    update(registry, [*members(1, 8, "later-"), *members(2, 8, "later-"), *members(4, 12)])
    registry = reloaded(registry, tmp_path / "s")
    update(registry, members(2, 5, "latest-"))
    assert registry.themes["t2"].name == "Bread and cakes"
    assert home(registry, "later-bicycles-3") == home(registry, "latest-bicycles-3") == "t1"
    assert home(registry, "glaciers-0") == "t2"
    assert registry.themes["t3"].status == "merged"
    assert registry.themes["t1"].size == sum(row.theme == "t1" for row in registry.documents)


def test_a_pinned_theme_loses_no_document_to_a_new_one() -> None:
    registry = three_themes()
    update(registry, members(5, 2))
    homes = {home(registry, "volcanoes-0"), home(registry, "volcanoes-1")}
    for theme in homes:
        pin(registry, theme)
    update(registry, members(5, 9, "later-"))
    assert {home(registry, "volcanoes-0"), home(registry, "volcanoes-1")} == homes


def test_a_document_that_was_moved_founds_nothing() -> None:
    registry = three_themes()
    update(registry, members(5, 2))
    target = next(t for t in ("t1", "t2", "t3") if t != home(registry, "volcanoes-0"))
    move(registry, "volcanoes-0", target)
    update(registry, members(5, 9, "later-"))
    assert home(registry, "volcanoes-0") == target


def test_a_name_that_is_taken_is_not_given_again() -> None:
    registry = three_themes()
    rename(registry, "t1", member("elections-0", 4).topic)
    update(registry, [member("elections-0", 4), *[member(f"e{n}", 4) for n in range(12)]])
    names = [t.name.casefold() for t in registry.active(1)]
    assert len(set(names)) == len(names) == 4
