"""What people change."""

import pytest
from numbers_space import home, three_themes

from topicgen.errors import UserError
from topicgen.themes.corrections import labelled_examples, merge, move, pin, rename


def test_a_name_by_a_person_is_kept_with_its_history() -> None:
    registry = three_themes()
    before = registry.themes["t1"].name
    theme = rename(registry, "t1", "  Ice   sheets ")
    assert (theme.name, theme.named_by) == ("Ice sheets", "person")
    assert theme.history[-1] == {"update": 1, "event": "renamed", "before": before, "name": "Ice sheets"}


def test_a_merged_theme_gives_documents_and_subthemes_to_its_target() -> None:
    registry = three_themes()
    merge(registry, "t3", "t2")
    assert (registry.themes["t2"].size, registry.themes["t3"].size) == (45, 0)
    assert registry.themes["t3"].merged_into == "t2"
    assert registry.themes["t3.1"].parent == "t2"
    assert registry.assign(["bicycle"], ["0 0 1 0 0 0"])[0].theme.id == "t2"
    merge(registry, "t2", "t1")
    assert registry.assign(["bicycle"], ["0 0 1 0 0 0"])[0].theme.id == "t1"


def test_subthemes_of_one_theme_merge() -> None:
    registry = three_themes()
    merge(registry, "t1.2", "t1.1")
    assert registry.themes["t1.1"].size == registry.themes["t1"].size == 30
    assert {row.subtheme for row in registry.documents if row.theme == "t1"} == {"t1.1"}


def test_a_moved_document_changes_both_sizes_and_levels() -> None:
    registry = three_themes()
    move(registry, "glaciers-0", "t3.1")
    assert (home(registry, "glaciers-0"), registry.themes["t1"].size, registry.themes["t3"].size) == ("t3", 29, 21)
    assert sum(t.size for t in registry.active(2)) == 75
    move(registry, "glaciers-0", "t2")
    assert registry.themes["t2"].size == 26


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda r: rename(r, "t9", "x"), "no theme 't9'; there are t1, t2, t3"),
        (lambda r: rename(r, "t1", " - "), "a name needs a letter"),
        (lambda r: rename(r, "t1", r.themes["t2"].name.upper()), "t2 is called"),
        (lambda r: merge(r, "t1", "t1"), "into itself"),
        (lambda r: merge(r, "t1", "t2.1"), "cannot be merged"),
        (lambda r: merge(r, "t1.1", "t2.1"), "cannot be merged"),
        (lambda r: move(r, "nobody", "t1"), "no document 'nobody'"),
        (lambda r: move(r, "glaciers-0", "t1"), "is in t1 already"),
        (lambda r: move(r, "glaciers-0", "t77"), "no theme 't77'"),
        (lambda r: pin(r, "x"), "no theme 'x'"),
        (lambda r: (merge(r, "t3", "t1"), rename(r, "t3", "x")), "t3 was merged into t1"),
        (lambda r: (pin(r, "t1"), rename(r, "t1", "x")), "t1 is pinned"),
        (lambda r: (pin(r, "t1"), merge(r, "t2", "t1")), "t1 is pinned"),
    ],
)
def test_what_is_not_possible_is_one_line(act: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        act(three_themes())  # type: ignore[operator]


def test_a_pin_can_be_taken_out() -> None:
    registry = three_themes()
    pin(registry, "t1")
    pin(registry, "t1", on=False)
    assert rename(registry, "t1", "Ice").name == "Ice"


def test_examples_carry_the_corrected_names() -> None:
    registry = three_themes()
    assert list(labelled_examples(registry, corrected=True)) == []
    rename(registry, "t3", "Cycling")
    move(registry, "glaciers-0", "t3")
    rows = {row["id"]: row for row in labelled_examples(registry)}
    assert len(rows) == 75
    assert rows["glaciers-0"]["topic"] == rows["bicycles-1"]["topic"] == "Cycling"
    assert len(list(labelled_examples(registry, corrected=True))) == 21


def test_a_document_moves_to_a_theme_that_all_others_left() -> None:
    registry = three_themes()
    inside = [row.member.id for row in registry.documents if row.theme == "t3"]
    for document in inside:
        move(registry, document, "t1")
    found = [row.member for row in registry.documents]
    registry.recentre(registry.space, registry.space.encode([m.topic for m in found], [m.text for m in found]))
    move(registry, inside[0], "t3")
    assert home(registry, inside[0]) == "t3"


def test_what_a_person_said_of_a_subtheme_corrects_no_theme() -> None:
    registry = three_themes()
    rename(registry, "t1.1", "Small ice")
    assert list(labelled_examples(registry, corrected=True)) == []
