"""Settings in, an experiment tracker out: wandb, tensorboard, trackio or none; once open, it cannot stop a training."""

import io
import json
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Protocol

from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.training.settings import TrainingSettings

Config = dict[str, Any]
Notify = Callable[[str], None]
Opened = tuple[Callable[[int, dict[str, float]], object], Callable[[bool], object]]  # how to log, how to close
_WITHOUT_KEY = ("offline", "dryrun", "disabled")


class Tracker(Protocol):
    """Where the numbers of a run are shown: values of an optimiser step, and how the run ended."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def close(self, failed: bool) -> None: ...


def open_tracker(settings: TrainingSettings, folder: Path, config: Config, notify: Notify) -> Tracker:
    """Opens the tracker that ``settings.report_to`` names.

    Args:
        folder: Where wandb and tensorboard write; trackio writes where its dashboard looks, or to TRACKIO_DIR.
        config: JSON values that are shown with the run; they may leave this machine.
        notify: Takes lines for people: where to look, and why a tracker stopped.

    Raises:
        UserError: When the library is missing, wandb has no key, or the tracker cannot start.
    """
    if (name := settings.report_to) == "none":
        return _Guarded(name, (lambda step, values: None, lambda failed: None), notify)
    library = require(name, name)
    if name == "wandb" and not (os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") in _WITHOUT_KEY):
        raise UserError("wandb: there is no key; set WANDB_API_KEY, or WANDB_MODE=offline to keep the run here")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _Guarded(name, _OPEN[name](library, settings, folder, config, notify), notify)
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise UserError(f"{name}: cannot start: {_reason(error)}") from None


class _Guarded:
    """A tracker whose failure is told once, and then ignored: hours of training are worth more."""

    def __init__(self, name: str, opened: Opened, notify: Notify) -> None:
        self._name, self._notify, self._working = name, notify, True
        self._log, self._close = opened

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._try(lambda: self._log(step, dict(values)))

    def close(self, failed: bool) -> None:
        self._try(lambda: self._close(failed))

    def _try(self, act: Callable[[], object]) -> None:
        try:
            if self._working:
                act()
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            self._working = False
            self._notify(f"{self._name}: stopped, training goes on without it: {_reason(error)}")


def _open_wandb(wandb: Any, settings: TrainingSettings, folder: Path, config: Config, notify: Notify) -> Opened:
    # Only the numbers and ``config`` leave this machine: no code, no console, no command line, no host name.
    off = ("disable_code", "disable_git", "x_disable_meta", "x_disable_machine_info", "x_disable_stats", "silent")
    private = wandb.Settings(
        console="off", host="", save_code=False, x_save_requirements=False, **dict.fromkeys(off, True)
    )
    run = wandb.init(project=settings.project, name=settings.run_name, dir=folder, config=config, settings=private)
    notify("wandb: " + (f"offline; to upload: wandb sync {Path(run.dir).parent}" if run.offline else str(run.url)))
    return lambda step, values: run.log(values, step=step), lambda failed: run.finish(exit_code=int(failed))


def _open_tensorboard(_: Any, settings: TrainingSettings, folder: Path, config: Config, notify: Notify) -> Opened:
    from torch.utils.tensorboard import SummaryWriter  # imports tensorboard, so it cannot stand at the top

    writer: Any = SummaryWriter(folder / "tensorboard" / (settings.run_name or ""))
    writer.add_text("settings", f"```\n{json.dumps(config, indent=1)}\n```")
    notify(f"tensorboard: tensorboard --logdir {shlex.quote(str(folder / 'tensorboard'))}")

    def log(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log, lambda failed: writer.close()


def _open_trackio(trackio: Any, settings: TrainingSettings, _: Path, config: Config, notify: Notify) -> Opened:
    options = {"resume": "allow", "embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
    with redirect_stdout(io.StringIO()):
        run = trackio.init(settings.project, settings.run_name, config=config, **options)
    notify(f"trackio: trackio show --project {shlex.quote(settings.project)}")

    def close(failed: bool) -> None:
        with redirect_stdout(io.StringIO()):
            trackio.finish()  # the run's own finish would be called, and print, once more at exit

    return lambda step, values: run.log(values, step=step), close


_OPEN = {"wandb": _open_wandb, "tensorboard": _open_tensorboard, "trackio": _open_trackio}


def _reason(error: Exception) -> str:
    """An error on one line, without the key."""
    text, key = " ".join(str(error).split()) or type(error).__name__, os.environ.get("WANDB_API_KEY")
    return text.replace(key, "(key)") if key else text
