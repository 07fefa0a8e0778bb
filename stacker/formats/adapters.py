"""Reads what a LoRA adapter's files say, as peft 0.21 writes them: adapter_config.json and the names of its tensors.

Adapters whose effect is no change of single weights, or depends on more than the files, are refused by name.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stacker.errors import Blame, Mark, Problem, Severity, escape_text, raise_problems
from stacker.formats.json_object import Json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_WRAPPERS = re.compile(r"\.(base_layer|modules_to_save|original_module)(?=\.|$)")
"""Matches what peft inserts into the path of a module that it wraps."""


class AdapterPart(StrEnum):
    """What a tensor of an adapter is for, by the ending of its name after the path of the module."""

    A = "lora_A.weight"
    B = "lora_B.weight"
    B_BIAS = "lora_B.bias"
    EMBEDDING_A = "lora_embedding_A"
    EMBEDDING_B = "lora_embedding_B"
    MAGNITUDES = "lora_magnitude_vector"
    TOKENS = "token_adapter.trainable_tokens_delta"
    WEIGHT = "weight"
    BIAS = "bias"
    GGUF_A = "lora_a"
    GGUF_B = "lora_b"


_GGUF = (AdapterPart.GGUF_A, AdapterPart.GGUF_B)
_ENDINGS = {
    **{part.value: part for part in AdapterPart if part not in _GGUF},
    "lora_magnitude_vector.weight": AdapterPart.MAGNITUDES,
}


@dataclass(frozen=True, slots=True)
class AdapterModule:
    """A module that an adapter changes: its path in the model, and the names of the adapter's tensors for it.

    Several matrices of one module (`target_parameters`) are nested: `depth` is 0 for the outermost of them.
    """

    path: str
    depth: int
    tensors: Mapping[AdapterPart, str]


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The entries of an adapter's config that its effect depends on, named as in adapter_config.json.

    `token_indices` maps the path of an embedding ("" for the model's own) to the numbers of its trained rows.
    """

    rank: int
    alpha: float
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    fan_in_fan_out: bool = False
    target_parameters: tuple[str, ...] = ()
    token_indices: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    base: str = ""
    """The base model's hub id or folder, as it was called where the adapter was trained; "" if it is not stated."""

    def find_rank(self, path: str) -> int:
        """The rank of the adapter of the module or parameter at `path`."""
        return int(_find_by_pattern(self.rank_pattern, path, self.rank))

    def find_scaling(self, path: str) -> float:
        """The factor of B·A for the module or parameter at `path`: α/r, or α/√r with `use_rslora`."""
        alpha, rank = _find_by_pattern(self.alpha_pattern, path, self.alpha), self.find_rank(path)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _find_by_pattern(patterns: Mapping[str, float], path: str, default: float) -> float:
    """The value of the first pattern that matches the end of the path, from the start of a component on."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", path)), default)


def parse_adapter_config(content: Mapping[str, Json], where: str) -> tuple[AdapterConfig, tuple[Problem, ...]]:
    """The config of a LoRA adapter, and warnings; all reasons why it cannot be folded are raised as one DonorError."""
    mark = Mark(where)
    problems = [*_check_kind(content, mark), *_check_types(content, mark)]
    raise_problems(problems)
    tokens = _get(content, "trainable_token_indices", {})
    tables = tokens if isinstance(tokens, dict) else {"": tokens}
    config = AdapterConfig(
        rank=_get(content, "r", 8),
        alpha=_get(content, "lora_alpha", 8),
        use_rslora=bool(content.get("use_rslora")),
        rank_pattern=_get(content, "rank_pattern", {}),
        alpha_pattern=_get(content, "alpha_pattern", {}),
        fan_in_fan_out=bool(content.get("fan_in_fan_out")),
        target_parameters=tuple(_get(content, "target_parameters", [])),
        token_indices={key: tuple(rows) for key, rows in tables.items()},
        base=_get(content, "base_model_name_or_path", ""),
    )
    return config, tuple(_check_unknown(content, mark))


def _get(content: Mapping[str, Json], key: str, default: Any) -> Any:
    value = content.get(key)
    return default if value is None else value


_METHODS = {
    "ADALORA": "AdaLoRA", "IA3": "IA³", "PREFIX_TUNING": "prefix tuning", "PROMPT_TUNING": "prompt tuning",
    "P_TUNING": "p-tuning", "LOHA": "LoHa", "LOKR": "LoKr", "XLORA": "X-LoRA", "VERA": "VeRA", "OFT": "OFT",
    "BOFT": "BOFT", "TRAINABLE_TOKENS": "trainable tokens without LoRA", "ADAPTION_PROMPT": "adaption prompts",
}  # fmt: skip
_VARIANTS = {
    "alora_invocation_tokens": "aLoRA acts only on the tokens after its invocation tokens",
    "use_bdlora": "BD-LoRA's factors are blocks of larger matrices",
    "use_qalora": "QALoRA pools the inputs of a quantised base",
    "arrow_config": "Arrow chooses between adapters for every token",
    "kasa_config": "KaSA also cuts small singular values off the base",
    "velora_config": "VeLoRA is not known to be foldable",
    "monteclora_config": "MonteCLoRA draws its factors at random",
    "megatron_config": "its matrices are divided between Megatron's processes",
    "layer_replication": "its base is a stack of repeated layers: make that stack a donor, and put the adapter on it",
}
_INITS = {
    "pissa": "PiSSA", "olora": "OLoRA", "corda": "CorDA", "lora_ga": "LoRA-GA", "loftq": "LoftQ",
}  # fmt: skip
"""Ways of starting the training that change the base, so that the adapter belongs to a base that is stored nowhere."""
_CONVERT = "save it with peft's `path_initial_model_for_weight_conversion`, which makes a plain LoRA of it"
_MERGE = "merge it with peft, and name the result as a donor"


def _check_kind(content: Mapping[str, Json], mark: Mark) -> Iterator[Problem]:
    """Yield a problem for each feature of an adapter that cannot be folded into the weights of its base."""
    kind = content.get("peft_type")
    if kind != "LORA":
        name = _METHODS.get(kind, kind) if isinstance(kind, str) else "no kind (`peft_type`)"
        yield _refuse(f"this adapter is {escape_text(str(name))}, and only LoRAs can be folded", _MERGE, mark)
    for key, reason in _VARIANTS.items():
        if content.get(key):
            yield _refuse(f"this adapter cannot be folded (`{key}`): {reason}", "", mark)
    init = content.get("init_lora_weights")
    for start, name in _INITS.items():
        if isinstance(init, str) and init.startswith(start):
            yield _refuse(
                f"this adapter belongs to a base that {name} has changed, which is not stored", _CONVERT, mark
            )


def _refuse(message: str, hint: str, mark: Mark) -> Problem:
    return Problem(message, hint, mark, blame=Blame.DONOR)


def _check_types(content: Mapping[str, Json], mark: Mark) -> Iterator[Problem]:
    rank, alpha = _get(content, "r", 8), _get(content, "lora_alpha", 8)
    tokens = _get(content, "trainable_token_indices", [])
    checks = {
        "r": _is_rank(rank),
        "lora_alpha": _is_number(alpha),
        "rank_pattern": _is_table(_get(content, "rank_pattern", {}), _is_rank),
        "alpha_pattern": _is_table(_get(content, "alpha_pattern", {}), _is_number),
        "target_parameters": _is_list(_get(content, "target_parameters", []), str),
        "trainable_token_indices": all(
            _is_list(rows, int) and all(row >= 0 for row in rows) and len(set(rows)) == len(rows)
            for rows in (tokens.values() if isinstance(tokens, dict) else [tokens])
        ),
        "base_model_name_or_path": isinstance(_get(content, "base_model_name_or_path", ""), str),
    }
    for key, right in checks.items():
        if not right:
            value = escape_text(str(content.get(key)), 60)
            yield _refuse(f"`{key}` cannot be {value}", "fetch the adapter again, or repair it", mark)
    tables = (content.get(key) for key in ("rank_pattern", "alpha_pattern"))
    for key in (key for table in tables if isinstance(table, dict) for key in table):
        if not _is_safe_pattern(key):
            hint = "write the names of the modules, each as an entry of its own"
            yield _refuse(f"the pattern '{escape_text(key, 60)}' is not valid, or could take too long", hint, mark)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_rank(value: Json) -> bool:
    return type(value) is int and value > 0


def _is_list(value: Json, kind: type) -> bool:
    return isinstance(value, list) and all(type(each) is kind for each in value)


def _is_table(table: Json, check: Callable[[Json], bool]) -> bool:
    return isinstance(table, dict) and all(map(check, table.values()))


_NESTED = re.compile(r"\([^()]*[*+{][^()]*\)\s*[*+{?]|\\[1-9]|\(\?")
_MOST_QUANTIFIERS = 2


def _is_safe_pattern(pattern: str) -> bool:
    """Whether a regular expression of an adapter is valid, and quick on any name: few quantifiers, none nested."""
    if len(pattern) > 200 or _NESTED.search(pattern) or len(re.findall(r"[*+{]", pattern)) > _MOST_QUANTIFIERS:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns of patterns that may come to mean something else
            re.compile(pattern)
    except (re.error, OverflowError, Warning):
        return False
    return True


_KNOWN = (
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "auto_mapping", "base_model_name_or_path", "bias",
    "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "init_lora_weights", "kasa_config", "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_alpha", "lora_bias", "lora_dropout", "lora_ga_config", "megatron_config", "megatron_core",
    "modules_to_save", "monteclora_config", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern",
    "revision", "target_modules", "target_parameters", "task_type", "trainable_token_indices", "use_bdlora",
    "use_dora", "use_qalora", "use_rslora", "velora_config", "unsloth_fixed",
)  # fmt: skip


def _check_unknown(content: Mapping[str, Json], mark: Mark) -> Iterator[Problem]:
    """Warn of entries that peft 0.21 does not write for a LoRA, unless they switch something off."""
    for key in sorted(content.keys() - set(_KNOWN)):
        if content[key] not in (None, False, [], {}, ""):
            message = f"`{escape_text(key)}` is unknown, and has no effect here"
            hint = "if a newer peft wrote it, compare the result with peft's merge"
            yield Problem(message, hint, mark, Severity.WARNING, Blame.DONOR)


def group_adapter_tensors(names: Iterable[str], where: str) -> tuple[AdapterModule, ...]:
    """The modules that an adapter with tensors of these names changes; DonorError for names that are not understood."""
    modules: dict[tuple[str, int], dict[AdapterPart, str]] = {}
    problems = []
    for name in names:
        found = _split_name(name)
        if found is None:
            message = f"the tensor '{escape_text(name)}' is of a kind of adapter that is not known"
            problems.append(_refuse(message, "only LoRAs as peft saves them can be folded", Mark(where)))
            continue
        path, depth, part = found
        if modules.setdefault((path, depth), {}).setdefault(part, name) != name:
            problems.append(_refuse(f"the adapter has two tensors for {path}.{part}", "", Mark(where)))
    raise_problems(problems)
    return tuple(AdapterModule(path, depth, parts) for (path, depth), parts in modules.items())


def _split_name(name: str) -> tuple[str, int, AdapterPart] | None:
    """The module's path, its depth of nesting, and what the tensor is for; None if the name is not understood."""
    body = name.removeprefix(_PREFIX)
    if body == name:
        return None
    ending = next((ending for ending in _ENDINGS if body.endswith(f".{ending}")), None)
    if ending is None or ("lora_" in body and "lora_" not in ending):
        return None
    path, part = body.removesuffix(f".{ending}"), _ENDINGS[ending]
    replaces = part in (AdapterPart.WEIGHT, AdapterPart.BIAS)
    depth = 0 if replaces else path.count(".base_layer")
    return _WRAPPERS.sub("", path), depth, part
