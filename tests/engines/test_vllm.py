"""What of the engine on vLLM is seen without vLLM."""

import sys

import pytest
from models import copy_of_mini

from topicgen import TopicGenerator, UserError
from topicgen.engines import VLLMEngine
from topicgen.errors import UsageError
from topicgen.models import ModelFolder, find_model


def test_missing_vllm_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"vllm needs the extra 'vllm': pip install 'topicgen\[vllm\]'"):
        TopicGenerator.load("mini", engine="vllm")


def test_precision_it_lacks_is_wrong_usage(mini: ModelFolder, tmp_path: object) -> None:
    with pytest.raises(UsageError, match="in bf16 or fp8, not in int8"):
        VLLMEngine(mini, precision="int8")
    four_bits = find_model(str(copy_of_mini(tmp_path / "nf4", quantization_config={"quant_method": "bitsandbytes"})))  # type: ignore[operator]
    with pytest.raises(UsageError, match="its weights are quantised"):
        VLLMEngine(four_bits, precision="fp8")
