"""Logits of a group's first tokens and a way to go on in, completions out: greedy, sampled, or by beam search."""

from collections.abc import Callable

import torch

from topicgen.config import GenerationSettings
from topicgen.engines.base import Completion
from topicgen.engines.hypotheses import Hypotheses

LOOK_EVERY = 4  # steps between looks at whether all are done: a look waits for the GPU
Step = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""The next tokens and the beams that they go on from, both (documents, beams) -> (documents * beams, vocabulary)."""


def written(
    first: torch.Tensor, step: Step, documents: int, stop: int, settings: GenerationSettings, seed: int
) -> list[list[Completion]]:
    """Completions of a group.

    Args:
        first: (rows, vocabulary) logits after each prompt; those of the first rows are of documents, the rest fills up.
        step: Computes what follows.
        documents: Number of documents.
        stop: The token that ends a topic, which is never the first.
        settings: Longest topic, temperature, beams.
        seed: For sampling.
    """
    if settings.beams > 1 and settings.temperature == 0:
        return _searched(first, step, documents, stop, settings)
    return _followed(first, step, documents, stop, settings, seed)


def _without(logits: torch.Tensor, stop: int) -> torch.Tensor:
    return logits.index_fill(-1, torch.tensor([stop], device=logits.device), -torch.inf)


def _followed(
    logits: torch.Tensor, step: Step, documents: int, stop: int, settings: GenerationSettings, seed: int
) -> list[list[Completion]]:
    """One token after the other, the likeliest or a drawn one, each beam for itself."""
    generator = torch.Generator(logits.device).manual_seed(seed)
    beams = settings.beams
    logits = logits.repeat_interleave(beams, 0)
    done = torch.arange(len(logits), device=logits.device) >= documents * beams
    tokens: list[torch.Tensor] = []
    logprobs: list[torch.Tensor] = []
    for number in range(settings.max_topic_tokens):
        wide = logits.float()
        allowed = wide if number else _without(wide, stop)
        if settings.temperature > 0:
            drawn = torch.multinomial((allowed / settings.temperature).softmax(-1), 1, generator=generator)
        else:
            drawn = allowed.argmax(-1, keepdim=True)
        logprobs.append((wide.gather(1, drawn) - wide.logsumexp(-1, keepdim=True))[:, 0])
        tokens.append(drawn[:, 0])
        done = done | (drawn[:, 0] == stop)
        if number + 1 == settings.max_topic_tokens or (number % LOOK_EVERY == LOOK_EVERY - 1 and bool(done.all())):
            break
        logits = step(drawn.view(-1, beams), None)
    ids, numbers = torch.stack(tokens, 1).tolist(), torch.stack(logprobs, 1).tolist()
    found = [completion(*row, stop, settings) for row in zip(ids, numbers, strict=True)][: documents * beams]
    grouped = [found[start : start + beams] for start in range(0, len(found), beams)]
    return [sorted(several, key=lambda c: -c.score) for several in grouped]


def completion(tokens: list[int], logprobs: list[float], stop: int, settings: GenerationSettings) -> Completion:
    """What was written up to the end token."""
    finished = stop in tokens
    length = tokens.index(stop) if finished else len(tokens)
    read = tuple(logprobs[: length + 1])
    if not settings.token_logprobs:
        read = (sum(read) / len(read),)
    return Completion(tuple(tokens[:length]), read, finished)


def _searched(
    logits: torch.Tensor, step: Step, documents: int, stop: int, settings: GenerationSettings
) -> list[list[Completion]]:
    """Beam search that ends for a document when as many completions have ended as there are beams.

    Scores are means of log-probabilities, the end included, as in transformers and in CTranslate2.
    """
    beams, rows = settings.beams, len(logits)
    hypotheses = [Hypotheses(beams, stop) for _ in range(documents)]
    found = _without(logits.float().log_softmax(-1), stop)[:, None]
    vocabulary = found.shape[-1]
    for number in range(settings.max_topic_tokens):
        scores, places = found.flatten(1).topk(min(2 * beams, found[0].numel()))
        candidates = [x[:documents].tolist() for x in (scores, places // vocabulary, places % vocabulary)]
        moves = [h.advance(*row) for h, *row in zip(hypotheses, *candidates, strict=True)]
        if number + 1 == settings.max_topic_tokens or all(h.full for h in hypotheses):
            break
        parents, tokens = torch.zeros(2, rows, beams, dtype=torch.int64)
        sums = torch.zeros(rows, beams)
        for row, (hypothesis, (came_from, chosen)) in enumerate(zip(hypotheses, moves, strict=True)):
            parents[row, : len(came_from)] = torch.tensor(came_from)
            tokens[row, : len(chosen)] = torch.tensor(chosen)
            sums[row] = -torch.inf
            sums[row, : len(chosen)] = torch.tensor([score for score, _ in hypothesis.running])
        device = logits.device
        next_logits = step(tokens.to(device), parents.to(device)).float().log_softmax(-1)
        found = next_logits.view(rows, beams, vocabulary) + sums.to(device)[:, :, None]
    return [hypothesis.best() for hypothesis in hypotheses]
