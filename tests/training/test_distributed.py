"""Several processes learn what one does, each with the whole base or with its share, and hold no more than that."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from effort import in_torture_only
from models import tiny_llama
from passages import PASSAGES
from processes import LIMIT, end, require_alike, start, train
from safetensors.torch import load_file
from torch import Tensor, allclose, equal

from topicgen.cli import main
from topicgen.errors import UserError
from topicgen.training.job import train as train_here

OPTIONS = ["data", "--base", "base", "--max-length", "96", "--learning-rate", "1e-3", "--warmup-steps", "0"]
OPTIONS += ["--gradient-accumulation-steps", "1", "--shown-topics", "2"]
# Nine examples, four a step: the third step has one, so that the second process has none. Packs hold two or three
# examples, so that processes differ in their number, in validation too.
UNEVEN = [*OPTIONS, "--pack-tokens", "160", "--max-steps", "3", "--eval-steps", "1", "--per-device-train-batch-size"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base; nine labelled texts to train on and five to validate with."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("base", "data"):
        (folder / name).mkdir()
    tiny_llama(folder / "base")
    rows = [json.dumps({"text": text, "topic": " ".join(text.split()[:2])}) + "\n" for text in PASSAGES[:14]]
    (folder / "data/train.jsonl").write_text("".join(rows[:9]))
    (folder / "data/validation.jsonl").write_text("".join(rows[9:]))
    return folder


def adapter(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_uneven_work_with_whole_bases_or_shares_learns_what_one_process_learns(material: Path) -> None:
    alone = train(material, "alone", 1, *UNEVEN, "4")
    together = train(material, "together", 2, *UNEVEN, "2")
    shared = train(material, "shared", 2, *UNEVEN, "2", "--fsdp")
    assert len(alone) == 3
    assert alone[-1]["validation_loss"] < alone[0]["validation_loss"]
    for history in (together, shared):
        require_alike(history, alone)
    expected = adapter(material / "alone")
    for name in ("together", "shared"):
        found = adapter(material / name)
        assert found.keys() == expected.keys()
        assert all(allclose(found[key], tensor, rtol=1e-3, atol=1e-5) for key, tensor in expected.items()), name
    told = [json.loads((material / name / "training.json").read_text()) for name in ("alone", "shared")]
    assert told[0]["topics"] == told[1]["topics"]
    assert len(told[1]["topics"]) == 2


def test_each_process_holds_its_share_and_computes_what_the_whole_computes(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    tiny_llama(tmp_path / "base", vocab_size=160, num_hidden_layers=4)
    code, told = end(start(tmp_path, 2, str(Path(__file__).with_name("shares.py")), "base", "."))
    assert code == 0, told
    numbers = 4 * (64 * (2 * 64 + 2 * 32) + 3 * 64 * 96)  # matrices of four layers
    for rank in (0, 1):
        for way, found in json.loads((tmp_path / f"{rank}.json").read_text()).items():
            assert found["loss"] < 1e-9, way
            assert found["smallest"] > 0, way
            assert found["gradients"] < 1e-9, way
            # Float64 has 8 bytes; FP8 has one, in two layouts.
            assert found["saved"] == pytest.approx(numbers / 2 * (2 if "fp8" in way else 8), rel=0.1), way


@pytest.mark.torture
@in_torture_only
def test_a_stopped_shared_run_goes_on_to_the_same_weights(material: Path) -> None:
    options = [*OPTIONS, "--per-device-train-batch-size", "2", "--max-steps", "30", "--eval-steps", "10"]
    options += ["--save-steps", "1", "--fsdp"]
    train(material, "whole", 2, *options)
    process = start(material, 2, "-m", "topicgen", "train", "--output-dir", "parts", *options)
    for _ in range(100 * LIMIT):
        if list((material / "parts").glob("checkpoints/checkpoint-*")) or process.returncode is not None:
            break
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    process.terminate()
    code, told = end(process)
    assert code != 0
    assert "the same command goes on from there" in told
    assert not (material / "parts/adapter_model.safetensors").exists()
    train(material, "parts", 2, *options)
    expected = adapter(material / "whole")
    assert all(equal(tensor, expected[name]) for name, tensor in adapter(material / "parts").items())


def test_sharing_alone_is_refused_in_one_line(material: Path) -> None:
    with pytest.raises(UserError, match="there is one; start them with torchrun") as caught:
        train_here(str(material / "data"), base=str(material / "base"), output_dir=str(material / "no"), fsdp=True)
    assert "\n" not in str(caught.value)


def test_sharing_and_merging_exclude_each_other(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["train", str(material / "data"), "--base", str(material / "base"), "--output-dir", str(material / "no")]
    assert main([*call, "--fsdp", "--merge", str(material / "merged")]) == 1
    assert "merging needs the whole base on one device" in capsys.readouterr().err.splitlines()[-1]
    assert not (material / "merged").exists()
