"""What is uploaded: the wheel and the source distribution, as ``python -m build`` makes them."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from topicgen.version import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/topicgen"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both distributions; the wheel is built from the source distribution."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"topicgen-{__version__}-py3-none-any.whl"


def package_files() -> set[str]:
    """All that the package's folder holds."""
    files = [file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return {file.relative_to(PACKAGE.parent).as_posix() for file in files}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == package_files()
    needed = ["py.typed", "assets/mini/model.safetensors", "assets/mini/tokenizer.json", "templates/themes.html"]
    assert {f"topicgen/{name}" for name in needed} <= names


def test_the_source_distribution_builds_the_wheel_and_carries_no_tests(dist: Path) -> None:
    with tarfile.open(dist / f"topicgen-{__version__}.tar.gz") as archive:
        inner = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in package_files()} | {"pyproject.toml", "README.md", "LICENSE"} <= inner
    assert not [name for name in inner if name.startswith("tests")]


def test_the_metadata_say_what_an_index_shows(dist: Path, wheel: Path) -> None:
    found = message_from_bytes(zipfile.ZipFile(wheel).read(f"topicgen-{__version__}.dist-info/METADATA"))
    assert (found["Version"], found["License-Expression"], found["Requires-Python"]) == (
        __version__,
        "Apache-2.0",
        ">=3.11",
    )
    assert {"serve", "themes", "train", "evaluate"} <= set(found.get_all("Provides-Extra") or [])
    assert not any("torch" in line and "extra ==" not in line for line in found.get_all("Requires-Dist") or [])
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_unpacked_wheel_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "package")
    code = "import topicgen, sys; from topicgen.cli import main; print(topicgen.__file__, file=sys.stderr); main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "generate", str(ROOT / "data/input.txt")],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "package")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == str(tmp_path / "package/topicgen/__init__.py")
    assert all(json.loads(line)["topic"] for line in done.stdout.splitlines())


installs = pytest.mark.skipif(
    os.environ.get("TOPICGEN_INSTALL") != "1", reason="installs from the package index: make test-dist"
)


def installed(folder: Path, wheel: Path, extra: str = "") -> Path:
    """The programs of a new environment that holds the wheel and what it asks for."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin/pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, f"{wheel}{extra}"], check=True)
    return folder / "bin"


@installs
def test_the_wheel_in_an_empty_environment_runs_the_demo_without_torch(wheel: Path, tmp_path: Path) -> None:
    programs = installed(tmp_path / "empty", wheel)
    done = subprocess.run(
        [programs / "topicgen", "generate", ROOT / "data/input.txt"], capture_output=True, text=True, check=True
    )
    assert len([json.loads(line)["topic"] for line in done.stdout.splitlines()]) > 5
    listed = subprocess.check_output([programs / "pip", "list", "--format", "freeze"], text=True)
    assert not {"torch", "transformers", "fastapi"} & {line.split("==")[0] for line in listed.splitlines()}


def asked(address: str, body: object = None) -> tuple[str, str]:
    """Type and text of an answer; fails unless its status is 200."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
        return answer.headers.get_content_type(), answer.read().decode()


@installs
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_two_commands_lead_from_the_wheel_to_the_page(wheel: Path, tmp_path: Path) -> None:
    programs = installed(tmp_path / "empty", wheel, "[serve]")
    command = [programs / "topicgen", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(line for line in process.stderr if "serving mini on" in line).split()[-1]
            for path, word in (("/", "<title>topicgen</title>"), ("/docs", "<title>topicgen")):
                kind, text = asked(f"{address}{path}")
                assert kind == "text/html"
                assert word in text
            assert json.loads(asked(f"{address}/healthz")[1]) == {"status": "ok"}
            body = {"documents": ["Bees make honey from the nectar of flowers."]}
            [row] = json.loads(asked(f"{address}/v1/topics", body)[1])["topics"]
            assert (row["status"], bool(row["topic"])) == ("ok", True)
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()


@installs
def test_the_extra_of_exports_is_all_that_an_export_needs(wheel: Path, tmp_path: Path) -> None:
    programs = installed(tmp_path / "empty", wheel, "[export]")
    for form in ("merged", "ct2", "gguf", "ollama"):
        command = [programs / "topicgen", "export", "mini", "--to", form, "-o", tmp_path / form]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "topics equal" in done.stderr
