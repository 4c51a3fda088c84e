"""Follows the Dockerfile in clean Debian trees, without Docker, and starts the image's command as its user.

    python docker/proof.py [--target cpu|cuda] [--folder build/docker]

Needs root and debootstrap. The trees are made in mount and process namespaces of their own; the command runs without a
network, as ``docker-compose.yml`` starts it: root file system read-only, no capabilities.
"""

import argparse
import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from builder import Builder
from dockerfile import Image, image_of, read_stages
from tree import Tree

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "http://127.0.0.1:8000"
VOLUMES = ["/models", "/data"]
PHASES = {"build": ["--mount", "--pid"], "start": ["--mount", "--pid", "--net"]}
PATIENCE = 120  # seconds
TEXT = "Bees make honey from the nectar of flowers. They store it in combs of wax."
LABELS = "".join(f'{{"text": "Text number {n} about bees.", "topic": "Bees {n}"}}\n' for n in range(20))


class Container:
    """A tree with what its image says about processes."""

    def __init__(self, tree: Tree, image: Image) -> None:
        self.tree, self.image = tree, image
        self._variables = image.environment | {"TOPICGEN_TOKEN": secrets.token_urlsafe(24)}

    @property
    def token(self) -> str:
        return self._variables["TOPICGEN_TOKEN"]

    def argv(self, *command: str) -> list[str]:
        return self.tree.argv(command, self._variables, self.image.user, self.image.folder)

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What ``docker run --interactive IMAGE ARGUMENTS`` prints."""
        command = self.argv(*self.image.entrypoint, *arguments)
        return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout

    @contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The image's own command, or another one, healthy."""
        with subprocess.Popen(self.argv(*self.image.entrypoint, *(arguments or self.image.command))) as process:
            try:
                deadline = time.monotonic() + PATIENCE
                while not self.healthy():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"not healthy; exit code {process.returncode}")
                    time.sleep(0.2)
                yield process
            finally:
                process.kill()

    def healthy(self) -> bool:
        assert self.image.health is not None
        done = subprocess.run(self.argv(*self.image.health.argv), stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0


def request(path: str, token: str = "", body: object = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{ADDRESS}{path}", data, headers), timeout=PATIENCE) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def require(fact: bool, what: str) -> None:
    print(f"{'ok' if fact else 'FAILED'}: {what}", flush=True)
    if not fact:
        raise SystemExit(1)


def prove_service(container: Container) -> None:
    """The command serves mini to those who know the token, and ends when it is told to."""
    began = time.monotonic()
    with container.started() as process:
        require(True, f"healthy {time.monotonic() - began:.1f} s after its start")
        status = Path(f"/proc/{process.pid}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines())
        require("0" not in facts["Uid"].split(), f"runs as user {facts['Uid'].split()[0]}")
        require(facts["CapBnd"].strip("0") == facts["CapEff"].strip("0") == "", "has no capabilities")
        require(request("/healthz")[0] == 401, "401 without the token")
        code, body = request("/v1/topics", container.token, {"documents": [TEXT]})
        require(code == 200 and b"topic" in body, f"a topic: {body.decode()[:200]}")
        process.send_signal(signal.SIGTERM)
        require(process.wait(PATIENCE) == 0, "exit code 0 after SIGTERM")


def prove_model(container: Container) -> None:
    """The command of docker-compose.yml serves a model of the volume."""
    [mini] = container.tree.inside("/opt/topicgen/lib").glob("python3*/site-packages/topicgen/assets/mini")
    shutil.copytree(mini, container.tree.inside("/models/my-model"), dirs_exist_ok=True)
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["serve"]
    command = [word.replace("${TOPICGEN_MODEL:-mini}", "/models/my-model") for word in service["command"]]
    with container.started(*command):
        code, body = request("/v1/topics", container.token, {"documents": [TEXT]})
        require(code == 200 and json.loads(body)["model"] == "my-model", "serves a model of the volume /models")


def prove_commands(container: Container) -> None:
    """Other commands of the image: topics of standard input, a training, and its model."""
    lines = container.run("generate", "-", stdin=(ROOT / "data/input.txt").read_text()).splitlines()
    require(len(lines) > 5 and bool(json.loads(lines[0])["topic"]), f"{len(lines)} topics of data/input.txt")
    if container.tree.path.name == "cuda":
        container.tree.inside("/data/labelled.jsonl").write_text(LABELS)
        options = ["--base", "mini", "--output-dir", "/models/mine", "--max-steps", "2", "--shown-topics", "0"]
        container.run("train", "labelled.jsonl", *options)
        [line] = container.run("generate", "-", "--model", "/models/mine", stdin=TEXT).splitlines()
        require(bool(json.loads(line)["topic"]), "a model trained in two steps writes a topic")


def prove(tree: Tree, image: Image) -> None:
    """All of it, on a tree that was built."""
    tree.freeze(VOLUMES)
    tree.mount_system()
    found = subprocess.run(tree.argv(["sh", "-c", "touch /opt/x"], image.environment, image.user, "/"), check=False)
    require(found.returncode != 0, "the root file system is read-only")
    size = subprocess.check_output(["du", "-sm", str(tree.inside("/opt/topicgen"))], text=True).split()[0]
    require(not list(tree.inside("/opt/topicgen/bin").glob("pip*")), "no pip beside the package")
    require(not tree.inside("/build").exists(), f"no sources; the package and its libraries: {size} MiB")
    container = Container(tree, image)
    prove_commands(container)
    prove_service(container)
    prove_model(container)


def main() -> None:
    parser = argparse.ArgumentParser(description="the Dockerfile's steps and command without Docker")
    parser.add_argument("--target", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/docker")
    parser.add_argument("--phase", choices=PHASES, help="one phase only, in the namespaces of this process")
    options = parser.parse_args()
    stages, tree = read_stages(ROOT / "Dockerfile"), Tree(options.folder / options.target)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.phase == "build":
        Builder(stages, ROOT, options.folder).build(options.target)
    elif options.phase == "start":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        prove(tree, image_of(stages, options.target))
    else:
        for phase, namespaces in PHASES.items():
            call = [sys.executable, *sys.argv, "--phase", phase]
            subprocess.run(["unshare", "--fork", "--kill-child", "--mount-proc", *namespaces, *call], check=True)


if __name__ == "__main__":
    main()
