"""The command that runs stacks without building them: run."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stacker.cli.app import RUN, Json, Parameters, app, format_examples
from stacker.cli.parameters import Given, is_spec, share_assignments
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.errors import Mark, Problem, SpecError, StackerError

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.live.forecast.memory import LiveMemory
    from stacker.live.generation import Generated
    from stacker.live.live_stack import LiveStack, Settings

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SPEC", help="Specs, built stacks or donors; several answer side by side.",
                   autocompletion=complete_donor),
]  # fmt: skip
Prompt = Annotated[
    str | None, typer.Option("--prompt", metavar="PROMPT", help="The text to continue or the question; - reads it.")
]
System = Annotated[str | None, typer.Option("--system", metavar="MESSAGE", help="The system message of the chat.")]
Chat = Annotated[bool, typer.Option("--chat", help="Talk in the terminal; an empty line or Ctrl-D ends it.")]
Raw = Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without the chat template.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, or auto: GPUs first, then the processor.")]
Kind = Annotated[str | None, typer.Option("--dtype", help="The type of the weights in memory, such as float32.")]
Memory = Annotated[
    str | None,
    typer.Option("--max-memory", metavar="SIZE", help="Most memory for weights; beyond it, layers are streamed."),
]
Tokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="The most tokens to write.")]
Sample = Annotated[bool | None, typer.Option("--do-sample/--no-do-sample", help="Sample, or take the likeliest token.")]
Temperature = Annotated[float | None, typer.Option("--temperature", min=0.0, help="Higher: more varied text.")]
TopK = Annotated[int | None, typer.Option("--top-k", min=0, help="Sample from the K likeliest tokens.")]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", min=0.0, max=1.0, help="Sample from the likeliest tokens with this total probability."),
]
MinP = Annotated[
    float | None,
    typer.Option("--min-p", min=0.0, max=1.0, help="Leave out tokens below this share of the highest probability."),
]
Penalty = Annotated[float | None, typer.Option("--repetition-penalty", min=0.0, help="Above 1, less is repeated.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The seed for sampling.")]


@dataclass(slots=True)
class _Speaker:
    """A live stack with its tokenizer, and the chat with it so far."""

    name: str
    live: LiveStack
    tokenizer: Any
    memory: LiveMemory
    messages: list[dict[str, str]] = field(default_factory=list)


@app.command(
    rich_help_panel=RUN,
    epilog=format_examples(
        'run stack.yml --prompt "The capital of France is"', "run stack.yml ./donor --chat --temperature 0.7 --seed 1"
    ),
)
def run(
    sources: Sources,
    *,
    parameter: Parameters = None,
    prompt: Prompt = None,
    system: System = None,
    chat: Chat = False,
    raw: Raw = False,
    device: Device = "cpu",
    dtype: Kind = None,
    max_memory: Memory = None,
    max_new_tokens: Tokens = 128,
    do_sample: Sample = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Run stacks without writing them, or built ones and donors: continue a text, answer, or chat."""
    if chat == (prompt is not None) or (chat and json):
        message = "there must be either --prompt or --chat" + (", and no --json with it" * chat)
        raise SpecError.of(message, 'for instance: --prompt "The capital of France is"')
    draws = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    drawn = True if do_sample is None and any(each is not None for each in draws.values()) else do_sample
    own = {"max_new_tokens": max_new_tokens, "repetition_penalty": repetition_penalty, "do_sample": drawn, **draws}
    options = {name: value for name, value in own.items() if value is not None}
    opened = zip(sources, share_assignments(sources, parameter), strict=True)
    speakers = [_open_speaker(source, given, device, dtype, max_memory) for source, given in opened]
    if chat or system:
        _begin_chat(speakers, system, raw=raw)
    if chat:
        _talk(speakers, options, seed)
        return
    text = sys.stdin.read() if prompt == "-" else str(prompt)
    answers = _answer_all(speakers, text, options, seed, raw=raw, quiet=json)
    if json:
        print_json({"ok": True, "prompt": text, "answers": [*map(_answer_json, speakers, answers)]})


def _open_speaker(source: str, given: Given, device: str, dtype: str | None, max_memory: str | None) -> _Speaker:
    """Load a stack into memory, after printing on standard error how much memory it takes."""
    from stacker.compose import draw_blueprint
    from stacker.live.forecast.memory import predict_memory
    from stacker.view.tables.live import memory_text

    how = parse_settings(device, dtype, max_memory)
    stack = load_source(source, given)
    print_warnings(stack.problems)
    memory = predict_memory(draw_blueprint(stack), how.dtype)
    make_console(stderr=True).print(memory_text(stack.spec.name, memory, how.max_memory))
    live = stack.live_stack(how.device, how.dtype, how.max_memory)
    return _Speaker(source, live, live.load_tokenizer(), memory)


