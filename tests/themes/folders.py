"""Folders of themes as `topicgen themes` writes them, made by code: 5 to 100,000 documents in words of our own."""

import datetime
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\"> \u202eabc"

# Theme: sub-themes, each with its topics.
THEMES: dict[str, dict[str, tuple[str, ...]]] = {
    "Ferries and harbours": {
        "Ferry services": ("ferry cancellations", "waiting times at the landing", "a new night ferry"),
        "Harbour repairs": ("cracks in loading ramps", "dredging of the channel", "a rebuilt pier"),
        "Fishing fleets": ("catch limits for small boats", "nets that free young fish", "prices at the fish hall"),
    },
    "Solar and wind power": {
        "Solar roofs": ("solar panels on schools", "tandem solar cells", "tenants who share a roof"),
        "Wind farms": ("turbines off the coast", "birds near rotors", "noise of older turbines"),
        "Storage": ("batteries for a village", "heat kept in sand", "pumped water in old mines"),
    },
    "Learning on graphs": {
        "Message passing": ("sparse message passing", "deep graph networks", "attention along edges"),
        "Large graphs": ("sampling of neighbours", "graphs beyond memory", "partitioning by community"),
    },
    "Language models": {
        "Training data": ("duplicates in web text", "memorised phrases", "filters for low quality text"),
        "Fine-tuning": ("low-rank adapters", "quantised training", "forgetting after tuning"),
        "Evaluation": ("judges that prefer length", "contaminated benchmarks", "faithfulness of summaries"),
        "Dialogue": ("assistants that ask back", "refusals without a reason"),
    },
    "Billing and refunds": {
        "Double charges": ("subscription charged twice", "invoice with a wrong number"),
        "Refunds": ("refund not received", "refund for a late parcel", "cancelled order still billed"),
    },
    "Parcels and delivery": {
        "Lost parcels": ("parcel left at the wrong door", "tracking without news"),
        "Damage": ("broken on arrival", "wet packaging"),
        "Customs": ("customs fee at the door", "parcel held at the border"),
    },
    "Night trains": {
        "New routes": ("a sleeper to the south", "couchettes for families"),
        "Tickets": ("tickets across borders", "fares that change by the hour"),
        "Tracks": ("works on the main line", "track fees for night trains"),
    },
    "Home baking": {
        "Bread": ("sourdough in a cold kitchen", "rye loaves", "bread that does not rise"),
        "Cakes": ("cakes without eggs", "plum cake"),
    },
    "Kitchen gardens": {
        "Tomatoes": ("tomatoes that wilt at noon", "splitting fruit"),
        "Soil": ("compost from leaves", "clay soil made loose"),
        "Pests": ("slugs among lettuce", "aphids on beans"),
    },
    "Sleep and health": {
        "Walking": ("half an hour of walking", "steps and blood pressure"),
        "Sleep": ("sleep measured at the wrist", "light in the evening"),
        "Diet": ("salt in bread", "meals late at night"),
    },
    "City council": {
        "Budgets": ("a budget for bridges", "fees for parking"),
        "Housing": ("flats above shops", "rent limits", "an empty department store"),
        "Cycling": ("cycle lanes on the ring road", "bridge closed to cars"),
    },
    "Glaciers and snow": {
        "Melting": ("soot on ice", "lakes below the ice"),
        "Avalanches": ("avalanche warnings", "fences above the village"),
    },
    "Robots that learn": {
        "Grasping": ("grasping soft fruit", "hands with few motors"),
        "Walking machines": ("falls on wet stairs", "learning to walk in simulation"),
        "Planning": ("planning ten steps ahead", "maps without landmarks"),
    },
    "Old books": {
        "Scribes": ("notes in the margins", "complaints about bad ink"),
        "Libraries": ("library open on Sundays", "catalogues on cards"),
    },
    "Bees and wild flowers": {
        "Hives": ("mites in the hive", "a gentle winter for bees"),
        "Meadows": ("strips of flowers", "mowing in July"),
    },
    "Water and farms": {
        "Irrigation": ("drops at the root", "wells that run dry"),
        "Drying fruit": ("solar dryers for mangoes", "dried fruit at the market"),
    },
    "Phones and batteries": {
        "Battery life": ("battery that fades in winter", "two days without a charger"),
        "Repair": ("screens glued to the frame", "spare parts by post"),
    },
    "Concerts and theatre": {
        "Orchestras": ("a slow movement", "players without a conductor"),
        "Stages": ("a stage in the park", "seats for wheelchairs"),
    },
}

