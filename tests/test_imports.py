"""The pipeline rule: a file imports only from files above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import topicgen

ORDER = """
version errors extras peak_memory html records config cache digests locks
quarantine sources streams units ids columns tables parquet reader labelled
rows outputs staging parquet_output terminal writer
prompt passages adapters models words phrase merging chat
llama llama.compiled llama.arithmetic llama.fp8 llama.weights
engines.base engines.hypotheses engines.weights engines.derived engines.denormals engines.ct2_weights engines.ct2
engines.onnx_graph engines.onnx_prompt engines.onnx_slots engines.onnx
engines.packed_weights engines.packed_cache engines.packed_model engines.packed_search engines.packed
engines.hf_plan engines.hf_batches engines.hf
engines.vllm engines.openai engines engines.choice
runs runs.fingerprint runs.record runs.rows runs.run runs.command
topic_cache generate progress estimate job blocks manifest worker cluster scale scale_command generate_command
metrics intervals phrases baselines embed named_embedders
training training.settings training.examples training.rows training.prompts training.packing
training.attention training.lora training.llama training.distributed training.memory training.sharing
training.base training.schedule training.writing training.optimizer_state training.identity training.checkpoint
training.stopping training.loop
training.trackers training.labels training.saved training.trainer_log training.sft_options training.sft training.unsloth
training.curve training.folder training.merging training.agreement training.display training.job training.command
evaluation evaluation.collection evaluation.faithfulness evaluation.examples evaluation.systems evaluation.scores
evaluation.comparison evaluation.page_data evaluation.page evaluation.output evaluation.job
evaluation.ask evaluation.answers evaluation.rubric evaluation.judge evaluation.people evaluation.command
themes themes.records themes.dates themes.collection
themes.terms themes.weights themes.space themes.duplicates themes.dendrogram themes.grouping themes.layout themes.naming
themes.documents themes.centroids themes.state themes.positions themes.births themes.registry themes.founding
themes.updates
themes.corrections themes.trends themes.files
themes.page_folder themes.page_data themes.page themes.report_markdown themes.report
themes.job themes.correcting themes.command
serving serving.settings serving.failures serving.metrics serving.schemas serving.security serving.admission
serving.batching serving.grouping serving.service serving.bodies serving.spool serving.streaming serving.topics
serving.themes serving.completions serving.status serving.documentation serving.uploads serving.exports serving.page
serving.app serving.connections serving.server
serving.command
export export.settings export.check export.target export.merged export.ct2 export.gguf_tokens export.llamacpp
export.gguf export.ollama export.card export.hub export.job export.command
doctor cli __main__
""".split()  # noqa: SIM905 - a list of words reads better

SOURCE = Path(topicgen.__file__).parent


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name: path for path in SOURCE.rglob("*.py") if (name := module_of(path))}


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from run_time_nodes(other)
            continue
        yield child
        yield from run_time_nodes(child)


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of topicgen that a file imports, wherever in it."""
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("topicgen.") in FILES else str(node.module) for name in within]
        else:
            continue
        yield from (name.removeprefix("topicgen").lstrip(".") for name in names if name.split(".")[0] == "topicgen")


def test_order_names_every_module_once() -> None:
    assert sorted(ORDER) == sorted(FILES)


def test_imports_point_up_the_pipeline() -> None:
    wrong = [
        f"{name} imports {other or 'topicgen'}"
        for name in ORDER
        for other in imported(ast.parse(FILES[name].read_text(encoding="utf-8")))
        if not other or ORDER.index(other) >= ORDER.index(name)
    ]
    assert wrong == []


def test_imports_are_seen_wherever_they_stand() -> None:
    code = """
import topicgen.cli
from topicgen import reader, UserError
if TYPE_CHECKING:
    from topicgen.writer import Writer
def f():
    from topicgen.engines.ct2 import CT2Engine
"""
    assert list(imported(ast.parse(code))) == ["cli", "reader", "", "engines.ct2"]
