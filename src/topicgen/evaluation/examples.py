"""A labelled table in, examples out; a table of predictions in, topics in the order of the examples out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.labelled import cell_text, either, reference_column, text_column
from topicgen.reader import Problems, column_names, read_documents
from topicgen.records import Document, Example

PREDICTION_NAMES = ("topic", "prediction", "predicted", "output")
_SHOWN = 3

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabelledColumns:
    """Columns of a labelled table; None and () take those with a usual name."""

    text: str | None = None
    id: str | None = None
    references: tuple[str, ...] = ()
    title: str | None = None
    category: str | None = None
    predictions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled table: its examples, and what other systems wrote for them in columns of the table."""

    path: str
    examples: list[Example]
    reference_columns: tuple[str, ...] = ()
    predictions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def without_reference(self) -> int:
        """Examples that no score with references can count."""
        return sum(not example.references for example in self.examples) if self.reference_columns else 0


def read_labelled(
    path: str, columns: LabelledColumns, problems: Problems, notify: Notify, reading: ReaderSettings | None = None
) -> Labelled:
    """Reads examples.

    Raises:
        UserError: For a column that is missing or holds no text, and for a table without rows.
    """
    reading = reading or ReaderSettings()
    names = column_names(path, reading)
    chosen = _choose(path, names, columns, notify)
    keep = tuple(n for n in (*chosen.references, chosen.title, chosen.category, *chosen.predictions) if n is not None)
    settings = replace(reading, text_column=chosen.text, id_column=chosen.id, keep=keep)
    examples: list[Example] = []
    predictions: dict[str, list[str]] = {name: [] for name in chosen.predictions}
    for document in read_documents([path], settings, problems, notify=notify):
        examples.append(_example(document, chosen))
        for name, written in predictions.items():
            written.append(_text(document, name))
    if not examples:
        raise UserError(f"{path}: holds no row; a labelled table is needed")
    return Labelled(path, examples, chosen.references, predictions)


def _choose(path: str, names: Sequence[str], columns: LabelledColumns, notify: Notify) -> LabelledColumns:
    taken = {columns.text, columns.id, columns.title, columns.category, *columns.predictions}
    references = columns.references
    if not references:
        usual = reference_column(path, names, taken, notify)
        references = () if usual is None else (usual,)

    def usual_one(given: str | None, name: str) -> str | None:
        return given if given is not None or name not in names or name in {*taken, *references} else name

    chosen = replace(
        columns,
        references=references,
        id=usual_one(columns.id, "id"),
        title=usual_one(columns.title, "title"),
        category=usual_one(columns.category, "category"),
    )
    if chosen.text is None:  # a reference must not be taken for the text
        used = {chosen.title, chosen.category, *chosen.references, *chosen.predictions}
        chosen = replace(chosen, text=text_column(path, names, chosen.id, used, notify))
    return chosen


def _example(document: Document, columns: LabelledColumns) -> Example:
    references = [text for name in columns.references if (text := _text(document, name))]
    title = _text(document, columns.title) if columns.title else ""
    category = document.columns.get(columns.category) if columns.category else None
    return Example(
        id=document.id,
        text=document.text,
        references=tuple(references),
        title=title or None,
        category=None if category is None or category != category or not str(category).strip() else str(category),
    )


def _text(document: Document, column: str) -> str:
    return cell_text(document.columns.get(column), column, f"{document.source}, row {document.position}")


def read_predictions(
    path: str,
    column: str | None,
    examples: Sequence[Example],
    problems: Problems,
    notify: Notify,
    reading: ReaderSettings | None = None,
) -> list[str]:
    """Topics of another system, in the order of the examples; "" where it wrote none.

    Rows belong together by id when the predictions have ids that the examples know, else by position.

    Raises:
        UserError: When examples have no prediction, or the numbers of rows differ where there are no ids.
    """
    reading = reading or ReaderSettings()
    names = column_names(path, reading)
    usual = [name for name in PREDICTION_NAMES if name in names]
    if not names:
        raise UserError(f"{path}: holds no row; a table of predictions is needed")
    if column is None and not usual:
        raise UserError(
            f"{path}: which column holds the topics? Use --predictions-column with {either(names) or 'one'}"
        )
    settings = replace(reading, text_column=column or usual[0], id_column="id" if "id" in names else None)
    try:
        documents = list(read_documents([path], settings, problems, notify=notify))
    except UserError as error:
        raise UserError(str(error).replace("--text-column", "--predictions-column")) from None
    topics = {document.id: document.text.strip() for document in documents}
    missing = [example.id for example in examples if example.id not in topics]
    if not missing:
        if len(documents) > len(examples):
            notify(f"{path}: {len(documents) - len(examples)} predictions for other documents are left out")
        return [topics[example.id] for example in examples]
    if len(missing) < len(examples):
        shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise UserError(f"{path}: no prediction for {len(missing)} of {len(examples)} ids: {shown}")
    if problems.failed:
        raise UserError(
            f"{path}: rows were left out and no ids are in common, so that rows cannot be matched by position"
        )
    if len(documents) != len(examples):
        raise UserError(
            f"{path}: {len(documents)} predictions for {len(examples)} documents; without ids in common the numbers"
            " must be equal"
        )
    notify(f"{path}: no ids in common with the labelled rows; matched by position")
    return [document.text.strip() for document in documents]
