"""The quality tables of README and docs are what `make quality` prints; needs the labelled rows beside the project."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared/data"

pytestmark = pytest.mark.skipif(not (DATA / "topics.parquet").is_file(), reason="the labelled rows are not there")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks/quality.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_tables_of_the_docs_are_what_the_benchmark_prints(benchmark: ModuleType) -> None:
    labelled, _, comparison = benchmark.quality(DATA)
    short = benchmark.markdown_table(comparison.summary, benchmark.README_METRICS)
    assert short in (ROOT / "README.md").read_text(encoding="utf-8")
    assert benchmark.markdown_table(comparison.summary) in (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    # The published predictions by each definition, and by the one that made BLEU 44.
    (published,) = (s for s in comparison.summary["systems"] if s["kind"] == "column")
    found = {name: round(100 * published["scores"][name]["mean"], 1) for name in published["scores"]}
    expected = {"rouge1": 53.3, "rouge2": 37.0, "rougeL": 50.9, "rouge1_stem": 56.6, "bleu": 26.5, "exact": 10.8}
    assert {name: found[name] for name in expected} == expected
    assert round(benchmark.bleu_of_printed_lists(labelled), 1) == 43.7
