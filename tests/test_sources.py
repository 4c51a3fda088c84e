"""Which files the inputs stand for, and which are refused."""

import os
from pathlib import Path
from typing import Any

import pytest
from reading import read, texts

from topicgen.config import ReaderSettings
from topicgen.errors import UsageError, UserError
from topicgen.reader import Problems, check_inputs, read_documents


def test_folder_is_read_sorted_without_hidden_files_and_linked_folders(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("c.txt", "b/z.md", "a.txt", ".hidden.txt", ".git/x.txt", "image.png"):
        (folder / name).write_text(name)
    (folder / "loop").symlink_to(folder)
    assert texts(folder) == ["a.txt", "b/z.md", "c.txt"]
    assert read(folder)[1].source == str(folder / "b/z.md")


def test_folder_leaves_out_the_outputs_of_the_run(tmp_path: Path) -> None:
    for name in ("a.txt", "out.txt", "bad.txt"):
        (tmp_path / name).write_text(name)
    problems = Problems(tmp_path / "bad.txt")
    reading = read_documents([str(tmp_path)], ReaderSettings(), problems, skip=[tmp_path / "out.txt"])
    assert [d.text for d in reading] == ["a.txt"]


def test_folder_with_a_given_format_takes_the_files_of_that_format(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("readme")
    (tmp_path / "a.csv").write_text("text\ncell\n")
    assert texts(tmp_path, input_format="csv") == ["cell"]
    with pytest.raises(UserError, match="no file that holds jsonl"):
        texts(tmp_path, input_format="jsonl")


def test_folder_without_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.png").touch()
    with pytest.raises(UserError, match=r"the folder has no file; known are \.txt, \.md"):
        read(tmp_path)


def test_several_inputs_keep_their_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(name)
    assert texts(tmp_path / "b.txt", tmp_path / "a.txt", "-", stdin=b"stdin") == ["b.txt", "a.txt", "stdin"]


@pytest.mark.parametrize(("suffix", "known"), [(".TXT", True), (".pdf", False), ("", False)])
def test_format_goes_by_suffix(tmp_path: Path, suffix: str, known: bool) -> None:
    file = tmp_path / f"file{suffix}"
    file.write_text("content")
    if known:
        assert texts(file) == ["content"]
        return
    with pytest.raises(UserError, match=r"unknown file type .*\.parquet.*--input-format"):
        read(file)
    assert texts(file, input_format="text") == ["content"]


@pytest.mark.parametrize("again", ["notes.txt", "./notes.txt", ".", "sub/../notes.txt"])
def test_same_input_twice_is_a_usage_error(
    tmp_path: Path, notes: Path, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.write_text("x")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="given twice"):
        check_inputs([str(notes), again], ReaderSettings())


@pytest.mark.parametrize("inputs", [[], [""], ["-", "-"]])
def test_inputs_that_make_no_sense_are_usage_errors(inputs: list[str]) -> None:
    with pytest.raises(UsageError):
        read_documents(inputs, ReaderSettings(), Problems())


def test_missing_path_symlink_loop_and_odd_names_are_refused_at_the_call(tmp_path: Path) -> None:
    loop = tmp_path / "loop.txt"
    loop.symlink_to(loop)
    for name in (tmp_path / "absent.txt", loop, "nul\0.txt", "x" * 5_000):
        with pytest.raises(UserError, match="cannot be read"):
            read_documents([str(name)], ReaderSettings(), Problems())


def test_named_pipe_and_device_are_refused_without_opening_them(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    for given, kind in ((pipe, "a named pipe"), (tmp_path, "a named pipe"), ("/dev/null", "not a regular file")):
        with pytest.raises(UserError, match=f"{kind}; pipe its content into standard input"):
            check_inputs([str(given)], ReaderSettings())


def test_unreadable_file_is_refused_at_the_call(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes.write_text("x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=f"{notes}: cannot be read: Permission denied"):
        read_documents([str(notes)], ReaderSettings(), Problems())


def test_file_name_that_is_not_utf_8_gives_a_source_that_can_be_written(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    file.write_text("x")
    assert read(tmp_path)[0].source.endswith("/\ufffd.txt")


def test_column_options_on_text_alone_are_refused(notes: Path) -> None:
    notes.write_text("x")
    for settings in ({"keep": ("a",)}, {"text_column": "a"}, {"id_column": "a"}):
        with pytest.raises(UsageError, match="has no columns"):
            check_inputs([str(notes)], ReaderSettings(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"encoding": "utf-9"},
        {"encoding": "base64"},
        {"encoding": "undefined"},
        {"encoding": "a\0"},
        {"delimiter": '"'},
        {"delimiter": "ab"},
        {"input_format": "xml"},
        {"unit": "word"},
    ],
)
def test_settings_are_checked_at_construction(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ReaderSettings(**settings)
