"""A grouped collection in, saved themes out, which later documents join and to which new themes are born."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from topicgen.embed import Vectors
from topicgen.named_embedders import load_embedder
from topicgen.themes.births import Namer, give_birth, groups_of
from topicgen.themes.centroids import Centroids, IntArray, centroids_of, load_centroids, save_centroids
from topicgen.themes.documents import Assignment, Placed, read_documents_table, write_documents
from topicgen.themes.duplicates import merged_topics
from topicgen.themes.naming import phrases_in
from topicgen.themes.positions import Places
from topicgen.themes.records import Member, Theme
from topicgen.themes.state import CENTROIDS, DOCUMENTS, SPACE, id_numbers, read_state, themes_from_json, write_state
from topicgen.version import __version__

if TYPE_CHECKING:
    from topicgen.themes.grouping import Grouping
    from topicgen.themes.space import Space


@dataclass
class Registry:
    """The themes of a collection; ``create`` makes one, ``load`` reads one, ``update`` adds documents.

    Attributes:
        settings: How the collection was grouped and named.
        created: When, as an ISO date and time.
        themes: All themes of both levels by id, merged ones too.
        documents: All documents, in the order in which they came.
        centroids: Centres of the themes.
        subcentroids: Centres of the sub-themes.
        updates: One entry for each call that added documents.
        corrections: What people changed.
        loose: Ids of later documents that were not near their theme: they may found a new one together with others.
        folder: Where it was loaded from.
        fitted: What makes vectors, unless it is that of the folder.
        space_name: What it is called.
    """

    settings: dict[str, Any]
    created: str
    themes: dict[str, Theme]
    documents: list[Placed]
    centroids: Centroids
    subcentroids: Centroids
    updates: list[dict[str, Any]]
    corrections: list[dict[str, Any]] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    folder: Path | None = None
    fitted: "Space | None" = None
    space_name: str = ""
    _loaded: "Space | None" = None

    @classmethod
    def create(
        cls,
        members: Sequence[Member],
        space: "Space",
        vectors: Vectors,
        grouping: "Grouping",
        places: Places,
        name: Namer,
        *,
        settings: Mapping[str, Any],
        created: str,
        inputs: Sequence[str] = (),
    ) -> "Registry":
        """The first themes of a collection.

        Args:
            members: Its documents, at least one.
            space: What made the vectors.
            vectors: Shape (documents, size), rows of length 1 or 0.
            grouping: Of these vectors.
            places: On the map, shape (documents, 2), 0 to 1.
            name: Writes the names.
            settings: Kept for people, but for ``embedder``, which names what the space needs.
            created: Date and time, ISO.
            inputs: Kept for people.
        """
        topics = [members[i].topic for i in merged_topics([member.topic for member in members])]
        births = give_birth(topics, vectors, groups_of(grouping), phrases_in(space), name)
        homes = [births.homes[row] for row in range(len(members))]
        scores = births.centroids.scores(vectors, [theme for theme, _ in homes])
        return cls(
            settings=dict(settings),
            created=created,
            themes={theme.id: theme for theme in births.themes},
            documents=[
                Placed(member, *home, float(x), float(y), 1, float(score))
                for member, home, (x, y), score in zip(members, homes, places, scores, strict=True)
            ],
            centroids=births.centroids,
            subcentroids=births.subcentroids,
            updates=[{"number": 1, "documents": len(members), "added": len(members), "inputs": list(inputs)}],
            fitted=space,
            space_name=space.name,
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Registry":
        """Reads a themes folder; raises UserError when it is none, damaged, or of another format."""
        folder = Path(folder)
        state = read_state(folder)
        centroids, subcentroids = load_centroids(folder / CENTROIDS)
        return cls(
            settings=state["settings"],
            created=state["created"],
            themes={theme.id: theme for theme in themes_from_json(state["themes"])},
            documents=read_documents_table(folder / DOCUMENTS),
            centroids=centroids,
            subcentroids=subcentroids,
            updates=state["updates"],
            corrections=state["corrections"],
            loose=state["loose"],
            folder=folder,
            space_name=state["space"],
        )

    def save(self, folder: Path) -> None:
        """Writes the registry's files into a folder that is there and has none of them."""
        import shutil

        if self.fitted is not None:
            self.fitted.save(folder / SPACE)
        elif self.folder is not None:
            shutil.copytree(self.folder / SPACE, folder / SPACE)
        save_centroids(folder / CENTROIDS, self.centroids, self.subcentroids)
        write_documents(folder / DOCUMENTS, self.documents)
        state = {
            "topicgen": __version__,
            "created": self.created,
            "settings": self.settings,
            "space": self.space_name,
            "updates": self.updates,
            "themes": [asdict(theme) for theme in self.themes.values()],
            "corrections": self.corrections,
            "loose": self.loose,
        }
        write_state(folder, state)

    @property
    def embedder(self) -> str | None:
        """Name of the embedder that the space needs, if any."""
        return self.settings.get("embedder")

    @property
    def space(self) -> "Space":
        """What makes vectors of topics and texts; read when it is first needed."""
        if self.fitted is None and self._loaded is None:
            from topicgen.themes.space import Space

            if self.folder is None:
                raise ValueError("a registry that was not loaded needs a space")
            embedder = load_embedder(self.embedder) if self.embedder else None
            self._loaded = Space.load(self.folder / SPACE, embedder=embedder)
        return self.fitted or cast("Space", self._loaded)

    def recentre(self, space: "Space", vectors: Vectors) -> None:
        """Takes another space, with new centroids for the same themes.

        The centroid of a theme that was merged stays beside that of its target, for both draw documents: a sub-theme
        keeps the number of the theme in which it was born. Loose documents draw none.

        Args:
            space: What makes vectors from now on.
            vectors: Of all documents, shape (documents, size).
        """
        loose = set(self.loose)
        firm = [i for i, row in enumerate(self.documents) if row.member.id not in loose]
        subthemes = [self.documents[i].subtheme for i in firm]
        self.centroids = centroids_of(vectors[firm], [subtheme.partition(".")[0] for subtheme in subthemes])
        self.subcentroids = centroids_of(vectors[firm], subthemes)
        self.fitted, self.space_name = space, space.name

    @property
    def number(self) -> int:
        """Number of the last update."""
        return int(self.updates[-1]["number"])

    @property
    def pinned(self) -> set[str]:
        """Ids of the pinned themes."""
        state = {c["theme"]: c["on"] for c in self.corrections if c["kind"] == "pin"}
        return {theme for theme, on in state.items() if on}

    def target(self, identifier: str) -> Theme:
        """The theme that stands for this one: itself, or what it was merged into, at the end of the chain."""
        theme = self.themes[identifier]
        while theme.merged_into is not None:
            theme = self.themes[theme.merged_into]
        return theme

    def active(self, level: int | None = 1) -> list[Theme]:
        """The themes that were not merged, of one level or of both, the largest first."""
        found = [t for t in self.themes.values() if t.status == "active" and level in (None, t.level)]
        return sorted(found, key=lambda theme: (-theme.size, theme.born, id_numbers(theme.id)))

    def assign(self, topics: Sequence[str], texts: Sequence[str] | None = None) -> list[Assignment]:
        """The theme of each document, which is not added.

        Args:
            topics: One topic for each document.
            texts: Their texts, "" where there is none; None for topics alone.

        Raises:
            ValueError: When the numbers of topics and texts differ.
        """
        texts = [""] * len(topics) if texts is None else texts
        if len(topics) != len(texts):
            raise ValueError(f"as many texts as topics are needed, not {len(texts)} and {len(topics)}")
        return self.place(self.space.encode(topics, texts))

    def place(self, vectors: Vectors) -> list[Assignment]:
        """The theme of each vector, shape (documents, size), rows of length 1 or 0."""
        rows, scores = self.centroids.nearest(vectors)
        near = (scores > 0) & (scores >= self.centroids.thresholds[rows])
        themes = [self.target(self.centroids.ids[row]) for row in rows]
        subthemes: list[Theme | None] = [None] * len(themes)
        for theme in {theme.id: theme for theme in themes}.values():
            mine = [i for i, other in enumerate(themes) if other.id == theme.id]
            found, _ = self.subcentroids.nearest(vectors[mine], self.subrows[theme.id])
            for i, row in zip(mine, found, strict=True):
                subthemes[i] = self.target(self.subcentroids.ids[row])
        return [
            Assignment(theme, subtheme or theme, float(score), bool(is_near))
            for theme, subtheme, score, is_near in zip(themes, subthemes, scores, near, strict=True)
        ]

    @property
    def subrows(self) -> dict[str, IntArray]:
        """Rows of the sub-themes of each theme."""
        rows: dict[str, list[int]] = {}
        for row, identifier in enumerate(self.subcentroids.ids):
            rows.setdefault(str(self.target(identifier).parent), []).append(row)
        return {theme: np.array(found, np.int64) for theme, found in rows.items()}