OPENINGS = (
    "This week it became clear how much depends on {}.",
    "We study {} and compare it with what was known before.",
    "Hello, I write to you because of {}.",
    "For years nobody spoke of {}; now two reports did within a month.",
    "Three households told us about {}.",
    "A trial with forty participants looked at {}.",
)
SENTENCES = (
    "The effect lasted for six months and was larger in the north.",
    "Nobody answered before Friday, and the second answer contradicted the first.",
    "Costs fell by a third, though the work took longer than planned.",
    "An analysis of all cases shows the same pattern far more often than chance.",
    "Those who had to wait say that a notice on the door would have been enough.",
    "The authority expects a decision before the end of the month.",
    "On two of three data sets the error halves, without a change to the rest.",
    "Critics find the numbers too small to say more than that it can work.",
)


def make_folder(folder: Path, documents: int = 300, *, themes: int = 12, seed: int = 1, **options: Any) -> Path:
    """A folder of themes. Options: ``dates``, ``texts``, ``subthemes`` (all True), ``hostile`` (False)."""
    chance = random.Random(seed)
    names = [*THEMES][:themes]
    while len(names) < themes:
        names.append(f"{chance.choice([*THEMES])} {len(names)}")
    groups = [_group(i, name, options.get("subthemes", True)) for i, name in enumerate(names)]
    rows = [_row(i, _pick(groups, chance), chance, options) for i in range(documents)]
    if options.get("hostile"):
        _spoil(rows[0], groups[0])
    folder.mkdir(parents=True, exist_ok=True)
    _write_documents(folder / "documents.parquet", rows)
    (folder / "registry.json").write_text(json.dumps(_registry(groups, rows)), encoding="utf-8")
    if options.get("dates", True):
        (folder / "trends.json").write_text(json.dumps(_trends(groups, rows)), encoding="utf-8")
    return folder


def _group(i: int, name: str, subthemes: bool) -> dict[str, Any]:
    radius, angle = 0.44 * math.sqrt((i + 0.5) / 18), i * 2.39996
    x, y = 0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)
    base = THEMES.get(name) or next(found for known, found in THEMES.items() if name.startswith(known))
    subs = [
        {
            "id": f"t{i + 1}.{j + 1}",
            "name": sub,
            "topics": topics,
            "x": x + 0.04 * math.cos(2.2 * j + i),
            "y": y + 0.04 * math.sin(2.2 * j + i),
        }
        for j, (sub, topics) in enumerate(base.items())
    ]
    return {"id": f"t{i + 1}", "name": name, "subs": subs, "listed": subs if subthemes else []}


def _pick(groups: list[dict[str, Any]], chance: random.Random) -> int:
    return min(int(len(groups) * chance.random() ** 1.5), len(groups) - 1)


