"""The bodies of requests and answers, as the server checks and documents them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_TOPICS = 20


def mended(value: Any) -> Any:
    """A text with U+FFFD for every lone surrogate, which UTF-8 cannot hold; another value as it is."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


Text = Annotated[str, BeforeValidator(mended)]
Identifier = Annotated[str, BeforeValidator(mended), Field(min_length=1, max_length=500)]
ModelName = Annotated[
    Annotated[str, BeforeValidator(mended), Field(max_length=500)] | None,
    Field(description="one of /v1/models; by default the first", examples=["mini"]),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class InputDocument(_Body):
    """A document with an id of the client's choice."""

    id: Identifier
    text: Text


class TopicsRequest(_Body):
    """Documents that want topics."""

    documents: Text | list[Text | InputDocument] = Field(
        description="one text, or a list of texts and documents; a text's id is its position, from 1",
        examples=[["Bees make honey from nectar.", {"id": "b", "text": "Night trains are returning."}]],
    )
    topics: int = Field(1, ge=1, le=MOST_TOPICS, description="distinct topics for each document, best first")
    model: ModelName = None


class Ranked(BaseModel):
    """One of several topics of a document."""

    topic: str
    score: float | None


class TopicRow(BaseModel):
    """The topic of a document."""

    id: str
    topic: str = Field(description="one line; empty only where there is no text")
    score: float | None = Field(description="geometric mean of the token probabilities, 0 to 1")
    status: str = Field(description="ok; empty: no text; truncated: the end was not read; failed: no topic")
    topics: list[Ranked] | None = Field(None, description="all topics, where more than one was asked for")


class TopicsAnswer(BaseModel):
    """The topics of all documents, in their order."""

    model: str
    topics: list[TopicRow]


class ThemeDocument(_Body):
    """A document of a collection; its topic is written where it has none."""

    id: Identifier
    text: Text = ""
    topic: Text | None = None
    date: Text | None = Field(None, max_length=40, description="a day, month or year")


class ThemesRequest(_Body):
    """A collection that wants themes."""

    documents: list[ThemeDocument] = Field(min_length=1)
    themes: int | None = Field(None, ge=1, le=500, description="how many; by default chosen from the documents")
    granularity: float | None = Field(None, ge=0, le=1, description="0: few and broad, 1: many and narrow")
    model: ModelName = None


class ThemeRow(BaseModel):
    """A theme (level 1) or sub-theme (level 2)."""

    id: str
    name: str
    level: int
    parent: str | None
    size: int
    topics: list[str]


class PlacedDocument(BaseModel):
    """Where a document belongs, and lies on the map (0 to 1)."""

    id: str
    topic: str
    theme: str | None = Field(description="null where there is neither text nor topic, as are the next three")
    subtheme: str | None
    x: float | None
    y: float | None


class ThemesAnswer(BaseModel):
    """The themes, the largest first, each followed by its sub-themes, and the documents in their order."""

    themes: list[ThemeRow]
    documents: list[PlacedDocument]
    trends: dict[str, Any] | None = Field(description="shares of the themes by period, where there are dates")


class Part(BaseModel):
    """A part of a message; only text is read."""

    type: str
    text: Text | None = None


class Message(BaseModel):
    """A message of a chat."""

    role: str
    content: Text | list[Part] | None = None


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """OpenAI's chat completion: the last message of the user is the document; other parameters have no effect."""

    model: ModelName = None
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, ge=1, le=MOST_TOPICS, description="distinct topics, best first, each a choice")


class ErrorDetail(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: None = None
    code: str


class ErrorAnswer(BaseModel):
    """The answer to a request that failed."""

    error: ErrorDetail


class ModelCard(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"]
    data: list[ModelCard]


class State(BaseModel):
    """Whether the server is well."""

    status: str
