"""An adapter merged by the CPU engine, compared with PEFT."""

from pathlib import Path

import numpy as np
import pytest
from adapter_folders import MODULES, make_adapter
from completions import best, prompts
from models import tiny_llama
from passages import PASSAGES

from topicgen import TopicGenerator
from topicgen.engines import CT2Engine, HFEngine
from topicgen.engines.weights import read_tensors
from topicgen.models import find_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("modules", [MODULES, ["q_proj", "v_proj"]], ids=["all", "two"])
def test_weights_with_the_adapter_are_those_of_peft(base: Path, tmp_path: Path, modules: list[str]) -> None:
    import peft
    import torch
    from transformers import LlamaForCausalLM

    folder = make_adapter(tmp_path / "adapter", str(base), target_modules=modules)
    llama = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(llama, str(folder)).merge_and_unload().state_dict()
    ours, plain = read_tensors(find_model(str(folder))), read_tensors(find_model(str(base)))
    changed = {name for name, array in ours.items() if not np.array_equal(array, plain[name])}
    assert len(changed) == 2 * len(modules)
    for name, array in ours.items():
        np.testing.assert_allclose(array, merged[name].numpy(), rtol=1e-5, atol=1e-6)


def test_adapter_writes_what_it_writes_with_peft(base: Path, tmp_path: Path) -> None:
    model = find_model(str(make_adapter(tmp_path / "adapter", str(base))))
    inputs = prompts(model, PASSAGES[:20])
    ours, theirs = best(CT2Engine(model, precision="float32"), inputs), best(HFEngine(model), inputs)
    without = best(CT2Engine(find_model(str(base)), precision="float32"), inputs)
    assert [one.ids for one in ours] == [one.ids for one in theirs]
    assert all(a.logprobs == pytest.approx(b.logprobs, abs=1e-3) for a, b in zip(ours, theirs, strict=True))
    assert sum(a.ids != b.ids for a, b in zip(ours, without, strict=True)) > 15


def test_form_is_built_for_each_adapter(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPICGEN_CACHE", str(tmp_path / "cache"))
    for number, alpha in enumerate((8, 16)):
        folder = make_adapter(tmp_path / f"adapter-{number}", str(base), lora_alpha=alpha)
        for _ in range(2):
            assert TopicGenerator.load(str(folder)).generate(["Bees make honey."])[0].topic
    assert len(list((tmp_path / "cache").iterdir())) == 2
