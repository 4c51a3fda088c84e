"""Documents in, topics out, in the same order and in batches."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import dropwhile, islice
from typing import get_args

from topicgen.config import LONG_CHARACTERS, GenerationSettings, require_one_of
from topicgen.engines import ENGINES, Completion, Engine, Precision
from topicgen.engines.choice import choose_engine
from topicgen.errors import UsageError, UserError
from topicgen.merging import merge_topics
from topicgen.models import ModelFolder, find_model, find_served
from topicgen.passages import Passage, split_passages
from topicgen.phrase import clean, distinct, fallback, repeats, support, unstuck
from topicgen.prompt import EncodedPrompt, PromptEncoder
from topicgen.records import Document, RankedTopic, Status, Topic
from topicgen.topic_cache import TopicCache

SUPPORT_WEIGHT = 3.0  # nats of log-probability that full support by the document is worth
DOUBTFUL_SCORE = 0.4
SECOND_LOOK_BEAMS = 4
FIRST_WINDOW = 32  # small at first, so that topics appear at once
WINDOW_CHARACTERS = 8_000_000  # a window ends here too, so that long documents do not fill the memory


class TopicGenerator:
    """Writes topics with one model.

    >>> generator = TopicGenerator.load("mini")
    >>> [topic] = generator.generate(["Glaciers lose mass faster when their surface darkens with soot."])
    >>> topic.status
    'ok'
    """

    def __init__(self, model: ModelFolder, engine: Engine) -> None:
        self.model = model
        self.engine = engine
        self._encoder = PromptEncoder(model.prompt, model.tokenizer, engine.max_prompt_tokens)

    @classmethod
    def load(
        cls,
        model: str | ModelFolder = "mini",
        *,
        engine: str = "auto",
        threads: int | None = None,
        precision: Precision = "auto",
    ) -> "TopicGenerator":
        """Loads a model.

        Args:
            model: ``mini``, a model folder, or a hub id such as ``owner/name`` (the only case that uses the network).
            engine: A name in ``ENGINES``, or ``auto``: ``hf`` for large models where there is a GPU, else
                ``onnx`` where that is the fastest, else ``ct2``.
            threads: CPU cores to use; None takes all that the process may use.
            precision: ``auto``; ``int8``, or ``float32`` with ct2 (exact, slower); ``bf16``, ``fp8`` or ``nf4``
                with hf on a GPU, ``float32`` without one.

        Raises:
            UserError: When there is no such model or engine, or the model cannot be run by it.
        """
        if engine not in ("auto", *ENGINES):
            raise UsageError(f"no engine {engine!r}; there are auto, {', '.join(ENGINES)}")
        require_one_of("precision", precision, get_args(Precision))
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        if isinstance(model, ModelFolder):
            folder = model
        else:
            folder = find_served(model) if engine == "openai" else find_model(model)
        name = choose_engine(folder, precision) if engine == "auto" else engine
        return cls(folder, ENGINES[name](folder, threads=threads, precision=precision))

    def generate(self, documents: Iterable[str | Document], settings: GenerationSettings | None = None) -> list[Topic]:
        """Topics of texts or documents.

        Args:
            documents: Texts, whose ids become "1", "2", ..., or Document records.
            settings: How to generate; the defaults are deterministic.

        Returns:
            One Topic for each document, in the same order.

        Raises:
            UserError: When a document is neither text nor Document.
        """
        return [topic for topics in self.windows(_documents(documents), settings) for topic in topics]

    def windows(
        self,
        documents: Iterable[Document],
        settings: GenerationSettings | None = None,
        *,
        done: int = 0,
        cache: TopicCache | None = None,
    ) -> Iterator[list[Topic]]:
        """As ``generate``, in lists that are ready together; holds no more than ``settings.window`` documents.

        Args:
            documents: The documents that are not done.
            settings: As for ``generate``.
            done: Number of documents before them, one of ``window_ends``: the windows are those of a run over all.
            cache: Topics of earlier runs, which are taken instead of being generated; it learns the others.
        """
        settings = settings or GenerationSettings()
        source = iter(documents)
        start = done
        for end in dropwhile(lambda end: end <= done, window_ends(self.window(settings))):
            while start < end:  # a window of long documents ends early, and others follow up to its end
                window, failure = _read_window(source, end - start)
                if window and cache is not None:
                    yield cache.topics(window, partial(self._window, settings=settings))
                elif window:
                    yield self._window(window, settings)
                if failure is not None:
                    raise failure
                if not window:
                    return
                start += len(window)

    def window(self, settings: GenerationSettings) -> int:
        """Number of documents of the largest windows."""
        return settings.window or self.engine.window

    def encode(self, texts: Sequence[str]) -> list[EncodedPrompt]:
        """The prompts of texts, as the engine gets them."""
        return self._encoder.encode(texts)

    def prompt_tokens(self, documents: Sequence[Document], settings: GenerationSettings) -> list[int]:
        """Tokens that the model reads of each document: those of all its passages, with their prompts."""
        read = self._read_all(documents, settings)
        return [sum(len(passage.prompt.ids) for passage in passages) for passages, _ in read]

    def _window(self, documents: Sequence[Document], settings: GenerationSettings) -> list[Topic]:
        read = self._read_all(documents, settings)
        # Equal passages have equal topics: each prompt is run once.
        texts = {passage.prompt.ids: passage.text for passages, _ in read for passage in passages}
        unique = list(texts)
        if settings.topics > 1:  # wider than asked for: some completions say the same in other letters
            settings = replace(settings, beams=max(settings.beams, 2 * settings.topics + 2))
        completions = dict(zip(unique, self.engine.generate(unique, settings), strict=True)) if unique else {}
        if settings.second_look and self.engine.beam_search and settings.topics == 1 and settings.temperature == 0:
            self._look_again(texts, completions, settings)
        return [
            self._topic(document, passages, "ok" if whole else "truncated", completions, settings)
            for document, (passages, whole) in zip(documents, read, strict=True)
        ]

    def _read_all(
        self, documents: Sequence[Document], settings: GenerationSettings
    ) -> list[tuple[list[Passage], bool]]:
        prompts = self._encoder.encode([document.text for document in documents])
        return [self._read(document, prompt, settings) for document, prompt in zip(documents, prompts, strict=True)]

    def _read(
        self, document: Document, prompt: EncodedPrompt, settings: GenerationSettings
    ) -> tuple[list[Passage], bool]:
        """The passages of a document, none where there is nothing to read, and whether they are all of it."""
        if not self._encoder.fold(document.text):
            return [], True
        if not prompt.truncated or settings.max_passages == 1:
            return [Passage(document.text, 0, prompt)], not (document.cut or prompt.truncated)
        passages, whole = split_passages(document.text[:LONG_CHARACTERS], self._encoder, settings.max_passages)
        return passages, whole and not document.cut and len(document.text) <= LONG_CHARACTERS

    def _text(self, completion: Completion, document: str) -> str:
        return unstuck(clean(self.model.tokenizer.decode(completion.ids), finished=completion.finished), document)

    def _look_again(
        self,
        texts: Mapping[tuple[int, ...], str],
        completions: dict[tuple[int, ...], list[Completion]],
        settings: GenerationSettings,
    ) -> None:
        """Puts a likelier and better supported topic in the place of one that is doubtful.

        Doubtful is a topic with a low score, with a word that its document does not have, or with one that it says
        twice. Candidates of a beam search are compared by their whole log-probability, which favours short topics,
        plus a bonus for support, less one for each word said again.
        """

        def doubtful(completion: Completion, text: str) -> bool:
            if completion.score < DOUBTFUL_SCORE:
                return True
            topic = self._text(completion, text)
            return support(topic, text) < 1 or repeats(topic, text) > 0

        again = [ids for ids, text in texts.items() if completions[ids] and doubtful(completions[ids][0], text)]
        found = self.engine.generate(again, replace(settings, beams=SECOND_LOOK_BEAMS)) if again else []
        for ids, candidates in zip(again, found, strict=True):

            def worth(completion: Completion, text: str = texts[ids]) -> float:
                topic = self._text(completion, text)
                if not topic:
                    return -math.inf
                likelihood = math.log(max(completion.score, sys.float_info.min)) * (len(completion.ids) + 1)
                return likelihood + SUPPORT_WEIGHT * (support(topic, text) - repeats(topic, text))

            completions[ids] = [max([*completions[ids], *candidates], key=worth)]

    def _topic(
        self,
        document: Document,
        passages: Sequence[Passage],
        status: Status,
        completions: Mapping[tuple[int, ...], Sequence[Completion]],
        settings: GenerationSettings,
    ) -> Topic:
        answered = [passage for passage in passages if completions[passage.prompt.ids]]
        found = [self._ranked(passage.text, completions[passage.prompt.ids], settings) for passage in answered]
        merged = merge_topics(answered, found) if answered and len(passages) > 1 else []
        if len(answered) < len(passages):
            status = "failed"  # though others were answered: the next time all may be
        kept = [RankedTopic(topic.topic, topic.score) for topic in merged] if merged else [r for f in found for r in f]
        return Topic(
            id=document.id,
            topic=kept[0].topic if kept else "",
            score=kept[0].score if kept else None,
            status=status if passages else "empty",
            source=document.source,
            position=document.position,
            topics=tuple(kept[: settings.topics]) if settings.topics > 1 else (),
            text=document.text,
            columns=document.columns,
            passages=tuple(merged),
        )

    def _ranked(self, text: str, completions: Sequence[Completion], settings: GenerationSettings) -> list[RankedTopic]:
        """The distinct topics of one passage, likeliest first."""
        texts = [self._text(completion, text) for completion in completions]
        scores = [completion.score if completion.logprobs else None for completion in completions]
        ranked = [RankedTopic(topic, score) for topic, score in zip(texts, scores, strict=True) if topic]
        if not ranked:
            ranked = [RankedTopic(fallback(text), scores[0])]
        return [ranked[i] for i in distinct([r.topic for r in ranked], settings.topics)]


def window_ends(largest: int) -> Iterator[int]:
    """Numbers of documents after which a window ends, where the input does not end earlier."""
    end, size = 0, min(FIRST_WINDOW, largest)
    while True:
        end += size
        yield end
        size = min(2 * size, largest)


def _read_window(source: Iterator[Document], size: int) -> tuple[list[Document], UserError | None]:
    """The next documents, and what kept the one after them from being read; they are good all the same."""
    window: list[Document] = []
    characters = 0
    try:
        for document in islice(source, size):
            window.append(document)
            characters += len(document.text)
            if characters > WINDOW_CHARACTERS:
                break
    except UserError as error:
        return window, error
    return window, None


def _documents(documents: Iterable[str | Document]) -> Iterator[Document]:
    if isinstance(documents, str):
        raise UsageError("generate takes a list of texts; for one text write generate([text])")
    for number, document in enumerate(documents, 1):
        if isinstance(document, str):
            yield Document(id=str(number), text=document, position=number)
        elif isinstance(document, Document):
            yield document
        else:
            raise UserError(f"document {number} is of type {type(document).__name__}, not str or Document")
