"""Turns verdicts about clients into warnings and, for the clients that the user needs, into errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.arch.files.clients import Effect
from stacker.core.clients.nearest import find_fitting_stack
from stacker.core.clients.verdicts import Answer, Finding, Verdict
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Mark, Problem, Severity, SpecError, did_you_mean

_VERBS = {Effect.WRONG: "is not computed correctly by", Effect.FAILS: "does not load in"}


def require_clients(
    names: Sequence[str], verdicts: Sequence[Verdict], graph: StackGraph, donors: Mapping[str, Donor]
) -> Iterator[Problem]:
    """Yield an error for each reason why a client in `names` is wrong, and a warning if nothing is known about it.

    `verdicts` are those of all clients, or empty if the stack has errors anyway. Raises SpecError for a name that is
    not in `verdicts`; upper and lower case are the same.
    """
    needed = [_find_verdict(name, verdicts) for name in names] if verdicts else []
    for problem in list_client_problems(needed, verdicts, graph, donors):
        hinted = problem.severity is Severity.NOTE and "before" in problem.message
        yield problem if hinted else replace(problem, severity=Severity.ERROR)
    for verdict in needed:
        if verdict.answer is Answer.UNKNOWN:
            family = donors[graph.template].architecture.name
            message = f"whether {verdict.client} computes this stack correctly is not known (family {family})"
            hint = "compare its output with that of transformers"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _find_verdict(name: str, verdicts: Sequence[Verdict]) -> Verdict:
    found = next((verdict for verdict in verdicts if verdict.client.lower() == name.lower()), None)
    if found is None:
        hint = did_you_mean(name, [verdict.client for verdict in verdicts])
        raise SpecError.of(f"nothing is known about a program called '{name}'", hint, Mark("--for"))
    return found


def list_client_problems(
    chosen: Sequence[Verdict], verdicts: Sequence[Verdict], graph: StackGraph, donors: Mapping[str, Donor]
) -> Iterator[Problem]:
    """Yield a warning for each reason why clients in `chosen` do not compute the stack correctly.

    Clients with the same reason share a warning. It is only a note if the client makes the same mistake with the donor,
    or only older versions of it make the mistake. A stack that a hint proposes is right for all clients in `verdicts`.
    """
    reasons: dict[tuple[Effect, str, bool, str], list[tuple[Verdict, Finding]]] = {}
    for verdict in chosen:
        for finding in verdict.findings:
            key = (finding.rule.effect, finding.text, finding.of_donor, finding.rule.before)
            reasons.setdefault(key, []).append((verdict, finding))
    proposal = find_fitting_stack(graph, donors, verdicts) if reasons else ""
    for found in reasons.values():
        yield _make_problem([verdict for verdict, _ in found], found[0][1], graph, proposal)


def _make_problem(clients: Sequence[Verdict], finding: Finding, graph: StackGraph, proposal: str) -> Problem:
    before = finding.rule.before
    names = " and ".join(f"{each.client} {f'before {before}' if before else each.version}" for each in clients)
    subject = f"this stack, like its donor '{graph.template}'," if finding.of_donor else "this stack"
    message = f"{subject} {_VERBS[finding.rule.effect]} {names}: {finding.text}"
    mark = graph.layers[finding.layers[0]].mark if finding.layers else None
    severity = Severity.NOTE if finding.of_donor or before else Severity.WARNING
    return Problem(message, _advise(finding, graph, proposal), mark, severity)


def _advise(finding: Finding, graph: StackGraph, proposal: str) -> str:
    """A hint on how to avoid a finding: another stack, or embedding and head of one donor; "" if there is no advice."""
    if finding.of_donor:
        return "use a program that is right about the donor"
    if finding.layers:
        return (
            f"this stack keeps the pattern: {proposal}" if proposal else "move slices by whole periods of the pattern"
        )
    embed, head = graph.embed.feeds[0].donor, graph.head.feeds[0].donor
    if embed != head and finding.rule.when and "tied" in finding.rule.when.text:
        return f"take both ends from one donor: `head: {embed}`"
    return ""
