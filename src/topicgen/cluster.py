"""Blocks in, finished parts out, over the machines of a Ray cluster. Needs the extra ``ray``."""

import json
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from topicgen.blocks import Block
from topicgen.config import ScaleSettings
from topicgen.engines.choice import is_large
from topicgen.errors import UserError
from topicgen.extras import require
from topicgen.models import ModelFolder
from topicgen.worker import BlockWorker, Work

ON_CPU = ("onnx", "ct2")
MOST_THREADS = 4  # cores of one worker, where it may choose
OBJECT_STORE_BYTES = 100 << 20  # of a cluster started here: only names of blocks travel
CONNECT_SECONDS = 10
PATIENCE = 2  # rounds in a row without a finished block


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a run: their number, and what each has."""

    count: int
    engine: str
    threads: int
    gpus: int


def require_ray() -> Any:
    """Ray, quiet and without its reports of usage; raises UserError when it is not installed."""
    # Read when Ray is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require("ray.data", "ray")
        return require("ray", "ray")


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to a running cluster, or a cluster on this machine alone that ends with it.

    Raises:
        UserError: When there is no cluster at the address.
    """
    ray = require_ray()
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        _require_answer(address, ray)
        if address is None:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except Exception as error:  # noqa: BLE001 - Ray raises the bare one when a process of it does not start in time
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        asked = f"--ray-address {address}" if address is not None else "a cluster on this machine"
        raise UserError(f"{asked}: no Ray cluster can be reached: {reason}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str | None, ray: Any) -> None:
    """Raises OSError or ValueError when nothing listens at ``host:port``: Ray itself would try for many minutes."""
    if address is None or address == "auto" or "://" in address:
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("it must be auto, or host:port of the first machine")
    # Ray takes the loopback for this machine's address in its network.
    place = ray.util.get_node_ip_address() if host in ("127.0.0.1", "localhost") else host
    with socket.create_connection((place, int(port)), timeout=CONNECT_SECONDS):
        pass


def fitting_workers(settings: ScaleSettings, threads: int | None, model: ModelFolder) -> Workers:
    """As many workers as the cluster has room for now, on GPUs where the engine uses them."""
    ray = require_ray()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    engine = settings.engine
    if engine == "auto":
        engine = "hf" if gpus and is_large(model) else "ct2"
    cores = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
    if not cores:
        raise UserError("the Ray cluster has no CPU for a worker")
    if engine not in ON_CPU and gpus:
        return Workers(settings.workers or gpus, engine, threads or 1, 1)
    each = threads or min(MOST_THREADS, *cores)
    count = sum(node // each for node in cores)
    if not count:
        raise UserError(f"no machine of the Ray cluster has {each} CPUs for a worker; the largest has {max(cores)}")
    return Workers(settings.workers or count, engine, each, 0)


def parts(blocks: Sequence[Block], work: Work, workers: Workers) -> Iterator[dict[str, Any]]:
    """The lines of the manifest for all blocks, as they are done.

    Ray Data gives a block whose worker died to another one. Blocks that it gave up are tried again, with workers on the
    machines that are left.

    Raises:
        UserError: When a worker cannot do its work, or no block was done in two rounds.
    """
    left = {block.number: block for block in blocks}
    idle = 0
    while left:
        before = len(left)
        failure = "their workers died"
        for report in _round(list(left.values()), work, workers):
            if "refused" in report:
                raise UserError(report["refused"])
            if "failed" in report:
                failure = report["failed"]
            else:
                del left[report["block"]]
                yield report
        idle = idle + 1 if len(left) == before else 0
        if idle == PATIENCE:
            raise UserError(f"{len(left)} blocks could not be computed: {failure}")


def _round(blocks: Sequence[Block], work: Work, workers: Workers) -> Iterator[dict[str, Any]]:
    ray = require_ray()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    rows = [{"block": json.dumps(asdict(block))} for block in blocks]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Task,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers.count, len(rows))),
        num_cpus=workers.threads,
        num_gpus=workers.gpus or None,
        fn_constructor_args=(work,),
    )
    try:
        for row in dataset.iter_rows():
            yield json.loads(row["report"])
    except ray.exceptions.RayError as error:
        yield {"failed": (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]}


class _Task:
    """A worker as Ray Data calls it. What the user can mend travels as text: an exception would be tried again."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._worker: BlockWorker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        fields = json.loads(str(batch["block"][0]))
        block = Block(**{**fields, "missing": tuple(fields["missing"])})
        try:
            if self._worker is None:
                self._worker = BlockWorker(self._work)
            report = self._worker.write(block)
        except UserError as error:
            report = {"refused": str(error)}
        return {"report": [json.dumps(report)]}
