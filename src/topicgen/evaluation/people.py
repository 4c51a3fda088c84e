"""Two systems in, a form for people, their answers or a judge's verdicts out; never mixed with the scores."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from topicgen.chat import ChatClient, ChatFailure
from topicgen.config import EvaluationSettings
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK, UsageError, UserError
from topicgen.evaluation import answers as saved
from topicgen.evaluation import judge as verdict
from topicgen.evaluation.ask import KEY_FILE, build_form
from topicgen.evaluation.job import EvaluateJob
from topicgen.evaluation.output import prepare_folder, write_json
from topicgen.evaluation.rubric import load_rubric
from topicgen.evaluation.systems import System
from topicgen.intervals import Interval

FORM_FILE = "ask.html"
JUDGE_FILE = "judge.json"
PEOPLE_FILE = "people.json"


def require_two_systems(job: EvaluateJob) -> None:
    """Raises UsageError, before any model is loaded, unless exactly two systems are to be compared."""
    names = [*job.models, *job.predictions, *job.columns.predictions]
    if len(names) != 2 or job.baselines:
        found = ", ".join([*names, *(["baselines"] if job.baselines else [])]) or "none"
        raise UsageError(f"exactly two systems are compared pair by pair, found: {found}")


def _topics(systems: Sequence[System]) -> dict[str, Sequence[str]]:
    """The topics of the two systems by name; references that agree or not with each other are none of them."""
    return {system.name: system.topics for system in systems if system.kind != "references"}


def ask_people(job: EvaluateJob) -> int:
    """Writes a blind form and its key into the output folder."""
    require_two_systems(job)
    folder = prepare_folder(job.output or ".", job.force, (FORM_FILE, KEY_FILE))
    labelled, systems = job.systems()
    form = build_form(labelled.examples, _topics(systems), job.settings.ask, job.settings.seed)
    form.save(str(folder / FORM_FILE), force=job.force)
    job.warn(f"{form.questions} questions in {folder / FORM_FILE}; {form.same} documents with the same topic left out")
    job.warn(f"keep {folder / KEY_FILE} away from those who answer; read their files with --answers")
    return EXIT_OK if job.report(labelled, systems) else EXIT_INCOMPLETE


def tell_answers(
    paths: Sequence[str], key: str, output: str | None, settings: EvaluationSettings, force: bool = False
) -> int:
    """Prints win rates and agreement; with an output folder also as people.json."""
    folder = prepare_folder(output, force, (PEOPLE_FILE,)) if output else None
    judgements = saved.read_answers(Path(key), [Path(path) for path in paths])
    summary = saved.summarise(judgements, settings.samples, settings.seed)
    for system in summary.systems:
        _print(f"{system.name}: win rate {_percent(system.win_rate)}, {system.wins} wins, {system.ties} ties")
    alpha = "not defined" if summary.alpha is None else f"{summary.alpha:.2f}"
    _print(
        f"{summary.documents} documents, {summary.annotators} annotators, {summary.answers} answers; "
        f"sign test p {summary.sign_test_p:.3f}; Krippendorff's alpha {alpha}"
    )
    if folder:
        write_json(folder / PEOPLE_FILE, summary.as_dict())
    return EXIT_OK


def ask_judge(job: EvaluateJob, model: str, rubric: str | None, paths: Sequence[str], key: str) -> int:
    """Lets a model judge; with saved answers of people, tells how far it agrees with them."""
    require_two_systems(job)
    asked = load_rubric(Path(rubric) if rubric else None)
    client = ChatClient(model)
    folder = prepare_folder(job.output, job.force, (JUDGE_FILE,)) if job.output else None
    people = saved.read_answers(Path(key), [Path(path) for path in paths]).labels() if paths else {}
    labelled, systems = job.systems()
    verdicts = verdict.judge(labelled.examples, _topics(systems), _reachable(client), asked)
    summary = verdict.summarise(verdicts, job.settings.samples, job.settings.seed)
    agreed = verdict.agreement(verdicts, _as_sides(people, verdicts.systems))
    for name, rate in zip(summary.systems, summary.win_rates or (), strict=False):
        _print(f"{name}: win rate {_percent(rate)} by {model}")
    bias = "not measured" if summary.position_bias is None else f"{summary.position_bias:.0%}"
    _print(
        f"{summary.judged} of {summary.documents} documents judged, {summary.equal} with equal topics, "
        f"{summary.ties} ties; same position in both orders {bias}; unreadable answers {summary.unparsable}, "
        f"failed requests {summary.failed}"
    )
    if agreed:
        kappa = "not defined" if agreed.kappa is None else f"{agreed.kappa:.2f}"
        _print(f"agreement with people on {agreed.documents} documents: {agreed.raw:.0%}, Cohen's kappa {kappa}")
    if people and not agreed:
        job.warn("no agreement told: the answers of people are about other systems or documents")
    for reason in sorted(set(verdicts.failures))[:3]:
        job.warn(f"judge: {reason}")
    if folder:
        found = {"judge": model, **summary.as_dict(), "agreement": agreed.as_dict() if agreed else None}
        write_json(folder / JUDGE_FILE, found)
    whole = job.report(labelled, systems) and not summary.failed and not summary.unparsable
    return EXIT_OK if whole else EXIT_INCOMPLETE


def _reachable(client: ChatClient) -> verdict.Ask:
    """The client's ``ask`` that gives up at once when the first request shows that no request will be answered."""

    def ask(prompts: Sequence[str], max_tokens: int) -> Iterator[str | ChatFailure]:
        [first] = client.ask(prompts[:1], max_tokens)
        if isinstance(first, ChatFailure) and first.final:
            raise UserError(f"judge: {first.reason}")
        return chain([first], client.ask(prompts[1:], max_tokens))

    return ask


def _as_sides(labels: Mapping[str, str], systems: tuple[str, str]) -> dict[str, str]:
    """Labels that name systems, as the judge's ``a``, ``b`` and ``tie``; documents of other systems are left out."""
    sides = {systems[0]: "a", systems[1]: "b", "tie": "tie"}
    return {document: sides[label] for document, label in labels.items() if label in sides}


def _percent(rate: Interval) -> str:
    return f"{rate.percent()} %"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
