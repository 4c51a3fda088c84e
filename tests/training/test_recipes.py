"""The recipes: every line is a real setting, and the small one runs."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from topicgen.cli import main
from topicgen.errors import UserError
from topicgen.training.memory import GB, choose
from topicgen.training.settings import BASE_DEFAULTS, TrainingSettings, combine, read_recipe

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))

LLAMA3_70B: dict[str, Any] = {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}

LABELLED = {
    "The baker lets the dough rest overnight, so that the bread keeps its crust for two days.": "Slow bread dough",
    "A new tram line joins the harbour with the hospital and runs every eight minutes.": "New tram line",
    "Wind turbines at sea need gearboxes that last twenty years in salt and storm.": "Offshore turbine gearboxes",
    "The library lends seeds in spring and asks for some of the harvest back in autumn.": "Seed lending library",
    "Our method ranks proteins by how fast they fold when the water is cooled.": "Protein folding speed",
    "The school swapped its bell for music, and pupils come to lessons more calmly.": "School bell music",
    "Roof gardens held back half of the rain that fell in the storm of last August.": "Roof gardens and rain",
    "The museum scanned its clay tablets, so that anyone may turn them on a screen.": "Scanned clay tablets",
    "Farmers who share one tractor spend less on fuel and more on repairs.": "Shared tractors",
    "The choir rehearses in the swimming hall, because the echo hides wrong notes.": "Choir rehearsals",
    "Bats find the new bridge at dusk and hunt the insects under its lamps.": "Bats under the bridge",
    "The clinic calls patients a day before, and fewer appointments are missed.": "Appointment reminders",
}


def settings_of(path: Path) -> TrainingSettings:
    recipe = read_recipe(path)
    return combine(BASE_DEFAULTS.get(recipe["base"], {}), recipe)


def test_the_four_recipes_are_there() -> None:
    assert [path.name for path in RECIPES] == [
        "llama3-70b-fsdp.yaml",
        "llama3-8b-16gb.yaml",
        "llama3-8b.yaml",
        "mini-cpu.yaml",
    ]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_setting_of_a_recipe_is_a_real_one_and_takes_effect(path: Path) -> None:
    recipe: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(recipe) <= {f.name for f in fields(TrainingSettings)}
    settings = settings_of(path)
    for name, value in recipe.items():
        found = getattr(settings, name)
        assert found == (value if isinstance(value, bool) else type(found)(value)), name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_setting_has_a_comment_and_the_launch_command_stands_on_top(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all("# " in line for line in lines if line.strip("#"))
    command = next(line for line in lines if "topicgen train " in line)
    assert f"--recipe recipes/{path.name}" in command
    assert lines.index(command) < next(i for i, line in enumerate(lines) if line.startswith("base:"))


def test_the_recipe_of_70b_fits_the_gpus_that_it_names() -> None:
    path = FOLDER / "llama3-70b-fsdp.yaml"
    processes = int(re.search(r"torchrun --nproc-per-node (\d+) -m topicgen train", path.read_text())[1])  # type: ignore[index]
    plan = choose(LLAMA3_70B, settings_of(path), 78 * GB, has_fp8=True, shares=processes)
    assert (plan.precision, plan.packed, plan.recompute, plan.shares) == ("bf16", False, 80, 8)
    with pytest.raises(UserError, match="too few"):
        choose(LLAMA3_70B, settings_of(path), 78 * GB, has_fp8=True)


def test_the_recipe_of_mini_says_what_mini_has_anyway() -> None:
    recipe = read_recipe(FOLDER / "mini-cpu.yaml")
    assert recipe.keys() == {"base", *BASE_DEFAULTS["mini"]}
    assert combine(recipe) == combine(BASE_DEFAULTS["mini"])


def test_the_recipe_of_mini_trains_a_model(tmp_path: Path) -> None:
    data, folder = tmp_path / "labelled.jsonl", tmp_path / "model"
    data.write_text("".join(json.dumps({"text": text, "topic": topic}) + "\n" for text, topic in LABELLED.items()))
    call = ["train", str(data), "--recipe", str(FOLDER / "mini-cpu.yaml"), "--output-dir", str(folder)]
    assert main([*call, "--max-steps", "1"]) == 0
    assert (folder / "adapter_model.safetensors").stat().st_size > 0
    told = json.loads((folder / "training.json").read_text())
    assert (told["steps"], told["settings"]["learning_rate"]) == (1, 1e-3)
