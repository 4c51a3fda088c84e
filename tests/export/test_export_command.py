"""``topicgen export`` end to end: every form is loaded again by what runs it, and refused whole where it cannot be."""

import json
import sys
from pathlib import Path

import pytest
from adapter_folders import change, make_adapter
from commands import Command
from models import tiny_llama
from writing import full_disk, names

from topicgen.export.check import sample_texts, topics_of
from topicgen.models import ModelFolder, find_model
from topicgen.phrase import clean

WEIGHTS = "model.safetensors"
TEXTS = ["Bees returned with more pollen from strips of wild flowers.", "The night bus is full until 1:30 a.m."]


def record(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "export.json").read_text())
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter") / "adapter", str(tiny), strength=0.3)


def written(model: str) -> list[str]:
    return topics_of(find_model(model), TEXTS)


def test_a_merged_adapter_needs_no_base_and_writes_the_same(command: Command, adapter: Path, tiny: Path) -> None:
    result = command.here("export", str(adapter), "--to", "merged", "-o", "merged")
    assert (result.code, result.out) == (0, "merged\n")
    merged = command.folder / "merged"
    assert "topics equal (run by the ct2 engine)" in result.err
    assert written(str(merged)) == written(str(adapter)) != written(str(tiny))
    assert not ModelFolder(merged, "merged").adapter
    assert record(merged)["check"] == {"texts": 24, "equal": 24, "by": "the ct2 engine"}
    assert (merged / "model.safetensors").stat().st_mode == (merged / "config.json").stat().st_mode


def test_the_default_folder_is_named_after_model_and_form(command: Command, tiny: Path) -> None:
    result = command.here("export", str(tiny), "--to", "merged", "-q")
    assert (result.out, result.err) == ("tiny-merged\n", "")
    assert names(command.folder) == ["tiny-merged"]


def test_ct2_folders_run_in_ctranslate2_alone(command: Command, tiny: Path) -> None:
    assert command.here("export", str(tiny), "--to", "ct2", "--type", "float32").code == 0
    import ctranslate2
    from tokenizers import Tokenizer

    folder = command.folder / "tiny-ct2"
    prompt = json.loads((folder / "prompt.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    start = tokenizer.encode(prompt["prefix"] + TEXTS[0] + prompt["suffix"], add_special_tokens=False).tokens
    [result] = ctranslate2.Generator(str(folder)).generate_batch(
        [start], max_length=16, end_token=prompt["stop"], include_prompt_in_result=False
    )
    assert clean(tokenizer.decode(result.sequences_ids[0])) == written(str(tiny))[0]


def test_an_export_that_writes_other_topics_is_not_kept(command: Command) -> None:
    """Numbers beyond the largest of float16 become infinite."""
    from safetensors.numpy import load_file, save_file

    large = tiny_llama(command.folder / "large")
    weights = load_file(large / WEIGHTS)
    save_file(weights | {"model.embed_tokens.weight": weights["model.embed_tokens.weight"] * 1e6}, large / WEIGHTS)
    result = command.here("export", str(large), "--to", "merged", "--type", "float16", "-q")
    assert result.code == 1
    assert "was not kept, because it writes other topics than the model" in result.complaint
    assert names(command.folder) == ["large"]


def test_an_earlier_export_is_replaced_only_by_force(command: Command, tiny: Path) -> None:
    call = ("export", str(tiny), "--to", "merged", "-o", "out", "-q")
    assert command.here(*call).code == 0
    out = command.folder / "out"
    (out / "stale.safetensors").write_bytes(b"")
    (out / "mine.gguf").write_bytes(b"made of it by another program")
    record = json.loads((out / "export.json").read_text())
    record["files"].append("stale.safetensors")  # as of an export in more shards
    (out / "export.json").write_text(json.dumps(record))
    assert "holds an export already; use --force" in command.here(*call).complaint
    assert command.here(*call, "--force").code == 0
    assert "stale.safetensors" not in names(out)
    assert (out / "mine.gguf").read_bytes() == b"made of it by another program"


def test_a_folder_that_is_no_export_is_never_replaced(command: Command) -> None:
    command.folder.joinpath("thesis").mkdir()
    command.write("thesis/chapter.txt", "one")
    result = command.here("export", "mini", "--to", "merged", "-o", "thesis", "--force")
    assert result.code == 1
    assert "holds files that are no export" in result.complaint
    assert names(command.folder / "thesis") == ["chapter.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(command: Command) -> None:
    command.write("out", "text")
    assert "is a file; an export is a folder" in command.here("export", "mini", "--to", "ct2", "-o", "out").complaint


@pytest.mark.parametrize("form", ["merged", "gguf", "ct2"])
def test_a_full_disk_leaves_nothing_behind(command: Command, adapter: Path, form: str) -> None:
    call = ("export", str(adapter), "--to", form, "--type", "float32", "-q")
    assert command.here(*call, "-o", "first").code == 0  # fills the cache
    with full_disk(100_000):
        result = command.here(*call, "-o", "out")
    assert result.code == 1
    assert "out: cannot be written" in result.complaint
    assert ".part" not in result.complaint
    assert names(command.folder) == ["first"]


def test_a_place_that_cannot_be_written_is_told_in_one_line(command: Command) -> None:
    command.write("file", "")
    result = command.here("export", "mini", "--to", "ct2", "-o", "file/out")
    assert result.code == 1
    assert "cannot be written" in result.complaint


def test_an_adapter_on_the_wrong_base_is_refused(command: Command, tmp_path: Path) -> None:
    base, other = tiny_llama(tmp_path / "base"), tiny_llama(tmp_path / "other", seed=1)
    folder = make_adapter(tmp_path / "adapter", str(base))
    change(folder, "base.json", name=str(other))
    result = command.here("export", str(folder), "--to", "merged", "-o", "out")
    assert result.code == 1
    assert "which is another model" in result.complaint
    assert not (command.folder / "out").exists()


@pytest.mark.parametrize(
    ("form", "kind", "known"),
    [("ct2", "q8_0", "auto, int8, float32"), ("gguf", "int8", "auto, float16, bfloat16, float32, q8_0")],
)
def test_a_type_that_a_form_cannot_hold_is_wrong_usage(command: Command, form: str, kind: str, known: str) -> None:
    result = command.here("export", "mini", "--to", form, "--type", kind)
    assert result.code == 2
    assert f"--to {form} knows --type {known}, not {kind}" in result.complaint


@pytest.mark.parametrize(
    ("library", "form"), [("gguf", "gguf"), ("xllamacpp", "ollama"), ("torch", "merged"), ("huggingface_hub", "hub")]
)
def test_a_missing_library_is_named_with_its_extra(
    command: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch, library: str, form: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    more = ["--repo", "a/b"] if form == "hub" else []
    result = command.here("export", str(tiny), "--to", form, "-o", "out", "-q", *more)
    assert result.code == 1
    assert f"{library} needs the extra 'export': pip install 'topicgen[export]'" in result.complaint
    assert names(command.folder) == []


def test_texts_of_the_models_own_test_part_are_compared_too(tiny: Path, tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "tested")
    (folder / "test.jsonl").write_text(json.dumps({"text": "Own text", "topic": "Own"}) + "\n")
    assert sample_texts(find_model(str(folder)), 48)[0] == "Own text"
    assert len(sample_texts(find_model(str(folder)), 48)) == len(sample_texts(find_model(str(tiny)), 48)) + 1
