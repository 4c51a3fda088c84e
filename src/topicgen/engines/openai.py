"""Prompts as token ids in, completions out of an OpenAI-compatible server, which is asked in text."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from topicgen.chat import ChatAnswer, ChatClient, ChatRequest
from topicgen.config import GenerationSettings
from topicgen.engines.base import TOPIC_ROOM, Completion, Engine, Precision, sampling_state
from topicgen.errors import UsageError, UserError
from topicgen.models import ModelFolder, ServedModel

REQUESTS = 16  # at the same time
WAITING = 16  # prompts of one call for each of them


class OpenAIEngine(Engine):
    """A model that a server runs: vLLM, Ollama, llama.cpp, ``transformers serve``, or a hosted one.

    A model folder is asked by the route of completions, with the prompt that it was trained with. Any other name is a
    model of the server's own, which is asked for a topic by the route of chat completions.

    Args:
        model: What ``find_served`` gives.
        threads: Requests at the same time; None for 16.
        precision: ``auto``: the server decides.

    Raises:
        UsageError: For another precision.
        UserError: When the environment names no server, none is there, or the ``openai`` package is missing.
    """

    name = "openai"
    beam_search = False

    def __init__(self, model: ModelFolder, *, threads: int | None = None, precision: Precision = "auto") -> None:
        if precision != "auto":
            raise UsageError(f"the openai engine leaves precision to the server; {precision} cannot be asked for")
        self._whole_text = not isinstance(model, ServedModel)
        self._tokenizer, self._stop = model.tokenizer, model.prompt.stop
        self.max_prompt_tokens = model.context_tokens - TOPIC_ROOM
        requests = threads or REQUESTS
        self.window = WAITING * requests
        specials = self._tokenizer.get_added_tokens_decoder()
        self._specials = {number: token.content for number, token in specials.items() if token.special}
        # What the tokenizer puts before every text, the server puts there too.
        self._put_before = self._tokenizer.encode("a").ids[0]
        self._tokenizer.encode_special_tokens = True
        found = ChatClient(model.name, concurrency=requests)
        name = _name_there(model, found.served()) if self._whole_text else model.name
        self._client = ChatClient(name, concurrency=requests)
        route = "completions" if self._whole_text else "chat completions"
        self.reason = f"{route} of {name} at {self._client.address}"
        self.failures: Counter[str] = Counter()

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        """One completion for each prompt, or none where the server failed; the reasons are counted in ``failures``.

        Raises:
            UsageError: When several completions are asked for.
            UserError: When the server cannot be reached any more, refuses the key, or has no such model.
        """
        self.require_beams(settings.beams)
        request = ChatRequest(
            max_tokens=settings.max_topic_tokens,
            whole_text=self._whole_text,
            temperature=settings.temperature,
            seed=sampling_state(prompts, settings.seed) if settings.temperature > 0 else None,
            logprobs=True,
        )
        texts = [self._text(prompt) for prompt in prompts]
        done: list[list[Completion]] = []
        for answer in self._client.answers(texts, request):
            if isinstance(answer, ChatAnswer):
                done.append([self._completion(answer, settings)])
            elif answer.final:
                raise UserError(answer.reason)
            else:
                self.failures[answer.reason] += 1
                done.append([])
        return done

    def _text(self, prompt: Sequence[int]) -> str:
        """A prompt as text; what only looks like a special token in it does not any more."""
        if prompt[0] in self._specials and prompt[0] == self._put_before:
            prompt = prompt[1:]
        parts: list[str] = []
        for special, group in groupby(prompt, key=self._specials.get):
            ids = list(group)
            text = special * len(ids) if special else self._tokenizer.decode(ids)
            for name in () if special else self._specials.values():
                text = text.replace(name, f"{name[0]} {name[1:]}")
            parts.append(text)
        return "".join(parts).rstrip("\ufffd")  # half of a character where the document was cut

    def _completion(self, answer: ChatAnswer, settings: GenerationSettings) -> Completion:
        text = answer.text.partition(self._stop)[0] if self._stop else answer.text
        logprobs = answer.logprobs
        if logprobs and not settings.token_logprobs:
            logprobs = (sum(logprobs) / len(logprobs),)
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return Completion(tuple(ids), logprobs, answer.finished)


def _name_there(model: ModelFolder, served: Sequence[str]) -> str:
    """What the server calls a model folder: its path or name, or the only name that it has."""
    names = [str(model.path), model.name, model.path.name]
    return next((name for name in names if name in served), served[0] if len(served) == 1 else model.name)
