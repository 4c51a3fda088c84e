"""A collection of themes in; one HTML page that needs nothing else out."""

from typing import Any

from topicgen.html import render
from topicgen.themes.page_data import TEXT_LIMIT, page_data
from topicgen.themes.page_folder import Collection

_SCRIPTS = ("themes_text", "themes_map", "themes_charts", "themes_pages", "themes_table")


def render_page(collection: Collection) -> str:
    """The page of a collection: self-contained, no network, the same bytes for the same input.

    Raises:
        UserError: the extra with the template engine is not installed.
    """
    data = page_data(collection)
    texts, kept = collection.documents.texts, data["documents"]["text"]
    page = render(
        "themes",
        data,
        extra="themes",
        parts=_SCRIPTS,
        facts=facts(collection),
        themes=data["themes"],
        total=data["total"],
        listed=len(data["documents"]["id"]),
        text_limit=TEXT_LIMIT,
        texts=any(text is not None for text in kept),
        textless=sum(text is None for text in kept) if any(text is not None for text in texts) else 0,
        subthemes=bool(data["subthemes"]),
        trends=data["trends"] is not None,
        periods=data["documents"]["period"] is not None,
    )
    return page.encode("utf-8", "replace").decode()  # a lone surrogate in a name could not be written to a file


def facts(collection: Collection) -> list[tuple[str, str]]:
    """What the head of a page or report says of the collection: a label and its value, both short."""
    found = [("Documents", f"{len(collection.documents.ids):,}"), ("Themes", f"{len(collection.themes):,}")]
    if collection.subthemes:
        found.append(("Sub-themes", f"{len(collection.subthemes):,}"))
    found.append(("Coverage", percent(collection.coverage)))
    dates = [date for date in collection.documents.dates if date is not None]
    if dates:
        first, last = min(dates).isoformat(), max(dates).isoformat()
        found.append(("Documents dated", first if first == last else f"{first} to {last}"))
    if len(collection.updates) > 1:
        added = collection.updates[-1].get("added")
        news = f", the last added {added:,} documents" if isinstance(added, int) else ""
        found.append(("Updates", f"{len(collection.updates)}{news}"))
    inputs = _inputs(collection)
    if inputs:
        found.append(("From", inputs))
    return [*found, ("Collected", f"{collection.created[:10]}, topicgen {collection.version}")]


def counted(number: int, noun: str) -> str:
    """A number with what it counts, as "1 theme" and "2 themes"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share as a reader sees it; what is not quite everything never reads as 100 %."""
    text = f"{100 * share:.1f}"
    return "100 %" if share == 1 else f"{'99.9' if text == '100.0' else text} %"


def _inputs(collection: Collection) -> str:
    """The names of the first inputs, without their folders."""
    found: list[Any] = [one for update in collection.updates for one in update.get("inputs") or ()]
    names = list(dict.fromkeys(str(one).rsplit("/", 1)[-1] for one in found))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
