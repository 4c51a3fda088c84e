"""From a model's name to its folder."""

import shutil
from pathlib import Path

import pytest
from models import MINI, copy_of_mini, replace

from topicgen import UserError
from topicgen.models import ModelFolder, find_model


def test_embedded_model_is_found_by_name(mini: ModelFolder) -> None:
    assert mini.name == "mini"
    assert [file.suffix for file in mini.weights] == [".safetensors"]
    assert mini.context_tokens == mini.config["max_position_embeddings"]
    assert mini.tokenizer.get_vocab_size() == mini.config["vocab_size"]


def test_folder_is_a_model_with_the_same_digest(tmp_path: Path, mini: ModelFolder) -> None:
    for name in ("config.json", "tokenizer.json", "prompt.json", "model.safetensors"):
        shutil.copy(MINI / name, tmp_path)
    found = find_model(str(tmp_path))
    assert (found.path, found.name, found.digest) == (tmp_path, str(tmp_path), mini.digest)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "prompt.json", "model.safetensors"])
def test_digest_depends_on_each_file(tmp_path: Path, mini: ModelFolder, name: str) -> None:
    folder = copy_of_mini(tmp_path / "model")
    before = find_model(str(folder)).digest
    replace(folder / name, (folder / name).read_bytes() + b" ")
    assert find_model(str(folder)).digest != before


@pytest.mark.parametrize("name", ["maxi", "", "./absent", "/absent/model", "a/b/c", "~/model", "nul\0", "x" * 5_000])
def test_unknown_name_is_refused_with_what_is_needed(name: str) -> None:
    with pytest.raises(UserError, match=r"no model .*: give mini, a model folder, or a hub id"):
        find_model(name)


def test_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(UserError, match="is a file; a model is a folder"):
        find_model(str(file))


def test_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json; a model folder holds"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", b"\xff\xfe"])
def test_broken_config_is_refused(tmp_path: Path, content: str | bytes) -> None:
    folder = copy_of_mini(tmp_path / "model")
    replace(folder / "config.json", content)
    with pytest.raises(UserError, match=r"config\.json: (cannot be read as JSON|a JSON object is needed)"):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_pickled_weights_are_refused(tmp_path: Path, name: str) -> None:
    folder = copy_of_mini(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / name).touch()
    with pytest.raises(UserError, match=rf"no \*\.safetensors; {name} may run code .* refused"):
        find_model(str(folder))


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = copy_of_mini(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no \*\.safetensors$"):
        find_model(str(folder))


def test_config_that_asks_for_code_of_the_model_is_refused(tmp_path: Path) -> None:
    folder = copy_of_mini(tmp_path / "model", auto_map={"AutoModel": "modeling.Model"})
    with pytest.raises(UserError, match="auto_map asks to run code"):
        find_model(str(folder))


@pytest.mark.parametrize("content", [None, "", "{}", "{"])
def test_tokenizer_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None) -> None:
    folder = copy_of_mini(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    if content is not None:
        replace(folder / "tokenizer.json", content)
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        assert find_model(str(folder)).tokenizer


@pytest.mark.parametrize("length", ["many", None, [], -1, 0])
def test_context_length_that_makes_no_sense_is_refused(tmp_path: Path, length: object) -> None:
    folder = copy_of_mini(tmp_path / "model")
    model = find_model(str(folder))
    model.config["max_position_embeddings"] = length
    with pytest.raises(UserError, match="max_position_embeddings"):
        assert model.context_tokens


def test_hub_id_without_network_is_refused_on_one_line() -> None:
    with pytest.raises(UserError) as refusal:
        find_model("nobody/nothing")
    assert str(refusal.value).startswith("model 'nobody/nothing' is no folder here and cannot be downloaded: ")
    assert "HF_HUB_OFFLINE is set" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["a/..", "a/b c", "näme/x", "-a/--b"])
def test_hub_id_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        find_model(name)
