"""The files of an adapter: whole or not there."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from writing import full_disk

from topicgen.training.lora import Adapter
from topicgen.training.settings import TrainingSettings

SHAPES = {"q_proj": (64, 64)}


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(SHAPES, 2, TrainingSettings(), torch.device("cpu"))


def test_a_full_disk_leaves_no_half_written_weights(tmp_path: Path, adapter: Adapter) -> None:
    with full_disk(2000), pytest.raises(OSError, match="File too large"):
        adapter.save(tmp_path, "base")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter_config.json"]  # no finished model
    adapter.save(tmp_path, "base")
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert saved.keys() == adapter.named().keys()
    assert all(torch.equal(tensor, adapter.named()[name]) for name, tensor in saved.items())
    assert len(list(tmp_path.iterdir())) == 2


def test_the_weights_come_after_all_else_in_one_stroke(
    tmp_path: Path, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        found.append(sorted(path.name for path in tmp_path.iterdir()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    adapter.save(tmp_path, "base")
    assert len(found) == 1
    part, config = found[0]
    assert re.fullmatch(r"\.adapter_model\.safetensors\.[0-9a-f]{8}\.part", part)
    assert config == "adapter_config.json"
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"


def test_whoever_may_read_the_settings_may_read_the_weights(tmp_path: Path, adapter: Adapter) -> None:
    adapter.save(tmp_path, "base")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_what_a_killed_run_left_is_removed(tmp_path: Path, adapter: Adapter) -> None:
    adapter.save(tmp_path, "base")
    (tmp_path / ".adapter_model.safetensors.0123abcd.part").write_bytes(b"half")
    adapter.save(tmp_path, "base")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
