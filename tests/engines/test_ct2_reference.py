"""What the engine writes, compared with transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from completions import best, prompts
from effort import effort
from models import tiny_llama
from passages import PASSAGES

from topicgen import TopicGenerator
from topicgen.engines import Completion, CT2Engine
from topicgen.models import ModelFolder, find_model
from topicgen.phrase import clean

ABSTRACTS = Path(__file__).parents[3] / "shared" / "data" / "topics.parquet"
ABSTRACTS_READ = effort(16, torture=200)


def with_transformers(model: ModelFolder, inputs: Sequence[Sequence[int]], batch: int = 8) -> list[Completion]:
    """Greedy completions by the reference implementation, in float32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)  # two threads on a busy machine wait for each other
    llama = transformers.LlamaForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()
    stop = model.tokenizer.token_to_id(model.prompt.stop)
    order = sorted(range(len(inputs)), key=lambda number: len(inputs[number]))
    done: dict[int, Completion] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        longest = max(len(inputs[number]) for number in group)
        padded = torch.tensor([[2] * (longest - len(inputs[n])) + list(inputs[n]) for n in group])
        mask = torch.tensor([[0] * (longest - len(inputs[n])) + [1] * len(inputs[n]) for n in group])
        with torch.inference_mode():
            output = llama.generate(
                input_ids=padded,
                attention_mask=mask,
                max_new_tokens=16,
                min_new_tokens=1,
                do_sample=False,
                eos_token_id=stop,
                pad_token_id=2,
                return_dict_in_generate=True,
                output_logits=True,
            )
        logits = torch.stack(output.logits, dim=1).log_softmax(-1)
        for row, number in enumerate(group):
            ids = output.sequences[row, longest:].tolist()
            length = ids.index(stop) if stop in ids else len(ids)
            read = ids[: length + 1]
            logprobs = tuple(float(logits[row, step, token]) for step, token in enumerate(read))
            done[number] = Completion(tuple(ids[:length]), logprobs, finished=stop in ids)
    return [done[number] for number in range(len(inputs))]


def same_ids(ours: Sequence[Completion], theirs: Sequence[Completion]) -> float:
    return sum(a.ids == b.ids for a, b in zip(ours, theirs, strict=True)) / len(ours)


def test_float32_equals_transformers_token_by_token(exact: TopicGenerator) -> None:
    inputs = prompts(exact.model)
    ours, theirs = best(exact.engine, inputs), with_transformers(exact.model, inputs)
    assert same_ids(ours, theirs) >= 0.98
    for one, other in zip(ours, theirs, strict=True):
        if one.ids == other.ids:
            assert one.finished == other.finished
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
            assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.torture
@pytest.mark.skipif(not ABSTRACTS.exists(), reason=f"needs {ABSTRACTS}")
def test_float32_topics_of_abstracts_equal_those_of_transformers(exact: TopicGenerator) -> None:
    import pyarrow.parquet as pq

    texts = pq.read_table(ABSTRACTS, columns=["abstract"])["abstract"].to_pylist()[:ABSTRACTS_READ]
    inputs = prompts(exact.model, texts)
    decode = exact.model.tokenizer.decode

    def topics(completions: Sequence[Completion]) -> list[str]:
        return [clean(decode(c.ids), finished=c.finished) for c in completions]

    ours = topics(best(exact.engine, inputs))
    theirs = topics(with_transformers(exact.model, inputs, batch=16))
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 0.98 * len(texts)


LLAMA3 = {
    "rope_theta": 500000.0,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    "config",
    [
        {"tie_word_embeddings": False},
        {"tie_word_embeddings": True, "num_key_value_heads": 4},
        {"head_dim": 32, "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}},
        {"rope_parameters": LLAMA3, "tie_word_embeddings": False},
        {"rope_parameters": LLAMA3 | {"factor": 32.0, "original_max_position_embeddings": 512}},
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}},
        {"dtype": "float16"},
    ],
    ids=["untied", "all heads", "wide heads", "llama3", "llama3 of other factors", "linear", "float16"],
)
def test_models_of_other_shapes_equal_transformers(tmp_path: Path, config: dict[str, Any]) -> None:
    model = find_model(str(tiny_llama(tmp_path, **config)))
    inputs = prompts(model, [*PASSAGES[:10], " ".join(PASSAGES)])  # differences of rotation show in long prompts
    ours, theirs = best(CT2Engine(model, precision="float32"), inputs), with_transformers(model, inputs)
    assert same_ids(ours, theirs) >= 0.9
    assert ours[-1].ids == theirs[-1].ids
    assert ours[-1].logprobs == pytest.approx(theirs[-1].logprobs, abs=1e-3)
