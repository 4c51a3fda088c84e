"""The engine's own form of a model, and the cache that keeps it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import PATIENCE
from models import MINI, copy_of_mini, replace, tiny_llama
from safetensors import deserialize
from safetensors.numpy import load_file, save_file

from topicgen import TopicGenerator, UserError
from topicgen.engines import CT2Engine
from topicgen.engines.ct2_weights import ct2_folder, vocabulary
from topicgen.models import ModelFolder, find_model

TEXT = "Glaciers lose mass faster when their surface darkens with soot."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


def built_files(cache: Path) -> list[str]:
    return sorted(str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file())


def topic(model: Path) -> str:
    return TopicGenerator.load(str(model), engine="ct2").generate([TEXT])[0].topic


def test_form_is_built_once(tiny: Path, own_cache: Path) -> None:
    first = topic(tiny)
    [folder] = own_cache.iterdir()
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert topic(tiny) == first
    assert [path.name for path in own_cache.iterdir()] == [folder.name]
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_each_model_and_precision_has_its_own_form(tiny: Path, own_cache: Path, tmp_path: Path) -> None:
    other = tiny_llama(tmp_path / "other", seed=1)
    for folder in (tiny, other):
        for precision in ("int8", "float32"):
            CT2Engine(find_model(str(folder)), precision=precision)
    assert len(list(own_cache.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "no weights", "no checksum", "empty"])
def test_damaged_form_is_built_anew(tiny: Path, own_cache: Path, damage: str) -> None:
    first = topic(tiny)
    [folder] = own_cache.iterdir()
    weights = folder / "model.bin"
    whole = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(whole[:1000])
    elif damage == "flipped":
        weights.write_bytes(whole[:-1000] + bytes(1000))
    elif damage == "no checksum":
        (folder / "sha256.json").unlink()
    else:
        weights.unlink()
    if damage == "empty":
        for file in folder.iterdir():
            file.unlink()
    assert topic(tiny) == first
    assert weights.read_bytes() == whole
    assert [path.name for path in own_cache.iterdir()] == [folder.name]


def test_what_a_killed_build_left_is_swept_away_after_an_hour(tiny: Path, own_cache: Path) -> None:
    own_cache.mkdir(exist_ok=True)
    for name, age in ((".ct2-2-dead-int8-x", 7200), (".ct2-2-alive-int8-y", 60)):
        (own_cache / name).mkdir()
        os.utime(own_cache / name, (time.time() - age, time.time() - age))
    ct2_folder(find_model(str(tiny)), "int8", own_cache)
    assert [path.name for path in own_cache.glob(".ct2-*")] == [".ct2-2-alive-int8-y"]


def test_cache_that_cannot_be_written_is_done_without(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = topic(tiny)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOPICGEN_CACHE", str(tmp_path / "file" / "cache"))
    generator = TopicGenerator.load(str(tiny), engine="ct2")
    folder = generator.engine._folder
    assert folder.is_dir()
    assert generator.generate([TEXT])[0].topic == expected
    del generator
    assert not folder.exists()


def test_processes_that_build_at_once_all_succeed(tiny: Path, own_cache: Path) -> None:
    code = (
        "import sys; from topicgen import TopicGenerator\n"
        "sys.stdin.read()\n"  # all wait until the pipe is closed
        f"print(TopicGenerator.load({str(tiny)!r}, engine='ct2').generate([{TEXT!r}])[0].topic)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    printed = [process.communicate(timeout=PATIENCE)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert set(printed) == {topic(tiny)}
    assert len(list(own_cache.iterdir())) == 1


def test_form_that_another_process_built_meanwhile_is_left_in_place(
    tiny: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topicgen.engines import ct2_weights

    model, build = find_model(str(tiny)), ct2_weights._build

    def build_after_another(*arguments: Any) -> None:
        monkeypatch.setattr(ct2_weights, "_build", build)
        theirs.append(ct2_folder(model, "int8", own_cache)[0])
        inodes.append((theirs[0] / "model.bin").stat().st_ino)
        build(*arguments)

    theirs: list[Path] = []
    inodes: list[int] = []
    monkeypatch.setattr(ct2_weights, "_build", build_after_another)
    ours, owner = ct2_folder(model, "int8", own_cache)
    assert (ours / "model.bin").is_file()
    assert (theirs[0] / "model.bin").stat().st_ino == inodes[0]
    assert owner is not None


def test_weights_in_several_files_and_in_each_kind_are_read(tiny: Path, own_cache: Path, tmp_path: Path) -> None:
    from topicgen.engines.weights import read_tensors

    tensors = load_file(tiny / "model.safetensors")
    folder = tiny_llama(tmp_path / "split")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    save_file({name: tensors[name] for name in names[::2]}, folder / "model-1.safetensors")
    save_file({name: tensors[name].astype(np.float16) for name in names[1::2]}, folder / "model-2.safetensors")
    found = read_tensors(find_model(str(folder)))
    for number, name in enumerate(names):
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], tensors[name], rtol=2**-10 * (number % 2), atol=1e-7)
    assert topic(folder)


def test_bfloat16_weights_are_widened_exactly(mini: ModelFolder) -> None:
    torch = pytest.importorskip("torch")
    from topicgen.engines.weights import read_tensors

    ours = read_tensors(mini)
    name, entry = deserialize((MINI / "model.safetensors").read_bytes())[0]
    assert entry["dtype"] == "BF16"
    theirs = torch.frombuffer(bytearray(entry["data"]), dtype=torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(ours[name].ravel(), theirs)


def test_vocabulary_has_a_name_for_every_row_of_the_embeddings(mini: ModelFolder, tmp_path: Path) -> None:
    assert len(set(vocabulary(mini))) == mini.config["vocab_size"]
    wider = find_model(str(copy_of_mini(tmp_path / "model", vocab_size=16390)))
    assert vocabulary(wider)[-1] == "<unused_16389>"


REFUSED: dict[str, dict[str, Any]] = {
    "runs LlamaForCausalLM without biases, not GPT2LMHeadModel": {"architectures": ["GPT2LMHeadModel"]},
    "runs LlamaForCausalLM without biases": {"attention_bias": True},
    r"runs LlamaForCausalLM without biases, not \?": {"architectures": None},
    "knows the activation silu, not gelu": {"hidden_act": "gelu"},
    "default, linear and llama3, not 'yarn'": {"rope_parameters": {"rope_type": "yarn", "factor": 2}},
    "default, linear and llama3, not 'dynamic'": {"rope_scaling": {"type": "dynamic", "factor": 2}},
    "lack 'factor'": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0}},
    "lack 'model.layers.6.input_layernorm.weight'": {"num_hidden_layers": 7},
    "lack 'lm_head.weight'": {"tie_word_embeddings": False},
    "vocab_size must be a positive whole number, not None": {"vocab_size": None},
    "num_attention_heads must be a positive whole number, not 'many'": {"num_attention_heads": "many"},
    "max_position_embeddings must be a positive whole number, not 0": {"max_position_embeddings": 0},
    "q_proj.weight has 512 rows, but config.json asks for 1024": {"num_attention_heads": 16, "head_dim": 64},
    "k_proj.weight has 64 rows, but config.json asks for 128": {"num_key_value_heads": 2},
    "embed_tokens.weight has 16384 rows, but config.json asks for 16000": {"vocab_size": 16000},
}


@pytest.mark.parametrize(("message", "config"), REFUSED.items())
def test_model_that_the_engine_cannot_run_is_refused(
    tmp_path: Path, own_cache: Path, message: str, config: dict[str, Any]
) -> None:
    folder = copy_of_mini(tmp_path / "model", **config)
    with pytest.raises(UserError, match=message) as refusal:
        TopicGenerator.load(str(folder), engine="ct2")
    assert "\n" not in str(refusal.value)
    assert built_files(own_cache) == []


@pytest.mark.parametrize("damage", ["cut", "empty", "no safetensors", "header"])
def test_damaged_weights_are_refused(tmp_path: Path, own_cache: Path, damage: str) -> None:
    folder = copy_of_mini(tmp_path / "model")
    whole = (MINI / "model.safetensors").read_bytes()
    damaged = {"cut": whole[:-1], "empty": b"", "no safetensors": b"x" * 100, "header": b"\xff" * 8 + whole[8:]}
    replace(folder / "model.safetensors", damaged[damage])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged or not safetensors"):
        TopicGenerator.load(str(folder), engine="ct2")
    assert built_files(own_cache) == []


def test_weights_of_another_kind_are_refused(tmp_path: Path, own_cache: Path) -> None:
    folder = copy_of_mini(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    save_file({"model.embed_tokens.weight": np.zeros(4, np.int8)}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"is I8; engines of the CPU read F32, F16 and BF16"):
        TopicGenerator.load(str(folder), engine="ct2")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_cache_folder_without_write_permission_is_done_without(tiny: Path, own_cache: Path) -> None:
    own_cache.mkdir(mode=0o500)
    assert topic(tiny)
    assert list(own_cache.iterdir()) == []
