"""The column names of a table and the settings -> the columns that hold text, id and what is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from topicgen.config import ReaderSettings
from topicgen.errors import UserError

USUAL_NAMES = frozenset(
    {
        "text",
        "body",
        "content",
        "abstract",
        "document",
        "paragraph",
        "description",
        "message",
        "review",
        "comment",
        "summary",
    }
)
_LISTED_NAMES = 30
_DELIMITERS = {";": "';'", "\t": "$'\\t'", "|": "'|'", ",": "','"}


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a table's columns before its rows are read.

    Attributes:
        names: The columns, in order.
        strings: Those known to hold strings, where the format has types.
        other_types: The type of each column known not to hold strings.
        delimited: Whether the names were split at a delimiter, so that a wrong one can be suspected.
    """

    names: Sequence[str]
    strings: Sequence[str] = ()
    other_types: Mapping[str, str] | None = None
    delimited: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that become parts of a document."""

    text: str
    id: str | None
    keep: tuple[str, ...]

    @property
    def needed(self) -> list[str]:
        """Each column that has to be read, once."""
        named = [self.text, *self.keep, *([self.id] if self.id is not None else [])]
        return list(dict.fromkeys(named))


def choose_columns(source: str, header: Header, settings: ReaderSettings, notify: Callable[[str], None]) -> Columns:
    """Returns the columns to read; raises UserError when one is missing or the text column cannot be guessed.

    ``notify`` hears of a guessed text column, unless it is simply called ``text``.
    """
    require_unique_names(source, header.names)
    chosen = [settings.text_column, settings.effective_id_column, *settings.carried]
    for name in chosen:
        if name is not None and name not in header.names:
            listed = f"no column {name!r}; its columns are {_listed(header.names)}"
            raise UserError(f"{source}: {listed}{_delimiter_hint(header)}")
    text = settings.text_column
    if text is None:
        text, reason = _guess(source, header, settings)
        if text != "text":
            notify(f"text column: {text!r} ({reason})")
    other = (header.other_types or {}).get(text)
    if other is not None:
        raise UserError(f"{source}: column {text!r} holds {other}, not text; choose another with --text-column")
    return Columns(text, settings.effective_id_column, settings.carried)


def _guess(source: str, header: Header, settings: ReaderSettings) -> tuple[str, str]:
    taken = settings.effective_id_column
    names = [name for name in header.names if name != taken]
    usual = [name for name in names if name.lower() in USUAL_NAMES]
    strings = [name for name in header.strings if name != taken]
    hint = _delimiter_hint(header)
    if len(names) == 1 and not hint:
        return names[0], "the only one"
    if len(usual) == 1:
        return usual[0], "the only one with a usual name"
    if len(strings) == 1 and not usual:
        return strings[0], "the only one that holds strings"
    raise UserError(f"{source}: which column holds the text? Use --text-column with one of: {_listed(names)}{hint}")


def suspected_delimiter(header: Header) -> str | None:
    """What may separate the fields, where splitting at another delimiter left the header whole."""
    if not header.delimited or len(header.names) != 1:
        return None
    return next((delimiter for delimiter in _DELIMITERS if delimiter in header.names[0]), None)


def _delimiter_hint(header: Header) -> str:
    delimiter = suspected_delimiter(header)
    if delimiter is None:
        return ""
    return f"; if {delimiter!r} separates the fields, use --delimiter {_DELIMITERS[delimiter]}"


def require_unique_names(source: str, names: Sequence[str]) -> None:
    """Raises UserError when two columns of a table have the same name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{source}: two columns are named {name!r}; each needs a name of its own")
        seen.add(name)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED_NAMES
    shown = [name if name.isprintable() else repr(name) for name in (name[:60] for name in names[:_LISTED_NAMES])]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
