"""A folder with a Debian in it, and commands run inside; the last mounts end with the process's mount namespace."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ["ca-certificates", "python3", "python3-venv"]
DEVICES = ["full", "null", "random", "urandom", "zero"]


class Tree:
    """The root of a file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mounted: list[Path] = []

    @classmethod
    def of_debian(cls, release: str, path: Path) -> "Tree":
        """A fresh Debian with Python where the official image has it, made by debootstrap unless it is there."""
        if not path.exists():
            part = path.with_name(f"{path.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, str(part)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (part / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            part.rename(path)
        return cls(path)

    def copied(self, path: Path) -> "Tree":
        """A copy in the place of what is there.

        Raises ValueError while something is mounted: cp takes a bind mount of the same file system for a folder.
        """
        if self._mounted:
            raise ValueError(f"{self._mounted[-1]} is mounted")
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)
        subprocess.run(
            ["cp", "--archive", "--one-file-system", "--reflink=auto", str(self.path), str(path)], check=True
        )
        return Tree(path)

    def inside(self, path: str | Path) -> Path:
        """The place of an absolute path of the tree, seen from outside."""
        return self.path / str(path).lstrip("/")

    @contextmanager
    def equipped(self, paths: Iterable[str]) -> Iterator[None]:
        """Gives the tree what ``mount_system`` does and these files and folders of the host, and takes it all back."""
        try:
            self.mount_system()
            for path in paths:
                self.show(path)
            yield
        finally:
            while self._mounted:
                subprocess.run(["umount", str(self._mounted[-1])], check=True)
                self._mounted.pop()

    def mount_system(self) -> None:
        """Gives the tree /proc, devices and the host's resolver."""
        self._mount("/proc", "-t", "proc", "proc")
        self._mount("/dev", "-t", "tmpfs", "-o", "mode=755", "dev")
        self.inside("/dev/shm").mkdir()
        self.inside("/dev/shm").chmod(0o1777)
        for name in DEVICES:
            self.inside(f"/dev/{name}").touch()
            self._bind(f"/dev/{name}", f"/dev/{name}")
        self.show("/etc/resolv.conf")

    def show(self, path: str) -> None:
        """Makes a file or folder of the host readable at the same place, without a copy."""
        place = self.inside(path)
        if Path(path).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        self._bind(str(Path(path).resolve()), path)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)

    def freeze(self, writable: Sequence[str]) -> None:
        """Makes the tree read-only but for some folders, as ``read_only: true`` of compose does; /tmp is in memory."""
        self._bind(self.path, "/")
        for folder in writable:
            self._bind(self.inside(folder), folder)
        self._mount("/tmp", "-t", "tmpfs", "-o", "mode=1777,noexec", "tmp")
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.path)], check=True)

    def _bind(self, source: str | Path, place: str) -> None:
        self._mount(place, "--bind", str(source))

    def _mount(self, place: str, *what: str) -> None:
        target = self.inside(place)
        subprocess.run(["mount", *what, str(target)], check=True)
        self._mounted.append(target)

    def home(self, user: str) -> str:
        lines = self.inside("/etc/passwd").read_text().splitlines()
        return next(fields[5] for fields in (line.split(":") for line in lines) if fields[0] == user)

    def argv(self, command: Sequence[str], environment: Mapping[str, str], user: str, folder: str) -> list[str]:
        """The command that runs another in the tree, with these variables only; none but root has capabilities."""
        variables = {"HOME": self.home(user), **environment}
        settings = [f"{name}={value}" for name, value in variables.items()]
        rights = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        if user != "root":
            rights += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        change = ["chroot", str(self.path), "/usr/bin/setpriv", *rights, "/usr/bin/env", "-i", f"--chdir={folder}"]
        return [*change, *settings, *command]
