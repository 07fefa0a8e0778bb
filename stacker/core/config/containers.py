"""Compiles what a stack says of itself, for each container that stacker writes: config.json, or GGUF metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stacker.core.config.compiling import compile_stack_config
from stacker.core.config.metadata import compile_metadata
from stacker.core.plan.block_types import find_unwritable
from stacker.core.plan.metadata_json import view_metadata
from stacker.core.plan.tensors import IsCast, PlannedTensors, cast_all, cast_matrices
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.core.values.metadata import MetadataEntry
from stacker.errors import Problem
from stacker.formats.ggml_types import find_type_number
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import StackSpec
from stacker.tensors import Dtype


@dataclass(frozen=True, slots=True)
class Compiled:
    """The config of a stack and the problems of compiling it; `metadata` has the same entries for a GGUF file."""

    config: Mapping[str, Json]
    problems: tuple[Problem, ...] = ()
    metadata: tuple[MetadataEntry, ...] = ()


Compile = Callable[[StackSpec, StackGraph, Mapping[str, Donor], PlannedTensors | None], Compiled]
"""Compiles the config of a stack; the planned tensors are None if the stack has errors."""


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of checkpoint. `keeps_tokens` says whether its tokenizer can only be taken as it is, from one donor.

    `suffix` is what the name of an output ends in that is a file; "" if outputs are folders. `shard_size` is the
    largest size of a file in bytes, unless the spec sets one.
    """

    name: str
    compile: Compile
    has_type: Callable[[Dtype], bool]
    shard_size: int
    is_cast: IsCast = cast_all
    keeps_tokens: bool = False
    suffix: str = ""


def _compile_config(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], planned: PlannedTensors | None
) -> Compiled:
    return Compiled(*compile_stack_config(spec, graph, donors, tied=bool(planned.tied) if planned else None))


def _compile_metadata(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], planned: PlannedTensors | None
) -> Compiled:
    tensors = [each.tensor for each in planned.tensors] if planned else []
    tied = bool(planned.tied) if planned else None
    metadata, problems = compile_metadata(spec, graph, donors, tensors, tied=tied)
    problems = (*problems, *find_unwritable(planned.tensors if planned else (), donors))
    return Compiled(view_metadata(metadata), problems, metadata)


def _is_plain(dtype: Dtype) -> bool:
    return dtype.block == 1


def _is_in_gguf(dtype: Dtype) -> bool:
    return find_type_number(dtype) is not None


SAFETENSORS = Container("safetensors", _compile_config, _is_plain, shard_size=5_000_000_000)
GGUF = Container(
    "gguf", _compile_metadata, _is_in_gguf, shard_size=10**15, is_cast=cast_matrices, keeps_tokens=True, suffix=".gguf"
)
CONTAINERS: Mapping[str, Container] = {each.name: each for each in (SAFETENSORS, GGUF)}


def find_container(graph: StackGraph, donors: Mapping[str, Donor]) -> Container:
    """The container of a stack, which is that of its donors."""
    return CONTAINERS[donors[graph.template].container]


def check_containers(spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report donors of different containers, and changes of tokens that a container does not allow."""
    kinds = {donor.container: name for name, donor in donors.items()}
    if len(kinds) > 1:
        (one, first), (other, second), *_ = kinds.items()
        message = f"donor '{first}' is {one}, donor '{second}' is {other}"
        hint = "use donors of one kind; llama.cpp's converter makes a GGUF file of a safetensors folder"
        yield Problem(message, hint, spec.mark_of("donors"))
    container = find_container(graph, donors)
    dtype = spec.output.dtype
    if dtype and not container.has_type(dtype):
        message = f"a {container.name} stack cannot have tensors of the type {dtype.label}"
        yield Problem(message, "leave `dtype` out, or write `dtype: bfloat16`", spec.mark_of("output"))
    if container.keeps_tokens and (spec.vocabulary is not None or spec.chat_template is not None):
        message = f"the tokens and the chat template of a {container.name} stack are those of one donor"
        yield Problem(message, "write only `tokenizer: <donor>`", spec.mark_of("tokenizer"))
