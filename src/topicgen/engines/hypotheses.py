"""Candidates of each step of a beam search in; the beams that go on, and at last completions, out."""

from topicgen.engines.base import Completion


class Hypotheses:
    """The ended completions of one document, and the tokens of its beams that go on."""

    def __init__(self, beams: int, stop: int) -> None:
        self._beams, self._stop = beams, stop
        self.running: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        self.ended: list[Completion] = []

    @property
    def full(self) -> bool:
        return len(self.ended) >= self._beams

    def advance(self, scores: list[float], parents: list[int], tokens: list[int]) -> tuple[list[int], list[int]]:
        """Takes candidates, likeliest first; gives the parent and the token of each beam that goes on."""
        full = self.full  # before this step: all that end in one step compete, as in transformers and in CTranslate2
        chosen: list[tuple[int, int]] = []
        running = []
        for rank, (score, parent, token) in enumerate(zip(scores, parents, tokens, strict=True)):
            before = self.running[min(parent, len(self.running) - 1)][1]
            if token == self._stop:
                if rank < self._beams and not full:
                    self.ended.append(Completion(before, (score / (len(before) + 1),), True))
            elif len(chosen) < self._beams:
                chosen.append((parent, token))
                running.append((score, (*before, token)))
        self.running = running
        return [parent for parent, _ in chosen], [token for _, token in chosen]

    def best(self) -> list[Completion]:
        """The likeliest completions; where too few have ended, with those that were cut."""
        cut = [] if self.full else [Completion(ids, (score / len(ids),), False) for score, ids in self.running]
        return sorted([*self.ended, *cut], key=lambda c: -c.logprobs[0])[: self._beams]
