"""Lists the kinds of files beside the weights by name, with their largest sizes, and why other files are left behind.

There are two tables; in both, the first row that has a pattern for the name counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from stacker.formats.json_object import MAX_JSON_BYTES


class Kind(StrEnum):
    """The part of a model that a side file belongs to; all side files of one kind are taken from the same donor."""

    TOKENIZER = "tokenizer"
    PROCESSOR = "processor"
    GENERATION = "generation config"
    QUANTIZATION = "quantization config"
    POOLING = "sentence-transformers modules"
    LICENCE = "licence"


class Content(StrEnum):
    """What a side file contains: JSON whose keys name settings, or data that no program runs."""

    SETTINGS = "settings"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class SideFileRule:
    """A row of the table of side files: the names of such files, and the most bytes that one of them may have.

    `names` are patterns in lower case: `*` stands for any characters except a slash.
    """

    kind: Kind
    content: Content
    limit: int
    names: tuple[str, ...]


def _rule(kind: Kind, content: Content, limit: int, names: str) -> SideFileRule:
    return SideFileRule(kind, content, limit, tuple(names.split()))


_VOCABULARY_BYTES = 64_000_000
"""Twice the size of the largest tokenizer.json of a published model in 2026, which is Gemma 3's."""
_TEXT_BYTES = 4_000_000
_MODULE_BYTES = 400_000_000
MODULES = "modules.json"

SIDE_FILE_RULES = (
    _rule(Kind.TOKENIZER, Content.SETTINGS, MAX_JSON_BYTES,
          "tokenizer_config.json special_tokens_map.json chat_template.json"),
    _rule(Kind.TOKENIZER, Content.DATA, _TEXT_BYTES,
          "chat_template.jinja additional_chat_templates/*.jinja chat_templates/*.jinja"),
    _rule(Kind.TOKENIZER, Content.DATA, _VOCABULARY_BYTES,
          "tokenizer.json tokenizer.[0-9]*.json added_tokens.json tekken.json vocab.json vocab-src.json vocab-tgt.json "
          "target_vocab.json entity_vocab.json byte_maps.json emoji.json normalizer.json word_pronunciation.json "
          "word_shape.json vocab.txt merges.txt dict.txt bpe.codes prophetnet.tokenizer source.spm target.spm "
          "tokenizer.model tokenizer.model.v* sentencepiece*.model spiece.model spm*.model *.tiktoken tiktoken.model"),
    _rule(Kind.PROCESSOR, Content.SETTINGS, MAX_JSON_BYTES,
          "processor_config.json preprocessor_config.json *_preprocessor_config.json *_processor_config.json "
          "feature_extractor_config.json audio_tokenizer_config.json"),
    _rule(Kind.GENERATION, Content.SETTINGS, MAX_JSON_BYTES, "generation_config.json"),
    _rule(Kind.QUANTIZATION, Content.SETTINGS, MAX_JSON_BYTES,
          "quantize_config.json quant_config.json hf_quant_config.json"),
    _rule(Kind.POOLING, Content.SETTINGS, MAX_JSON_BYTES,
          "modules.json config_sentence_transformers.json sentence_*_config.json [0-9]*_*/config.json"),
    _rule(Kind.POOLING, Content.DATA, _MODULE_BYTES, "[0-9]*_*/model.safetensors"),
    _rule(Kind.LICENCE, Content.DATA, _TEXT_BYTES,
          "license* licence* notice* copying* use_policy* acceptable_use_policy*"),
)  # fmt: skip
"""The files that loading a checkpoint may need, and licences. Sources: `vocab_files_names` of every tokenizer and the
file names in `transformers.utils.hub` of transformers 5.23; `modules.json` of sentence-transformers 5."""

CODE = "code, which is never carried"
OTHER_WEIGHTS = "weights in another format"
UNKNOWN = "no rule says what it is for"
WRITTEN_ANEW = "written anew"
_CODE = ("*.py", "*.pyc", "*.pyx", "*.so", "*.sh", "*.ipynb", "*.c", "*.cc", "*.cpp", "*.cu", "*.js")
_REASONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (CODE, _CODE),
    ("not part of the model", (".*",)),
    (WRITTEN_ANEW, ("config.json", "readme*", "*.safetensors.index.json", "stacker.yml", "stacker.lock.json",
                      "depth-map.svg")),
    ("the state of a training run", ("optimizer.*", "scheduler.*", "scaler.*", "rng_state*", "training_args.*",
                                     "trainer_state.json", "*_results.json", "events.out*", "runs/")),
    ("an adapter, which is not applied", ("adapter_*",)),
    (OTHER_WEIGHTS, ("onnx/", "openvino/", "coreml/", "original/", "gguf/", "mlx/", "pytorch_model*", "tf_model*",
                     "flax_model*", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf", "*.ggml",
                     "*.ot", "*.npz", "*.pkl", "*.nemo", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel")),
    ("weights that the donor's index does not list", ("*.safetensors",)),
    ("documentation", ("*.md", "*.rst", "*.txt", "*.pdf", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.webp",
                       "*.mp4", "*.html", "*.bib", "*.csv")),
)  # fmt: skip
"""Why files that are no side files stay behind, each reason with patterns of their names without the folder.

A pattern with a slash at its end stands for all files in that folder.
"""


def find_rule(name: str) -> SideFileRule | None:
    """The row of the table for a file with this name, relative to the donor's folder; None if it is no side file."""
    lower = name.lower()
    if any(fnmatchcase(lower, pattern) for pattern in _CODE):
        return None
    return next((rule for rule in SIDE_FILE_RULES if any(_is_named(lower, pattern) for pattern in rule.names)), None)


def _is_named(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def explain_left_behind(name: str) -> str:
    """Why a donor's file with this name, which is no side file, is not carried into a stack."""
    lower = name.lower()
    own = lower.rpartition("/")[2]
    matching = (
        reason
        for reason, patterns in _REASONS
        for pattern in patterns
        if (lower.startswith(pattern) if pattern.endswith("/") else fnmatchcase(own, pattern))
    )
    return next(matching, UNKNOWN)


def is_part_of_checkpoint(name: str) -> bool:
    """Whether a file with this name, relative to a checkpoint's folder, is weights, a side file, or written by builds.

    Weights are named as transformers names them; the names that an index lists are not known here.
    """
    weights = fnmatchcase(name, "model.safetensors") or fnmatchcase(name, "model-[0-9]*-of-[0-9]*.safetensors")
    anew = "/" not in name and explain_left_behind(name) == WRITTEN_ANEW
    return weights or anew or find_rule(name) is not None
