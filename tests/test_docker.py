"""Dockerfile, compose file and docs/docker.md agree with each other and with the command line."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from topicgen.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docker"))

from dockerfile import Image, image_of, read_stages  # noqa: E402

STAGES = read_stages(ROOT / "Dockerfile")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/docker.md").read_text(encoding="utf-8")
IMAGES = ["cpu", "cuda"]


def lines_of(page: str) -> list[list[str]]:
    """The commands of a page as words; assignments of variables before them are left out."""
    text = page.replace("\\\n", " ")
    lines = [line.split(" < ")[0] for line in re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)]
    return [shlex.split(re.sub(r"^([A-Z_]+=\S+ )+", "", line)) for line in lines]


COMMANDS = [words for words in lines_of(PAGE) if words[0] == "docker"]


def parse(arguments: list[str]) -> Any:
    """Fails where the command line does not know them."""
    return build_parser().parse_args(arguments)


def after_options(words: list[str], *with_value: str) -> list[str]:
    """What follows the options of a docker command."""
    while words and words[0].startswith("--"):
        words = words[2:] if words[0] in with_value else words[1:]
    return words


@pytest.mark.parametrize("name", STAGES)
def test_every_image_is_pinned_by_one_exact_tag(name: str) -> None:
    bases = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases.pop())
    assert STAGES[name].base in STAGES or STAGES[name].base.startswith("python:")


def test_a_build_without_a_target_makes_the_small_image() -> None:
    assert list(STAGES)[-1] == "cpu"


@pytest.mark.parametrize("name", IMAGES)
def test_the_command_serves_as_a_user_without_rights(name: str) -> None:
    image: Image = image_of(STAGES, name)
    assert image.user == "topicgen"
    assert image.entrypoint == ["topicgen"]
    served = parse(image.command)
    assert (served.host, served.port) == ("0.0.0.0", 8000)
    assert image.environment["PATH"].startswith("/opt/topicgen/bin:")


def test_the_health_check_is_python_that_asks_the_port_with_the_token() -> None:
    health = image_of(STAGES, "cpu").health
    assert health
    python, option, code = health.argv
    assert (python, option) == ("python", "-c")
    compile(code, "health", "exec")
    assert all(word in code for word in ("8000", "/healthz", "TOPICGEN_TOKEN"))
    assert [step.text for stage in STAGES.values() for step in stage.steps if step.name == "EXPOSE"] == ["8000"]


def test_no_layer_holds_a_secret_or_more_than_is_copied() -> None:
    steps = [step for stage in STAGES.values() for step in stage.steps]
    set_here = " ".join(step.text for step in steps if step.name in ("ENV", "ARG"))
    assert not re.search(r"TOKEN|KEY|SECRET|PASSWORD", set_here)
    copied = {
        word.split("/")[0] for step in steps if step.name == "COPY" and not step.options for word in step.words[:-1]
    }
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "/*"
    assert {line.removeprefix("!/") for line in ignore if line.startswith("!")} == copied


@pytest.mark.parametrize(
    ("schema", "name"),
    [("vendor.compose-spec", "docker-compose.yml"), ("vendor.github-workflows", ".github/workflows/test.yml")],
)
def test_files_keep_their_schema(schema: str, name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("service", "target"), [("serve", "cpu"), ("train", "cuda")])
def test_services_are_the_images_with_volumes_and_without_rights(service: str, target: str) -> None:
    found = COMPOSE["services"][service]
    assert found["build"] == {"context": ".", "target": target}
    assert target in STAGES
    assert found["volumes"] == ["models:/models", "data:/data"]
    assert COMPOSE["volumes"].keys() == {"models", "data"}
    assert found["read_only"]
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]


def test_the_service_needs_a_token_and_opens_the_loopback_only() -> None:
    serve = COMPOSE["services"]["serve"]
    assert serve["environment"]["TOPICGEN_TOKEN"].startswith("${TOPICGEN_TOKEN:?")
    assert serve["ports"] == ["127.0.0.1:8000:8000"]
    assert parse([word.replace("${TOPICGEN_MODEL:-mini}", "mini") for word in serve["command"]]).model == ["mini"]


def test_training_reserves_gpus_and_starts_only_when_asked() -> None:
    train = COMPOSE["services"]["train"]
    [device] = train["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert train["profiles"] == ["train"]
    variables = image_of(STAGES, "cuda").environment
    assert variables["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_docker_command_of_the_page_names_what_there_is(words: list[str]) -> None:
    match words[1:]:
        case ["build", *options, "."]:
            named = dict(zip(options[::2], options[1::2], strict=True))
            service = "train" if named.get("--target") == "cuda" else "serve"
            assert named["--tag"] == COMPOSE["services"][service]["image"]
            assert named.get("--target", "cpu") == COMPOSE["services"][service]["build"]["target"]
        case ["run", *options]:
            image, *arguments = after_options(options, "--env", "--publish", "--network")
            assert image == "topicgen"
            assert not arguments or parse(arguments)
        case ["compose", "up", "--detach", service]:
            assert service in COMPOSE["services"]
        case ["compose", "run", *options]:
            service, *arguments = after_options(options, "--env", "--volume")
            assert service == "train"
            assert parse(arguments)
        case _:
            assert words == ["docker", "buildx", "imagetools", "inspect", STAGES["build"].base]
