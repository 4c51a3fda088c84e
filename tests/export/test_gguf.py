"""GGUF files and Modelfiles: llama.cpp and transformers read from them what the model is."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_folders import make_adapter
from commands import Command
from models import MINI, replace, tiny_llama

from topicgen import UserError
from topicgen.export import gguf, ollama
from topicgen.export.check import topics_of
from topicgen.export.gguf_tokens import CONTROL, NORMAL, UNUSED, chat_template, gguf_tokens, without_begin
from topicgen.export.llamacpp import llamacpp_writer
from topicgen.models import ModelFolder, find_model

TEXT = "Bees that foraged on sown strips returned with 38% more pollen; we're sure, after 12345 visits."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny")))


def test_llama_cpp_writes_the_topics_of_the_embedded_model(command: Command) -> None:
    result = command.here("export", "mini", "--to", "gguf")
    assert (result.code, result.out) == (0, "mini-gguf\n"), result.err
    check = json.loads((command.folder / "mini-gguf/export.json").read_text())["check"]
    assert (check["by"], check["texts"]) == ("llama.cpp", 24)
    assert check["equal"] >= 23


def test_a_merged_adapter_reaches_llama_cpp(command: Command, tiny: ModelFolder) -> None:
    adapter = make_adapter(command.folder / "adapter", str(tiny.path), strength=0.3)
    result = command.here("export", str(adapter), "--to", "gguf", "--type", "float32", "-o", "out")
    assert re.search(r"2[34] of 24 topics equal \(run by llama.cpp", result.err)


@pytest.mark.parametrize("tied", [False, True])
def test_transformers_computes_the_same_logits_from_the_file(tmp_path: Path, tied: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    rope = {"rope_theta": 5000.0, "rope_type": "default"}
    folder = tiny_llama(tmp_path / "model", tie_word_embeddings=tied, rope_parameters=rope, rms_norm_eps=1e-3)
    gguf.write(find_model(str(folder)), tmp_path, "float32")
    ids = torch.tensor([find_model("mini").tokenizer.encode(TEXT).ids])
    source = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    read = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=gguf.FILE, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, source(ids).logits, rtol=1e-4, atol=1e-4)


LLAMA_3_1 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "factor": 8.0}
LLAMA_3_1 |= {"original_max_position_embeddings": 64}


@pytest.mark.parametrize("scaling", [{"rope_type": "linear", "factor": 4.0}, LLAMA_3_1], ids=["linear", "llama3"])
def test_scaled_rotary_embeddings_reach_llama_cpp(tmp_path: Path, scaling: dict[str, Any]) -> None:
    rope = {"rope_theta": 10000.0, "rope_type": "default"}
    plain = find_model(str(tiny_llama(tmp_path / "plain", rope_parameters=rope)))
    model = find_model(str(tiny_llama(tmp_path / "model", rope_parameters=rope | scaling)))
    gguf.write(model, tmp_path, "float32")
    text = " ".join([TEXT] * 4)
    [expected] = topics_of(model, [text])
    assert expected != topics_of(plain, [text])[0]
    assert llamacpp_writer(tmp_path / gguf.FILE, model.prompt, 1024)([text]) == [expected]


def test_factors_of_llama_3_1_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = LLAMA_3_1 | {"original_max_position_embeddings": 8192, "rope_theta": 500000.0}
    config = LlamaConfig(hidden_size=4096, num_attention_heads=32, rope_parameters=rope)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1 / 500000.0 ** (np.arange(0, 128, 2) / 128)
    factors = gguf.rotary_factors(500000.0, "llama3", rope, 128)
    np.testing.assert_allclose(plain / factors, scaled.numpy(), rtol=1e-5)


def test_tokens_keep_their_ids_and_kinds(tmp_path: Path) -> None:
    tokens = gguf_tokens(find_model("mini"))
    assert (tokens.pre, tokens.begin, tokens.end, tokens.add_begin) == ("llama-bpe", 0, 1, False)
    assert tokens.types[:7] == [CONTROL] * 6 + [NORMAL]
    assert len(tokens.tokens) == len(set(tokens.tokens)) == 16384
    wider = find_model(str(tiny_llama(tmp_path / "wider", vocab_size=16400)))
    assert gguf_tokens(wider).types[16383:] == [NORMAL] + [UNUSED] * 16


def bos_adding(folder: Path) -> ModelFolder:
    """A model whose tokenizer begins every text with a token, as that of Llama 3 does."""
    made = tiny_llama(folder)
    tokenizer = json.loads((MINI / "tokenizer.json").read_text())
    begin = {"id": "<|begin_of_text|>", "ids": [0], "tokens": ["<|begin_of_text|>"]}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": begin["id"], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {begin["id"]: begin},
    }
    replace(made / "tokenizer.json", json.dumps(tokenizer))
    return find_model(str(made))


def test_a_first_token_that_programs_add_stands_once(tmp_path: Path) -> None:
    model = bos_adding(tmp_path / "model")
    tokens = gguf_tokens(model)
    assert tokens.add_begin
    assert without_begin(model.prompt.prefix, tokens) == ""
    gguf.write(model, tmp_path, "float32")
    assert gguf.reopen(model, tmp_path, "float32").write([TEXT]) == topics_of(model, [TEXT])
    assert 'TEMPLATE """{{ .Prompt }}<|topic|>"""' in ollama.modelfile(model)


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}},
        {"normalizer": {"type": "NFKC"}},
    ],
)
def test_another_tokenizer_is_refused_with_the_way_out(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tiny_llama(tmp_path / "model")
    replace(folder / "tokenizer.json", json.dumps(json.loads((MINI / "tokenizer.json").read_text()) | change))
    with pytest.raises(UserError, match=r"splits texts as Llama 3 does; .* --to merged, .* convert_hf_to_gguf"):
        gguf.write(find_model(str(folder)), tmp_path, "float16")


def test_weights_that_are_not_of_the_configs_shape_are_refused(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"intermediate_size": 128}
    replace(folder / "config.json", json.dumps(config))
    with pytest.raises(UserError, match=r"gate_proj\.weight has the shape \(96, 64\), but config.json asks for"):
        gguf.write(find_model(str(folder)), tmp_path, "float16")


def test_rows_that_do_not_divide_into_blocks_stay_in_16_bits(tmp_path: Path) -> None:
    from gguf import GGUFReader

    folder = tiny_llama(tmp_path / "model", intermediate_size=80)
    gguf.write(find_model(str(folder)), tmp_path, "q8_0")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / gguf.FILE).tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert (kinds["blk.0.ffn_up.weight"], kinds["blk.0.attn_norm.weight"]) == ("Q8_0", "F32")


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UserError, match=r"model\.gguf: llama\.cpp cannot load it"):
        llamacpp_writer(tmp_path / "model.gguf", find_model("mini").prompt, 1024)


def test_a_modelfile_holds_prompt_stop_token_and_settings(command: Command, tiny: ModelFolder) -> None:
    assert command.here("export", str(tiny.path), "--to", "ollama", "--type", "float32", "-q").code == 0
    lines = (command.folder / "tiny-ollama/Modelfile").read_text().splitlines()
    assert lines == [
        "FROM ./model.gguf",
        'TEMPLATE """<|begin_of_text|>{{ .Prompt }}<|topic|>"""',
        'PARAMETER stop "<|end_of_text|>"',
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        "PARAMETER num_predict 16",
        "PARAMETER num_ctx 1024",
    ]


def test_braces_of_a_prompt_are_no_template(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "model")
    prompt = json.loads((MINI / "prompt.json").read_text()) | {"prefix": "Text {{x}}:\n", "suffix": '\n"Topic":'}
    replace(folder / "prompt.json", json.dumps(prompt))
    made = ollama.modelfile(find_model(str(folder)))
    assert re.search(r'TEMPLATE """(.*?)"""', made, re.DOTALL)[1] == ('Text {{ "{{" }}x}}:\n{{ .Prompt }}\n"Topic":')


def test_chat_programs_get_the_prompt_as_template() -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = ImmutableSandboxedEnvironment().from_string(chat_template(find_model("mini")))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " A text\n"}]
    assert template.render(messages=messages) == "<|begin_of_text|>A text<|topic|>"
