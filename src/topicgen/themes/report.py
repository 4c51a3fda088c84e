"""A folder of themes in, report.html or report.md in it out."""

from pathlib import Path
from typing import Literal

from topicgen.errors import UserError
from topicgen.outputs import replace_whole
from topicgen.themes.page import render_page
from topicgen.themes.page_folder import read_folder
from topicgen.themes.report_markdown import render_markdown


def write_report(folder: Path, *, format: Literal["html", "md"] = "html") -> Path:
    """Writes the report of a folder into it, in place of an earlier one, whole or not at all; returns its path.

    Only registry.json, documents.parquet and trends.json of the folder are read.

    Raises:
        UserError: when a file is missing, damaged or of another format, the report cannot be written, or the library
            that makes pages is not installed.
    """
    collection = read_folder(folder)
    text = render_page(collection) if format == "html" else render_markdown(collection)
    path = folder / f"report.{format}"
    try:
        replace_whole(path, text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path
