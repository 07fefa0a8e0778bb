"""Judges for each client whether it computes a stack as transformers does, by the rules of the architecture files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stacker.arch.dimensions import select_text_config
from stacker.arch.families import read_clients, read_tested_stacks
from stacker.arch.files.clients import Basis, Client, ClientFacts, ClientRule, Effect
from stacker.core.clients.checkpoint import Checkpoint, view_donor, view_stack
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import layers_text
from stacker.formats.json_object import Json

REFERENCE = "transformers"


class Answer(StrEnum):
    """Whether a client computes what transformers computes for the same layers; FAILS means that it does not load."""

    RIGHT = "right"
    WRONG = "wrong"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason why a client does not compute a stack correctly; `layers` are the affected layers, () for all.

    `of_donor` means that the client makes the same mistake with the donor whose config is the template.
    """

    rule: ClientRule
    layers: tuple[int, ...] = ()
    of_donor: bool = False

    @property
    def text(self) -> str:
        where = f" (differs in {layers_text(self.layers)})" if self.layers else ""
        return f"{self.rule.reason}{where}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one client computes a stack correctly, and the reasons if not.

    `client` may also be "transformers". `basis` is None if nothing is known about the client and the stack's family.
    """

    client: str
    version: str
    answer: Answer
    findings: tuple[Finding, ...] = ()
    basis: Basis | None = None


def judge_clients(
    graph: StackGraph, donors: Mapping[str, Donor], config: Mapping[str, Json], tied: Collection[tuple[str, str]]
) -> tuple[Verdict, ...]:
    """A verdict about a stack for transformers, then one for each client in `_clients.yaml`.

    `config` is its config.json, and `tied` the pairs of head and embedding tensors of which only one is written.
    """
    template = donors[graph.template]
    stack, donor = view_stack(graph, donors, config, tied), view_donor(template)
    facts = {each.client: each for each in template.architecture.clients}
    others = (_judge(client, facts.get(client.name), stack, donor) for client in read_clients())
    return (_judge_reference(template), *others)


def judge_gguf_clients(template: Donor) -> tuple[Verdict, ...]:
    """The verdicts about a GGUF stack: the rules are those of llama.cpp's loader; other programs were not examined."""
    known = not template.architecture.inferred
    right = Answer.RIGHT if known else Answer.UNKNOWN
    others = (
        Verdict(each.name, each.version, right if each.name == _LOADER else Answer.UNKNOWN, (), Basis.READ)
        for each in read_clients()
    )
    return (Verdict(REFERENCE, "", Answer.UNKNOWN), *others)


_LOADER = "llama.cpp"


def _judge_reference(template: Donor) -> Verdict:
    """The verdict for transformers: right if every stack tried of the family was right or refused, else unknown."""
    config = select_text_config(template.architecture, template.config)
    tested = read_tested_stacks()
    names = (template.config.get("model_type"), config.get("model_type"))
    words = next((tested[name] for name in names if isinstance(name, str) and name in tested), {})
    proven = bool(words) and all(word.partition(":")[0] in ("right", "refused") for word in words.values())
    return Verdict(REFERENCE, "", Answer.RIGHT if proven else Answer.UNKNOWN, (), Basis.MEASURED if proven else None)


def _judge(client: Client, facts: ClientFacts | None, stack: Checkpoint, donor: Checkpoint) -> Verdict:
    rules = (*client.rules, *(facts.rules if facts else ()))
    findings = tuple(_find(rules, stack, donor))
    basis = facts.basis if facts else None
    effects = {finding.rule.effect for finding in findings if not finding.rule.before}
    if effects:
        answer = Answer.FAILS if Effect.FAILS in effects else Answer.WRONG
    else:
        # facts are about language models alone, and a wrapper around them may be loaded by other code
        answer = Answer.RIGHT if facts and not stack.architecture.inner else Answer.UNKNOWN
    return Verdict(client.name, client.version, answer, findings, basis)


def _find(rules: Sequence[ClientRule], stack: Checkpoint, donor: Checkpoint) -> Iterator[Finding]:
    for rule in rules:
        if rule.when is not None and stack.meets(rule.when):
            yield Finding(rule, (), donor.meets(rule.when))
        layers = stack.list_misread(rule)
        if layers:
            yield Finding(rule, layers, bool(donor.list_misread(rule)))


def group_answers(verdicts: Sequence[Verdict]) -> Mapping[Answer, list[Verdict]]:
    """The verdicts by answer, without empty groups."""
    groups = {answer: [verdict for verdict in verdicts if verdict.answer is answer] for answer in Answer}
    return {answer: group for answer, group in groups.items() if group}
