"""``topicgen train`` from the command line: what it writes, and how it refuses."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from models import copy_of_mini, tiny_llama
from passages import PASSAGES

from topicgen.cli import main
from topicgen.locks import exclusive
from topicgen.models import find_model
from topicgen.training.merging import write_merged

STEPS = ["--max-steps", "2", "--per-device-train-batch-size", "4", "--gradient-accumulation-steps", "1"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty texts with the two words that they begin with as topics."""
    path = tmp_path_factory.mktemp("labels") / "labelled.jsonl"
    rows = [{"Body": text, "Topic": " ".join(text.split()[:2])} for text in PASSAGES[:40]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of mini, trained for a few steps on two validation texts as well."""
    folder = tmp_path_factory.mktemp("trained") / "my-model"
    call = ["train", str(labelled), "--base", "mini", "--output-dir", str(folder), "--text-column", "Body"]
    call += ["--max-steps", "12", "--validation-fraction", "0.1", "--test-fraction", "0.1", "--eval-steps", "6"]
    call += ["--per-device-train-batch-size", "8", "--gradient-accumulation-steps", "1", "--learning-rate", "4e-3"]
    assert main([*call, "--merge", str(folder.parent / "merged")]) == 0
    return folder


def topics(capsys: pytest.CaptureFixture[str], model: Path, *more: str, text: Path) -> list[str]:
    capsys.readouterr()
    assert main(["generate", str(text), "--model", str(model), "--format", "jsonl", *more]) == 0
    return [json.loads(line)["topic"] for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(PASSAGES[:12]))
    return path


def test_the_folder_holds_all_that_generation_needs(
    trained: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(topics(capsys, trained, text=text)) == 12
    told = json.loads((trained / "training.json").read_text())
    assert told["steps"] == 12
    assert told["speed"]["samples_per_second"] > 0
    assert told["data"]["train"] + told["data"]["validation"] + told["data"]["test"] == 40
    assert len(told["topics"]) == told["data"]["validation"] > 0
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")
    card = (trained / "README.md").read_text()
    assert "topicgen generate --model my-model" in card
    [best] = [row for row in told["history"] if row["step"] == told["best_step"] and "rouge1" in row]
    assert f"validation topics there: {100 * best['rouge1']:.1f}." in card


def test_it_learned_what_the_labels_say(trained: Path) -> None:
    history = json.loads((trained / "training.json").read_text())["history"]
    measured = [row["validation_loss"] for row in history if "validation_loss" in row]
    assert measured[-1] < measured[0]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


def test_merged_weights_write_the_same_topics(trained: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exact = ["--precision", "float32"]
    merged = topics(capsys, trained.parent / "merged", *exact, text=text)
    assert merged == topics(capsys, trained, *exact, text=text)
    assert merged != topics(capsys, Path("mini"), *exact, text=text)


def test_merged_weights_without_the_adapter_are_noticed_and_not_kept(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "topicgen.training.job.write_merged",
        lambda target, _, stored: write_merged(target, find_model("mini"), stored),
    )
    call = [str(labelled), "--text-column", "Body", "--output-dir", str(tmp_path / "out"), *STEPS, "--merge"]
    message = refused(capsys, 1, *call, str(tmp_path / "merged"))
    assert "merged weights differ from adapter and base by" in message
    assert not any((tmp_path / "merged").iterdir())
    assert f"`topicgen export {tmp_path / 'out'} --to merged` merges it" in refused(
        capsys, 1, *call, str(tmp_path / "merged")
    )


def test_flipped_bytes_in_a_models_weights_are_refused(
    trained: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    weights = copy / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1000:] = bytes(1000)
    weights.write_bytes(content)
    capsys.readouterr()
    assert main(["generate", str(text), "--model", str(copy), "-q"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "adapter_model.safetensors: damaged, its SHA-256 is not that in base.json" in line
    base = json.loads((copy / "base.json").read_text())
    del base["adapter"]
    (copy / "base.json").write_text(json.dumps(base))
    assert len(topics(capsys, copy, text=text)) == 12


def test_the_test_examples_of_an_earlier_model_are_deleted(labelled: Path, tmp_path: Path) -> None:
    call = ["train", str(labelled), "--text-column", "Body", "--output-dir", str(tmp_path), *STEPS, "-q"]
    assert main([*call, "--test-fraction", "0.3"]) == 0
    assert (tmp_path / "test.jsonl").exists()
    assert main([*call, "--force", "--resume", "never"]) == 0
    assert not (tmp_path / "test.jsonl").exists()


def test_the_test_examples_are_kept_for_evaluation(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained / "test.jsonl"), "--model", str(trained), "--embedder", "none"]) == 0
    assert "ROUGE-1" in capsys.readouterr().out


def test_preview_shows_the_tokens_with_loss_and_trains_nothing(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "none"
    call = ["train", str(labelled), "--text-column", "Body", "--output-dir", str(folder), "--preview", "2"]
    assert main(call) == 0
    shown = capsys.readouterr().out
    assert shown.count("example ") == 2
    assert "[<|end_of_text|>]" in shown
    assert not folder.exists()


def test_a_preview_asks_the_hub_for_no_weights(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_llama(tmp_path / "base", vocab_size=16384)
    (base / "model.safetensors").unlink()
    asked: list[list[str]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(base)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert main(["train", str(labelled), "--text-column", "Body", "--base", "owner/name", "--preview", "1"]) == 0
    assert asked == [["*.json"]]
    assert "loss on the last" in capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], code: int, *call: str) -> str:
    """The one line that a failing call writes."""
    capsys.readouterr()
    assert main(["train", *call, "-q"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return line


def test_python_trains_too(labelled: Path, tmp_path: Path) -> None:
    from topicgen import TopicGenerator, UserError, train

    settings = {"max_steps": 1, "gradient_accumulation_steps": 1, "per_device_train_batch_size": 4, "shown_topics": 0}
    folder = train(str(labelled), text_column="Body", output_dir=str(tmp_path / "out"), **settings)
    [topic] = TopicGenerator.load(str(folder)).generate([PASSAGES[0]])
    assert topic.topic
    with pytest.raises(UserError, match="no setting 'learning_rat'"):
        train(str(labelled), learning_rat=1.0)


def test_no_trainable_example_is_said_before_a_model_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("text,topic\nsome text,\n,a topic\n")
    base = tiny_llama(tmp_path / "base", vocab_size=16384)
    (base / "model.safetensors").write_bytes(b"never read")
    message = refused(capsys, 1, str(path), "--base", str(base), "--output-dir", str(tmp_path / "out"))
    assert "trainable" in message
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_said_before_a_model_loads(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    message = refused(capsys, 1, str(labelled), "--text-column", "Body", "--output-dir", str(tmp_path / "file/out"))
    assert "cannot be written" in message


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--merge", "/proc/merged"], "/proc/merged: cannot be written"),
        (["--merge", "{out}"], "merged weights need a folder of their own"),
        (["--resume", "/nowhere"], "/nowhere: no such folder; --resume takes"),
        (["--optim", "adamw_8bit"], "adamw_8bit needs a GPU"),
        (["--pack-tokens", "64"], "tokens does not fit into packs of 64; raise pack_tokens or lower max_length"),
    ],
)
def test_what_would_fail_later_is_said_before_a_model_loads(
    labelled: Path,
    tmp_path: Path,
    options: list[str],
    needle: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if os.path.exists("/dev/nvidia0") and "--optim" in options:  # noqa: PTH110
        pytest.skip("there is a GPU")
    monkeypatch.setattr("topicgen.training.job.load_base", lambda *_: pytest.fail("a model was loaded"))
    out = str(tmp_path / "out")
    call = [str(labelled), "--text-column", "Body", "--output-dir", out]
    assert needle in refused(capsys, 1, *call, *(option.replace("{out}", out) for option in options))


def test_full_gpu_memory_is_one_line_that_says_what_to_lower(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr("topicgen.training.loop.Trainer.run", full)
    call = [str(labelled), "--text-column", "Body", "--output-dir", str(tmp_path / "out")]
    assert "out of GPU memory: lower --pack-tokens or --max-length" in refused(capsys, 1, *call)


def test_a_finished_model_is_not_overwritten(labelled: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "adapter_model.safetensors").read_bytes()
    message = refused(capsys, 1, str(labelled), "--text-column", "Body", "--output-dir", str(trained))
    assert "--force" in message
    assert (trained / "adapter_model.safetensors").read_bytes() == before


def test_a_second_training_of_a_folder_is_refused(
    labelled: Path, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with exclusive(out / ".lock", "out"):
        call = [str(labelled), "--text-column", "Body", "--output-dir", str(out)]
        assert "is writing it; try again when it has ended" in refused(capsys, 1, *call)
    assert list(out.iterdir()) == []
    assert not (trained / ".lock").exists()


def test_an_adapter_on_another_base_is_refused(
    trained: Path, tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_llama(tmp_path / "other", vocab_size=16384)
    folder = tmp_path / "moved"
    folder.mkdir()
    for file in trained.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "base.json").write_text(
        json.dumps(json.loads((trained / "base.json").read_text()) | {"name": str(other)})
    )
    assert main(["generate", str(text), "--model", str(folder)]) == 1
    assert "was trained on base" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "needle"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "LlamaForCausalLM"),
        ({"hidden_act": "gelu"}, "silu"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "auto_map"),
    ],
)
def test_bases_that_the_trainer_does_not_compute_are_refused(
    labelled: Path, tmp_path: Path, config: dict[str, object], needle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = copy_of_mini(tmp_path / "base", **config)
    call = [str(labelled), "--text-column", "Body", "--base", str(base), "--output-dir", str(tmp_path / "out")]
    assert needle in refused(capsys, 1, *call)


@pytest.mark.parametrize(
    ("option", "needle"),
    [
        (["--learning-rate", "fast"], "learning_rate must be a number"),
        (["--lora-r", "0"], "lora_r must be between"),
        (["--memory", "much"], "memory must be auto or a number"),
        (["--validation-fraction", "0.6", "--test-fraction", "0.6"], "leave nothing"),
    ],
)
def test_settings_out_of_range_are_wrong_usage(
    labelled: Path, option: list[str], needle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert needle in refused(capsys, 2, str(labelled), *option)


def test_a_recipe_with_an_unknown_setting_is_refused(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("learning_rat: 1e-4\n")
    assert "learning_rat" in refused(capsys, 1, str(labelled), "--recipe", str(recipe))


@pytest.mark.parametrize("precision", ["fp8", "nf4", "bf16"])
def test_a_precision_that_needs_a_gpu_is_refused_without_one(
    labelled: Path, tmp_path: Path, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.path.exists("/dev/nvidia0"):  # noqa: PTH110
        pytest.skip("there is a GPU")
    call = [str(labelled), "--text-column", "Body", "--precision", precision, "--output-dir", str(tmp_path / "out")]
    assert "needs a GPU" in refused(capsys, 1, *call)


def test_instruct_models_are_trained_with_their_chat_template(tmp_path: Path) -> None:
    from topicgen.models import find_base
    from topicgen.training.prompts import INSTRUCTION, prompt_of

    base = tiny_llama(tmp_path / "base", vocab_size=16384)
    (base / "prompt.json").unlink()
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end_of_text|>"}
    template = "{% for m in messages %}<|begin_of_text|>{{ m.role }}: {{ m.content }}\n{% endfor %}answer:"
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    prompt = prompt_of(find_base(str(base)))
    assert prompt.prefix == f"<|begin_of_text|>user: {INSTRUCTION}\n\n"
    assert (prompt.suffix, prompt.stop) == ("\nanswer:", "<|end_of_text|>")
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "bos_token": "<|begin_of_text|>"}))
    plain = prompt_of(find_base(str(base)))
    assert plain.prefix.startswith("<|begin_of_text|>Below is an instruction")
    assert plain.suffix.endswith("### Response:\n")
