"""Prompts in, answers of an OpenAI-compatible server out, in order; what failed comes back as a ``ChatFailure``.

Two routes are asked: chat completions, where the server puts its own template around a message, and completions, where
the prompt is the whole text.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from topicgen.errors import UsageError, UserError
from topicgen.extras import require

HOSTED = "https://api.openai.com/v1"
_UNUSED_KEY = "unused"  # local servers ask for none, but the client sends one
_LONGEST_REASON = 200  # characters of what a server said


@dataclass(frozen=True, slots=True)
class ChatFailure:
    """Why a prompt has no answer: one short line without key or password.

    ``final`` is set where no other prompt would be answered either: no server, no permission, no such model.
    """

    reason: str
    final: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of every prompt.

    Attributes:
        max_tokens: Longest answer.
        whole_text: Whether prompts are the whole text, for the route of completions, rather than a user's message.
        temperature: 0 for the likeliest answer.
        seed: Of sampling; None leaves it to the server.
        logprobs: Whether log-probabilities of the answer's tokens are asked for.
    """

    max_tokens: int
    whole_text: bool = False
    temperature: float = 0
    seed: int | None = None
    logprobs: bool = False

    def options(self) -> dict[str, Any]:
        """Arguments of the client's call beside model and prompt."""
        options: dict[str, Any] = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        if self.seed is not None:
            options["seed"] = self.seed
        if self.logprobs:
            options["logprobs"] = 1 if self.whole_text else True
        return options


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What the server wrote.

    Attributes:
        text: The answer.
        finished: Whether it ended by itself rather than at the longest length.
        logprobs: Log-probabilities of its tokens; empty where the server gave none.
    """

    text: str
    finished: bool
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Server:
    """Where to ask; both values may hold secrets, so neither is part of ``repr``."""

    url: str = field(repr=False)
    key: str = field(repr=False)

    @classmethod
    def from_environment(cls) -> "_Server":
        url, key = (os.environ.get(name, "").strip() for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"))
        if not url and not key:
            raise UserError(
                "no chat server: set OPENAI_BASE_URL (such as http://localhost:8000/v1), "
                "OPENAI_API_KEY for a hosted one, or both"
            )
        if not re.fullmatch(r"[!-~]*", key):  # a header cannot hold it, and the client's error would show it
            raise UserError("OPENAI_API_KEY: holds white space or characters outside ASCII, so it is no key")
        server = cls(url or HOSTED, key or _UNUSED_KEY)
        try:
            parts = urlsplit(server.url)
            whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            whole = False
        if not whole:  # not quoted: it may hold a password
            raise UserError("OPENAI_BASE_URL: not a URL such as http://localhost:8000/v1")
        return server

    @property
    def address(self) -> str:
        """The URL without name, password and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def public(self, text: str) -> str:
        """Text on one line, cut, and without the key and the URL's password."""
        parts = urlsplit(self.url)
        secrets = {secret for secret in (self.key, parts.password) if secret and secret != _UNUSED_KEY}
        for secret in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
            text = text.replace(secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"


class ChatClient:
    """Asks one model of the server that ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` name.

    Works with any server that has OpenAI's chat completion route: vLLM, Ollama, llama.cpp, ``transformers serve``, or
    a hosted one. A base URL is enough for a local server, a key is enough for OpenAI's own. Timeouts, refused
    connections and the HTTP statuses 408, 409, 429 and 5xx are tried again with exponential backoff, or when the
    server's ``Retry-After`` says.

    Args:
        model: The model's name on the server.
        concurrency: Requests at the same time.
        timeout: Seconds of silence from the server after which a try has failed.
        retries: Tries after the first one.

    Raises:
        UserError: When the environment names no server, or the ``openai`` package is missing.
    """

    def __init__(self, model: str, *, concurrency: int = 4, timeout: float = 60, retries: int = 4) -> None:
        if concurrency < 1 or timeout <= 0 or retries < 0:
            raise UsageError(
                "a chat client needs concurrency of at least 1, a timeout above 0 s and no fewer than 0 retries, "
                f"not {concurrency}, {timeout:g} and {retries}"
            )
        self._model = model
        self._concurrency = concurrency
        self._timeout = timeout
        self._server = _Server.from_environment()
        self._openai = require("openai", "openai")
        try:
            self._client = self._openai.OpenAI(
                base_url=self._server.url, api_key=self._server.key, max_retries=retries, timeout=timeout
            )
        except Exception as error:  # noqa: BLE001 - proxy and certificate settings fail in ways of several libraries
            raise UserError(f"the openai client does not start: {self._server.public(str(error))}") from None

    @property
    def model(self) -> str:
        return self._model

    @property
    def address(self) -> str:
        """The server's URL, fit to be shown: without name, password and query."""
        return self._server.address

    def ask(self, prompts: Sequence[str], max_tokens: int) -> Iterator[str | ChatFailure]:
        """One answer for each prompt, in order, at temperature 0; a failed one does not end the others.

        The first request is sent when the first answer is asked for. Leaving early cancels what was not yet sent.

        Args:
            prompts: Each is the only message, from the user, of its own conversation.
            max_tokens: Longest answer.
        """
        for answer in self.answers(prompts, ChatRequest(max_tokens)):
            yield answer.text if isinstance(answer, ChatAnswer) else answer

    def answers(self, prompts: Sequence[str], request: ChatRequest) -> Iterator[ChatAnswer | ChatFailure]:
        """As ``ask``, by either route and with what else the server tells."""
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="chat")
        try:
            yield from pool.map(partial(self._answer, request=request), prompts)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def served(self) -> list[str]:
        """Names of the models that the server has, asked once and without patience; empty where it does not tell.

        Raises:
            UserError: When no server is there.
        """
        try:
            models = self._client.with_options(max_retries=0).models.list()
            return [str(model.id) for model in models.data]
        except self._openai.APIConnectionError as error:
            raise UserError(self._failure(self._reason(error)).reason) from None
        except Exception:  # noqa: BLE001 - not every server has this route, and the client does not check what it sends
            return []

    def _answer(self, prompt: str, request: ChatRequest) -> ChatAnswer | ChatFailure:
        text = prompt.encode("utf-8", "replace").decode()  # JSON has no lone surrogates
        try:
            return self._asked(text, request)
        except self._openai.BadRequestError as error:
            if request.logprobs and "logprob" in str(error).lower():  # as for models that reason
                return self._answer(prompt, replace(request, logprobs=False))
            return self._failure(self._reason(error))
        except self._openai.OpenAIError as error:
            unreachable = isinstance(error, self._openai.APIConnectionError)
            timed_out = isinstance(error, self._openai.APITimeoutError)
            refused = getattr(error, "status_code", None) in (401, 403, 404)
            return self._failure(self._reason(error), final=refused or (unreachable and not timed_out))
        except (ValueError, TypeError, AttributeError, IndexError):  # the client does not check what servers send
            return self._failure("did not answer with a chat completion")

    def _asked(self, prompt: str, request: ChatRequest) -> ChatAnswer | ChatFailure:
        if request.whole_text:
            reply = self._client.completions.create(model=self._model, prompt=prompt, **request.options())
            choice = reply.choices[0]
            text, numbers = choice.text, getattr(choice.logprobs, "token_logprobs", None)
        else:
            message = {"role": "user", "content": prompt}
            reply = self._client.chat.completions.create(model=self._model, messages=[message], **request.options())
            choice = reply.choices[0]
            text, tokens = choice.message.content, getattr(choice.logprobs, "content", None)
            numbers = [token.logprob for token in tokens or ()]
        if not isinstance(text, str):  # as reasoning models do that reach the limit while they think
            return self._failure(f"answered without text (finish_reason {choice.finish_reason})")
        known = tuple(number for number in numbers or () if isinstance(number, int | float))
        return ChatAnswer(text, choice.finish_reason == "stop", known)

    def _failure(self, reason: str, final: bool = False) -> ChatFailure:
        return ChatFailure(f"{self.address} {self._server.public(reason)}", final)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, self._openai.APITimeoutError):
            return f"did not answer within {self._timeout:g} s"
        if isinstance(error, self._openai.APIConnectionError):
            return f"cannot be reached ({_root(error)})"
        if not isinstance(error, self._openai.APIStatusError):
            return f"cannot be asked ({type(error).__name__})"
        status: int = error.status_code
        if status in (401, 403):  # some servers quote the key, in part or encoded
            return f"refused OPENAI_API_KEY (HTTP {status})"
        return f"answered HTTP {status}: {_said(error.body)}"


def _root(error: BaseException) -> str:
    """What the system said, else the first error's kind: the texts of protocol errors may quote headers."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _said(body: object) -> str:
    """The message in an error's body, whichever of the usual keys holds it."""
    if isinstance(body, Mapping):
        body = next((body[key] for key in ("message", "detail", "error") if body.get(key)), body)
    return str(body or "no reason given")
