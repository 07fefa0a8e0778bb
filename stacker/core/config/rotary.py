"""Reads the parameters of the rotary embedding from a config, whichever keys the config uses for them.

Configs differ in their spelling: transformers 4 wrote `rope_theta` and `rope_scaling`, transformers 5 writes
`rope_parameters`, and some families have parameters for each kind of attention.
"""

from __future__ import annotations

from collections.abc import Mapping

from stacker.arch.dimensions import select_text_config
from stacker.arch.files.architecture import Architecture, Config
from stacker.formats.json_object import Json

Parameters = dict[str, Json]

_BASE, _PART, _LENGTH = "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"
_CONTEXT = "max_position_embeddings"
_BASE_KEYS = {
    "full_attention": ("rope_theta", "global_rope_theta"),
    "sliding_attention": ("rope_local_base_freq", "local_rope_theta", "swa_rope_theta"),
    "main": ("rope_theta",),
    "compress": ("compress_rope_theta",),
}
"""Config keys of the rotary base for one kind of attention, in families that have a base for each kind."""
_SCALED = ("full_attention", "compress")
"""The kinds of attention to which `rope_scaling` applies in such families."""
_USUAL: Parameters = {_BASE: 10_000.0, _PART: 1.0}
"""The values that transformers uses for families without values of their own."""
_PLAIN_BASE_KEYS = ("rope_theta", "rotary_emb_base")
_PART_KEYS = ("partial_rotary_factor", "rotary_pct", "rope_pct")
_CONTEXT_KEYS = (_CONTEXT, "max_seq_len")
_ROTATED_KEYS = ("rotary_dim", "head_dim")
"""Keys of the numbers of rotated and of all dimensions of a head, whose quotient is the partial rotary factor."""
_TYPES = {"su": "longrope", "mrope": "default"}
"""Older names of rope types, with the present names."""
_SCALED_FROM_LENGTH = ("llama3", "yarn", "longrope")
"""Rope types that use the context length before scaling."""
_USUAL_OF_TYPE: Mapping[str, Parameters] = {"yarn": {"beta_fast": 32, "beta_slow": 1, "truncate": True}}
"""Parameters of a rope type that may be left out, with the values that transformers then uses."""

ROTARY_KEYS = frozenset({
    "rope_scaling", "rope_parameters", _LENGTH, *_PLAIN_BASE_KEYS, *_PART_KEYS,
    *(key for keys in _BASE_KEYS.values() for key in keys),
})  # fmt: skip
"""Config keys that state rotary parameters."""


def read_rotary_parameters(architecture: Architecture, config: Config) -> Parameters:
    """The rotary parameters of a config in one spelling; configs with the same parameters give equal results.

    The keys are those of transformers' `rope_parameters`. If the kinds of attention have different parameters, the keys
    are such as `full_attention.rope_theta`. What the config leaves out has the family's default value.
    """
    defaults = dict(architecture.defaults)
    rotated = {key: defaults[key] for key in _ROTATED_KEYS if key in defaults}
    entries = rotated | select_text_config(architecture, config)
    stated, scaling = _mapping(entries.get("rope_parameters")), _mapping(entries.get("rope_scaling"))
    usual = _mapping(defaults.get("rope_parameters"))
    plain = _USUAL | _read_outside(defaults, _PLAIN_BASE_KEYS)
    if _LENGTH not in defaults and not architecture.inferred:
        entries.pop(_LENGTH, None)
    kinds = _list_kinds(stated) | _list_kinds(scaling) | _list_kinds(usual)
    if not kinds:
        return _complete(scaling or stated or usual, _read_outside(entries, _PLAIN_BASE_KEYS), plain, {})
    found = {}
    for kind in kinds:
        scaled = _mapping(scaling.get(kind)) if _list_kinds(scaling) else scaling if kind in _SCALED else {}
        base_keys = (*_BASE_KEYS.get(kind, ()), *(() if kind in usual else _PLAIN_BASE_KEYS))
        own = _mapping(stated.get(kind)) | scaled
        found[kind] = _complete(own, _read_outside(entries, base_keys), plain, _mapping(usual.get(kind)))
    found |= {kind: {"rope_type": None} for kind in _list_unrotated(stated) - usual.keys()}
    first = next(iter(found.values()))
    if all(each == first for each in found.values()):
        return first
    return {f"{kind}.{key}": value for kind, each in sorted(found.items()) for key, value in each.items()}


def list_rotary_bases(parameters: Parameters) -> list[Json]:
    """The rotary bases among parameters as `read_rotary_parameters` returns them; one for each kind of attention."""
    return [value for key, value in parameters.items() if key.rpartition(".")[2] == _BASE]


def _mapping(value: Json) -> Parameters:
    return dict(value) if isinstance(value, dict) else {}


def _list_kinds(parameters: Parameters) -> set[str]:
    """The kinds of attention that have rotary parameters of their own."""
    return {key for key, value in parameters.items() if isinstance(value, dict)}


def _list_unrotated(parameters: Parameters) -> set[str]:
    """The kinds of attention that are stated to have no rotary embedding."""
    return {key for key, value in parameters.items() if value is None} if _list_kinds(parameters) else set()


def _read_outside(entries: Mapping[str, Json], base_keys: tuple[str, ...]) -> Parameters:
    """The rotary parameters outside of `rope_parameters`; `base_keys` are the keys that may state the rotary base."""
    base, part = (_first(entries, keys) for keys in (base_keys, _PART_KEYS))
    rotated, size = (entries.get(key) for key in _ROTATED_KEYS)
    if part is None and isinstance(rotated, int) and isinstance(size, int) and size:
        part = rotated / size
    found = {_BASE: base, _PART: part, _LENGTH: entries.get(_LENGTH), _CONTEXT: _first(entries, _CONTEXT_KEYS)}
    return {key: value for key, value in found.items() if value is not None}


def _first(entries: Mapping[str, Json], keys: tuple[str, ...]) -> Json:
    return next((entries[key] for key in keys if entries.get(key) is not None), None)


def _complete(own: Parameters, outside: Parameters, plain: Parameters, usual: Parameters) -> Parameters:
    """All parameters of one kind of attention.

    `own` are those that the config states for it, and `outside` those that it states elsewhere. `plain` are the default
    values of the family, and `usual` those of this kind of attention; except for the rotary base, `usual` counts only
    if `own` is empty.
    """
    own = {key: value for key, value in own.items() if value is not None}
    fallback = {_BASE: usual[_BASE]} if own and _BASE in usual else {} if own else usual
    parameters = plain | fallback | outside | own
    written = parameters.pop("type", None)
    kind = str(parameters.get("rope_type") or written or "default")
    parameters["rope_type"] = kind = _TYPES.get(kind, kind)
    context = parameters.pop(_CONTEXT, None)
    length = outside.get(_LENGTH) or plain.get(_LENGTH) or parameters.pop(_LENGTH, None) or context
    parameters.pop(_LENGTH, None)
    if kind in _SCALED_FROM_LENGTH:
        parameters[_LENGTH] = length
    return _USUAL_OF_TYPE.get(kind, {}) | parameters
