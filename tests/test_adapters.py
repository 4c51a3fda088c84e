"""Adapter folders: what is found, and what is refused before anything is loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_folders import change, make_adapter
from models import MINI, copy_of_mini, tiny_llama
from safetensors.numpy import load_file, save_file

from topicgen import TopicGenerator, UserError
from topicgen.models import ModelFolder, find_base, find_model

WEIGHTS = "adapter_model.safetensors"
FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tmp_path_factory.mktemp("made") / "adapter", "mini", target_modules=["q_proj", "v_proj"])


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "adapter"))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as refused:
        find_model(str(folder))
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)
    return str(refused.value)


def rewrite(folder: Path, tensors: dict[str, Any]) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / WEIGHTS)


def test_adapter_folder_is_a_model_with_the_weights_of_its_base(folder: Path, mini: ModelFolder) -> None:
    model = find_model(str(folder))
    assert (model.path, model.weights, model.prompt) == (folder, mini.weights, mini.prompt)
    assert model.base is not None and model.base.digest == mini.digest
    assert model.adapter is not None and model.adapter.scale == 2
    assert len(model.adapter.pairs) == 2 * mini.number("num_hidden_layers")
    assert mini.adapter is None and mini.base is None


def test_digest_depends_on_adapter_and_base(folder: Path, mini: ModelFolder) -> None:
    first = find_model(str(folder)).digest
    assert first != mini.digest
    change(folder, lora_alpha=9)
    second = find_model(str(folder)).digest
    rewrite(folder, {name: array * 2 for name, array in load_file(folder / WEIGHTS).items()})
    assert len({first, second, find_model(str(folder)).digest}) == 3


def test_adapter_without_its_config_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()
    assert "no adapter_config.json beside adapter_model.safetensors" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, b"\xff"])
@pytest.mark.parametrize("name", ["adapter_config.json", "base.json"])
def test_broken_json_is_refused(folder: Path, name: str, content: str | bytes) -> None:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt"])
def test_pickled_adapter_is_refused(folder: Path, name: str) -> None:
    (folder / WEIGHTS).rename(folder / name)
    assert f"no {WEIGHTS}; {name} may run code when it is loaded and is refused" in refusal(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "config.json"])
def test_adapter_that_asks_for_code_is_refused(folder: Path, name: str) -> None:
    change(folder, name, auto_map={"AutoModel": "modeling.Model"})
    assert f"{name}: auto_map asks to run code" in refusal(folder)


REFUSED: dict[str, dict[str, Any]] = {
    "peft_type is 'IA3'": {"peft_type": "IA3"},
    "peft_type is None": {"peft_type": None},
    "use_dora is set": {"use_dora": True},
    "use_rslora is set": {"use_rslora": True},
    "modules_to_save is set": {"modules_to_save": ["lm_head"]},
    "alpha_pattern is set": {"alpha_pattern": {"q_proj": 2}},
    "rank_pattern is set": {"rank_pattern": {"q_proj": 2}},
    "bias is 'all'": {"bias": "all"},
    "init_lora_weights 'pissa_niter_4' changes the base's weights": {"init_lora_weights": "pissa_niter_4"},
    "r must be a positive whole number, not 0": {"r": 0},
    "r must be a positive whole number, not None": {"r": None},
    "lora_alpha must be a positive number, not 'much'": {"lora_alpha": "much"},
    "target_modules must be a list of names": {"target_modules": []},
    "adapts v_proj, which target_modules of adapter_config.json does not name": {"target_modules": ["q_proj"]},
    "no LoRA weights of c_attn, which": {"target_modules": ["q_proj", "v_proj", "c_attn"]},
    "but rank 3 on the base mini needs 3 x 576": {"r": 3},
}


@pytest.mark.parametrize(("message", "config"), REFUSED.items())
def test_adapter_of_another_kind_is_refused(folder: Path, message: str, config: dict[str, Any]) -> None:
    change(folder, **config)
    assert message in refusal(folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "no safetensors"])
def test_damaged_adapter_is_refused(folder: Path, damage: str) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes({"cut": whole[:-1], "empty": b"", "no safetensors": b"x" * 100}[damage])
    assert "damaged or not safetensors" in refusal(folder)


def test_adapter_with_foreign_or_missing_tensors_is_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    rewrite(folder, tensors | {"base_model.model.lm_head.lora_A.weight": np.zeros((4, 4), np.float32)})
    assert "lm_head.lora_A.weight is no LoRA weight of a layer" in refusal(folder)
    rewrite(folder, {name: array for name, array in tensors.items() if name != FIRST})
    assert "only one of lora_A and lora_B for model.layers.0.self_attn.q_proj.weight" in refusal(folder)
    rewrite(folder, {})
    assert "no LoRA weights" in refusal(folder)


def test_adapter_on_another_base_is_refused(folder: Path, tmp_path: Path, mini: ModelFolder) -> None:
    other = copy_of_mini(tmp_path / "other")
    (other / "model.safetensors").unlink()
    tensors = {"model.norm.weight": np.zeros(576, np.float32)}
    save_file(tensors, other / "model.safetensors")
    change(folder, "base.json", name=str(other))
    expected = f"was trained on base {other} (sha {mini.weights_digest[:12]}), found {other} (sha "
    assert expected in refusal(folder)
    change(folder, "base.json", weights=None)
    assert f"(sha {mini.digest[:12]}), found {other}" in refusal(folder)


def test_base_with_the_same_weights_and_another_prompt_is_the_same_base(folder: Path, tmp_path: Path) -> None:
    other = copy_of_mini(tmp_path / "other")
    (other / "prompt.json").unlink()
    change(folder, "base.json", name=str(other))
    model = find_model(str(folder))
    assert model.base is not None and model.base.path == other


def test_adapter_without_record_of_its_base_must_fit_it(folder: Path, tmp_path: Path) -> None:
    (folder / "base.json").unlink()
    change(folder, base_model_name_or_path=str(MINI))
    assert find_model(str(folder)).base is not None
    shallow = tiny_llama(tmp_path / "shallow")
    change(folder, base_model_name_or_path=str(shallow))
    assert f"has the shape 4 x 576, but rank 4 on the base {shallow} needs 4 x 64" in refusal(folder)
    thin = copy_of_mini(tmp_path / "thin", num_hidden_layers=2)
    change(folder, base_model_name_or_path=str(thin))
    assert f"but the base {thin} has 2 layers" in refusal(folder)
    deep = copy_of_mini(tmp_path / "deep", num_hidden_layers=9)
    change(folder, base_model_name_or_path=str(deep))
    assert "describes a model of another shape than the base" in refusal(folder)
    change(folder, base_model_name_or_path=None)
    assert "neither base.json nor adapter_config.json names the base model" in refusal(folder)


@pytest.mark.parametrize("name", ["nobody/nothing", "./absent", "x" * 5_000, "nul\0"])
def test_base_that_is_not_here_is_named(folder: Path, name: str) -> None:
    change(folder, "base.json", name=name)
    assert "its base model is not here: " in refusal(folder)


def test_adapter_is_no_base(folder: Path, made: Path) -> None:
    change(folder, "base.json", name=str(folder))
    assert "is an adapter folder; a base model has whole weights" in refusal(folder)
    with pytest.raises(UserError, match="is an adapter folder"):
        find_base(str(made))


def test_relative_base_is_found_here_or_beside_the_adapter(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of_mini(tmp_path / "bases")
    change(folder, "base.json", name="bases")
    for here in (tmp_path, tmp_path / "adapter", Path("/")):
        monkeypatch.chdir(here)
        assert find_model(str(folder)).base is not None
    monkeypatch.chdir(folder)
    base = find_model(".").base
    assert base is not None and base.path == tmp_path / "bases"


def test_base_needs_no_prompt(tmp_path: Path, mini: ModelFolder) -> None:
    plain = copy_of_mini(tmp_path / "plain")
    assert find_base(str(plain)).digest == find_model(str(plain)).digest
    assert (find_base("mini").digest, find_base("mini").own_prompt) == (mini.digest, mini.prompt)
    (plain / "prompt.json").unlink()
    base = find_base(str(plain))
    assert (base.own_prompt, base.context_tokens) == (None, 1024)
    with pytest.raises(UserError, match=r"no prompt\.json"):
        find_model(str(plain))


def test_short_name_of_a_base_stands_for_its_hub_id() -> None:
    with pytest.raises(UserError, match="'unsloth/llama-3-8b-bnb-4bit' is no folder here"):
        find_base("llama3-8b")
    with pytest.raises(UserError, match="give mini or llama3-8b, a model folder"):
        find_base("llama4")


@pytest.mark.parametrize("adapted", [False, True])
def test_quantised_weights_are_not_for_the_cpu_engine(folder: Path, tmp_path: Path, adapted: bool) -> None:
    kind = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    model = copy_of_mini(tmp_path / "quantised", quantization_config=kind)
    if adapted:
        change(folder, "base.json", name=str(model))
        model = folder
    with pytest.raises(UserError, match=r"its weights are quantised; they run on a GPU with the hf engine") as refused:
        TopicGenerator.load(str(model), engine="ct2")
    assert "\n" not in str(refused.value)
    assert json.loads((model / "config.json").read_text())
