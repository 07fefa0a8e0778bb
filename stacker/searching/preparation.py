"""Reads everything that a search needs before a model is loaded, and tells all that is wrong with it at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from stacker.compose import Stack, load, load_text
from stacker.errors import Problem, SpecError, attempt, raise_problems
from stacker.io.donors.reader import ReadDonor, read_donor, remember_donors
from stacker.measure.questions.questions import Question, read_questions
from stacker.measure.texts import TextPassage, Windowing, check_windowing, read_passages
from stacker.search.evaluation.judging import name_texts
from stacker.search.evaluation.objectives import choose_objectives
from stacker.search.evaluation.windows import CHARACTERS
from stacker.search.requirements import import_package
from stacker.search.results import Objective
from stacker.search.running.table import Space, check_strategies
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.variables import VariableSpace
from stacker.searching.licences import check_licences
from stacker.searching.movement import parse_moves
from stacker.searching.options import SearchOptions
from stacker.searching.spaces import check_bounds, make_variable_space
from stacker.spec.parameters.space import Kind, SpecParameter
from stacker.spec.parameters.spreading import spread_parameters

Texts = dict[str, tuple[TextPassage, ...]]
"""The passages of each text, by the text's name."""


@dataclass(frozen=True, slots=True)
class Request:
    """A search that can begin: the stack it starts from, whose parameters say where they move, and what is read.

    `kinds` are the types of the spaces that are searched, in turn.
    """

    options: SearchOptions
    stack: Stack
    kinds: tuple[type[Space], ...]
    texts: Texts = field(repr=False)
    questions: tuple[Question, ...] = field(repr=False)
    objectives: tuple[Objective, ...]
    read: ReadDonor = field(repr=False)


def prepare(path: Path, options: SearchOptions) -> Request:
    """Read the spec at `path`, the texts and the questions; StackerError lists all that is wrong with the request."""
    problems: list[Problem] = []
    read = remember_donors(read_donor)
    stack = attempt(problems, partial(_load_start, path, options, read))
    kinds = _list_kinds(stack, options) if stack else (VariableSpace, ArrangementSpace)
    texts = attempt(problems, partial(_read_texts, options))
    questions = attempt(problems, partial(read_questions, options.questions))
    named = partial(choose_objectives, options.objectives, [*_name_files(options).values()])
    objectives = attempt(problems, partial(named, questions=bool(options.questions)))
    attempt(problems, partial(check_strategies, kinds, options.strategies or ()))
    for package in ("cmaes", "moocore"):
        attempt(problems, partial(import_package, package))
    if stack:
        attempt(problems, partial(_check_start, stack, kinds, options, read))
    raise_problems(problems)
    if stack is None or texts is None or questions is None or objectives is None:
        raise SpecError.of("the search cannot begin")
    return Request(options, stack, kinds, texts, questions, objectives, read)


def _load_start(path: Path, options: SearchOptions, read: ReadDonor) -> Stack:
    """The stack of the spec, with parameters set and moving as `-p` says, and spread if that is asked for."""
    stack = load(path, read)
    moves = parse_moves(options.parameters, stack.spec.parameters)
    parameters = [moves.get(each.name, each) for each in stack.spec.parameters]
    text, wide = stack.text, [each for each in parameters if options.spread and _can_spread(each)]
    if options.spread and not wide:
        raise SpecError.of(f"{path}: no parameter can be spread", "--spread is for numbers with a range and no step")
    if wide:
        text = spread_parameters(text.decode(), wide, options.spread).encode()
    given = {name: each.value for name, each in moves.items() if each not in wide}
    if wide or given:
        stack = load_text(text, stack.folder / Path(stack.spec.source).name, read=read, parameters=given)
    moving = tuple(moves.get(each.name, each) for each in stack.spec.parameters)
    return replace(stack, spec=replace(stack.spec, parameters=moving))


def _can_spread(parameter: SpecParameter) -> bool:
    return bool(parameter.range) and not parameter.step and parameter.kind is Kind.NUMBER


def _list_kinds(stack: Stack, options: SearchOptions) -> tuple[type[Space], ...]:
    """Parameters, the order of layers, or both in turn."""
    moving = any(each.moves for each in stack.spec.parameters) or not options.arrange
    return (*[VariableSpace] * moving, *[ArrangementSpace] * options.arrange)


def _check_start(stack: Stack, kinds: tuple[type[Space], ...], options: SearchOptions, read: ReadDonor) -> None:
    """Raise what is wrong with the start itself, with its donors' licences, its bounds and its space."""
    problems = [*stack.problems]
    attempt(problems, partial(check_licences, stack, options.bounds.licences))
    if VariableSpace in kinds:
        attempt(problems, partial(make_variable_space, stack, options.bounds, read))
    raise_problems(problems)
    attempt(problems, partial(check_bounds, stack, options.bounds))
    attempt(problems, partial(check_windowing, Windowing(options.window, options.window - 1), stack.plan().config))
    raise_problems(problems)


def _read_texts(options: SearchOptions) -> Texts:
    """The passages of each text; SpecError lists all texts that cannot be read."""
    if not options.texts:
        raise SpecError.of("there is no text to predict", "name one: --text FILE")
    problems: list[Problem] = []
    found = {
        name: attempt(problems, partial(read_passages, [file], options.window * CHARACTERS))
        for file, name in _name_files(options).items()
    }
    raise_problems(problems)
    return {name: passages for name, passages in found.items() if passages}


def _name_files(options: SearchOptions) -> dict[Path, str]:
    names = name_texts([str(file) for file in options.texts])
    return {file: names[str(file)] for file in options.texts}