def parse_settings(device: str, dtype: str | None, max_memory: str | None) -> Settings:
    """How live stacks are made, from the options --device, --dtype and --max-memory; SpecError if one is wrong."""
    from stacker.live.live_stack import Settings
    from stacker.spec.language.value_grammar import parse_dtype, parse_size

    limit = parse_size(max_memory, Mark("--max-memory")) if max_memory else None
    kind = parse_dtype(dtype, Mark("--dtype")) if dtype else None
    return Settings(device, kind.torch_name if kind else None, limit)


def load_source(source: str, given: Given) -> Stack:
    """The stack of a spec file with parameters set; for the folder or hub id of a donor, the stack of all layers."""
    from stacker.compose import load, load_text

    if is_spec(source):
        return load(source, parameters=given)
    name = Path(source.partition("@")[0]).name or "donor"
    donor = {"stacker": 1, "name": name, "donors": {"donor": {"source": source}}, "stack": ["donor"]}
    try:
        return load_text(json_module.dumps(donor).encode(), Path("donor.yml"))
    except StackerError as error:
        raise type(error)(*(_blame_source(problem, source) for problem in error.problems)) from error


def _blame_source(problem: Problem, source: str) -> Problem:
    """A problem of a spec that nobody wrote as one of the source that was given."""
    if problem.mark is None or problem.mark.source != "donor.yml":
        return problem
    hint = "write a folder, a GGUF file, a hub id or a spec" if "spec file" in problem.hint else problem.hint
    return replace(problem, mark=Mark(source), hint=hint)


def _answer_all(
    speakers: list[_Speaker], text: str, options: dict[str, Any], seed: int, *, raw: bool, quiet: bool
) -> list[Generated]:
    """Let each speaker answer in turn; unless `quiet`, text is shown as it comes, in columns if there are several."""
    with _show_columns([speaker.name for speaker in speakers], quiet=quiet) as says:
        answers = [_answer(each, text, options, seed, say, raw=raw) for each, say in zip(speakers, says, strict=True)]
    if not quiet:
        for speaker, answer in zip(speakers, answers, strict=True):
            spent = f"{answer.new_tokens} tokens in {answer.seconds:.1f} s, {answer.speed:.1f} tokens/s"
            make_console(stderr=True).print(f"{speaker.name}: {spent}", style="dim")
    return answers


def _answer(
    speaker: _Speaker, text: str, options: dict[str, Any], seed: int, say: Callable[[str], None], *, raw: bool
) -> Generated:
    from stacker.live.generation import encode_chat, encode_text, generate

    if raw or not getattr(speaker.tokenizer, "chat_template", None):
        encoded = encode_text(speaker.tokenizer, text)
    else:
        speaker.messages.append({"role": "user", "content": text})
        encoded = encode_chat(speaker.tokenizer, speaker.messages)
    answer = generate(speaker.live, speaker.tokenizer, encoded, options, say, seed)
    speaker.messages.append({"role": "assistant", "content": answer.text})
    return answer


def _begin_chat(speakers: list[_Speaker], system: str | None, *, raw: bool) -> None:
    """Give all stacks the system message, if there is one; SpecError if one of them cannot have a chat."""
    if raw:
        raise SpecError.of("--raw uses no chat template, which --chat and --system need", "leave out --raw")
    untaught = [each.name for each in speakers if not getattr(each.tokenizer, "chat_template", None)]
    if untaught:
        hint = "use --prompt without --system, which continues a text"
        raise SpecError.of(f"{', '.join(untaught)}: no chat template", hint)
    for speaker in speakers if system else ():
        speaker.messages.append({"role": "system", "content": str(system)})


def _talk(speakers: list[_Speaker], options: dict[str, Any], seed: int) -> None:
    console = make_console(stderr=True)
    while True:
        console.print("> ", end="", style="bold")
        line = sys.stdin.readline().strip()
        if not line:
            return
        _answer_all(speakers, line, options, seed, raw=False, quiet=False)


@contextmanager
def _show_columns(names: list[str], *, quiet: bool) -> Iterator[list[Callable[[str], None]]]:
    """Yield a function for each name that shows new text: directly, or in a column if there are several names."""
    console = make_console()
    if quiet:
        yield [lambda _text: None for _ in names]
    elif len(names) == 1:
        yield [lambda text: console.out(text, end="", highlight=False)]
        console.out("")
    else:
        from stacker.cli.terminal.columns import show_columns

        with show_columns(console, names) as says:
            yield says


def _answer_json(speaker: _Speaker, answer: Generated) -> dict[str, Any]:
    from stacker.view.tables.live import memory_json

    plan = speaker.live.blueprint.plan.id
    spent = {**asdict(answer), "tokens_per_second": answer.speed}
    return {"source": speaker.name, "plan": plan, **spent, "memory": memory_json(speaker.memory)}
