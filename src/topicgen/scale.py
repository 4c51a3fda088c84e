"""One `topicgen generate --engine ray` call: blocks of the input, spread over a Ray cluster, into a folder of parts."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from topicgen import cluster
from topicgen.blocks import Block, plan_blocks
from topicgen.config import ScaleSettings, WriterSettings
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK, UsageError
from topicgen.job import Done, GenerateJob
from topicgen.manifest import PartFolder
from topicgen.models import ModelFolder, find_model
from topicgen.progress import ProgressBar
from topicgen.reader import Problems, check_inputs
from topicgen.sources import Source
from topicgen.version import __version__
from topicgen.worker import Work


@dataclass
class ScaledJob(GenerateJob):
    """What ``topicgen generate --engine ray`` was asked to do."""

    scale: ScaleSettings = field(default_factory=ScaleSettings)

    def run(self) -> int:
        """Checks inputs and output, then lets the cluster write the parts that are not there yet."""
        settings = self._part_settings()
        cluster.require_ray()
        sources = check_inputs(self.inputs, self.reader, notify=self.say)
        model = find_model(self.model)
        problems = Problems(self._quarantine_path())
        try:
            sources, blocks = plan_blocks(sources, self.reader, problems, self.scale.block)
            with PartFolder(str(self.output), self._header(sources, blocks, model), force=self.force) as folder:
                seconds = self._complete(folder, sources, blocks, settings, model)
                statuses = Counter[str]()
                for part in folder.parts.values():
                    statuses.update(part["statuses"])
                    for row in part.get("problems", ()):
                        problems.quarantine(*row)
        finally:
            problems.close()
            for line in problems.summary():
                self.warn(line)
        self._report(Done(statuses, 0, 0, seconds))
        return EXIT_INCOMPLETE if problems.failed or statuses["failed"] else EXIT_OK

    def estimate(self) -> int:
        """Raises UsageError: how fast a cluster is cannot be told from this machine."""
        raise UsageError("--dry-run estimates a run on this machine: leave --engine ray out")

    def _part_settings(self) -> WriterSettings:
        if self.output is None:
            raise UsageError("--engine ray writes a folder of parts: name it with --output")
        if self.output_format not in (None, "jsonl", "parquet"):
            raise UsageError(f"--engine ray writes jsonl or parquet, not {self.output_format}")
        inside = Path(self.output).resolve()
        for given in self.inputs:
            if Path(given).resolve() in (inside, *inside.parents):
                raise UsageError(f"{self.output}: lies in the input {given}, which would read it; name another folder")
        return self._writer_settings("parquet" if self.output_format == "parquet" else "jsonl")

    def _header(self, sources: Sequence[Source], blocks: Sequence[Block], model: ModelFolder) -> dict[str, Any]:
        """What the parts depend on; two runs with the same one write the same folder."""
        states = [(source.name, source.path.stat()) for source in sources if source.path is not None]
        options = {name: value for name, value in self.load_options.items() if name not in ("engine", "threads")}
        settings = {"reading": asdict(self.reader), "generation": asdict(self.generation), **options}
        return {
            "topicgen": __version__,
            "input": [[name, state.st_size, state.st_mtime_ns] for name, state in states],
            "model": model.digest,
            "engine": self.scale.engine,
            "settings": json.loads(json.dumps(settings)),
            "format": [self.output_format or "jsonl", self.with_text],
            "block size": self.scale.block,
            "blocks": len(blocks),
            "documents": sum(block.last - block.first + 1 - len(block.missing) for block in blocks),
        }

    def _complete(
        self,
        folder: PartFolder,
        sources: Sequence[Source],
        blocks: Sequence[Block],
        settings: WriterSettings,
        model: ModelFolder,
    ) -> float:
        """Writes the parts that are missing; returns the seconds without the start of the cluster."""
        pending = [block for block in blocks if block.number not in folder.parts]
        done = len(blocks) - len(pending)
        if done:
            self.say(f"{done} of {len(blocks)} blocks are done already")
        if not pending:
            return 0.0
        with cluster.connected(self.scale.address):
            workers = cluster.fitting_workers(self.scale, self.load_options["threads"], model)
            work = Work(
                sources=tuple(sources),
                reader=self.reader,
                generation=self.generation,
                writer=settings,
                folder=str(folder.path.absolute()),
                model=str(model.path.absolute()) if Path(self.model).is_dir() else self.model,
                load_options={**self.load_options, "engine": workers.engine, "threads": workers.threads},
            )
            self.say(f"{workers.count} {'worker' if workers.count == 1 else 'workers'}, engine {workers.engine}")
            began = time.monotonic()
            total = sum(block.last - block.first + 1 for block in pending)
            with ProgressBar(self.progress, lambda: total) as bar:
                for part in cluster.parts(pending, work, workers):
                    folder.add(part)
                    bar.advance(part["rows"])
            return time.monotonic() - began