def _row(i: int, place: int, chance: random.Random, options: dict[str, Any]) -> dict[str, Any]:
    group = _group(place, [*THEMES][place % len(THEMES)], True)
    sub = group["subs"][min(int(len(group["subs"]) * chance.random() ** 1.4), len(group["subs"]) - 1)]
    topic = chance.choice(sub["topics"])
    days = int(3650 * (chance.random() ** (0.6 if place % 3 == 0 else 1.5 if place % 3 == 1 else 1)))
    text = " ".join([chance.choice(OPENINGS).format(topic), *chance.sample(SENTENCES, chance.choice((1, 2, 3)))])
    return {
        "id": f"d{i:06d}",
        "source": chance.choice(("input.txt", "letters.jsonl", "abstracts.parquet")),
        "position": i + 1,
        "topic": topic[0].upper() + topic[1:],
        "text": text if options.get("texts", True) else None,
        "theme": group["id"],
        "subtheme": sub["id"] if options.get("subthemes", True) else None,
        "x": min(max(chance.gauss(sub["x"], 0.022), 0), 1),
        "y": min(max(chance.gauss(sub["y"], 0.022), 0), 1),
        "date": datetime.date(2014, 1, 1) + datetime.timedelta(days) if options.get("dates", True) else None,
        "update": 1,
        "score": round(chance.betavariate(8, 3), 4),
        "label_kind": "news",
    }


def _spoil(row: dict[str, Any], group: dict[str, Any]) -> None:
    group["name"] = group["subs"][0]["name"] = HOSTILE
    row |= {"theme": group["id"], "subtheme": group["subs"][0]["id"]}
    row |= {"topic": HOSTILE, "text": HOSTILE, "source": HOSTILE, "id": "=cmd()", "score": 1.0}


def _write_documents(path: Path, rows: list[dict[str, Any]]) -> None:
    texts = ("id", "source", "topic", "text", "theme", "subtheme", "label_kind")
    schema = {name: pa.string() for name in texts} | {"position": pa.int64(), "x": pa.float32(), "y": pa.float32()}
    schema |= {"date": pa.date32(), "update": pa.int32(), "score": pa.float32()}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in schema.items()}
    pq.write_table(pa.table(columns), path)


def _registry(groups: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    themes, sizes = [], Counter(row[level] for row in rows for level in ("theme", "subtheme"))
    for group in groups:
        topics = [topic for sub in group["subs"] for topic in sub["topics"]]
        themes.append(_theme(group, 1, None, sizes[group["id"]], topics))
        for sub in group["listed"]:
            themes.append(_theme(sub, 2, group["id"], sizes[sub["id"]], sub["topics"]))
    return {
        "format": 1,
        "topicgen": "0.1.0",
        "created": "2026-11-24T10:00:00+00:00",
        "settings": {},
        "space": "test",
        "updates": [{"number": 1, "documents": len(rows), "added": len(rows), "inputs": ["data/topics.jsonl"]}],
        "themes": themes,
        "corrections": [],
    }


def _theme(about: dict[str, Any], level: int, parent: str | None, size: int, topics: Any) -> dict[str, Any]:
    shown = [topic[0].upper() + topic[1:] for topic in topics][:10]
    found = {"id": about["id"], "name": about["name"], "level": level, "parent": parent, "size": size, "topics": shown}
    more = {"status": "active", "merged_into": None, "named_by": "model", "history": [{"update": 1, "event": "born"}]}
    return {**found, "born": 1, **more}


def _trends(groups: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = Counter((row["theme"], str(row["date"].year)) for row in rows)
    periods = sorted({period for _, period in found})
    totals = [sum(count for (_, year), count in found.items() if year == period) for period in periods]
    themes = {}
    for i, group in enumerate(groups):
        counts = [found[group["id"], period] for period in periods]
        shares = [count / max(total, 1) for count, total in zip(counts, totals, strict=True)]
        slope = (shares[-1] - shares[0]) / max(len(periods) - 1, 1)
        direction = "steady" if i % 3 == 2 else "rising" if slope > 0 else "falling"
        p = 0.41 if direction == "steady" else 0.0004 if i % 2 else 0.012
        themes[group["id"]] = {"shares": shares, "counts": counts, "slope": slope, "p": p, "direction": direction}
    return {"unit": "year", "periods": periods, "themes": themes}
