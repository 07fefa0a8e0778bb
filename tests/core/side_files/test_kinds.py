"""The table of side files knows every file name that transformers' tokenizers and processors look for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import transformers.models
import transformers.utils.hub as hub
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.side_files.kinds import CODE, OTHER_WEIGHTS, UNKNOWN, Content, Kind, explain_left_behind, find_rule


def _vocabulary_files() -> set[str]:
    """The names in VOCAB_FILES_NAMES of every tokenizer module of transformers, read from their source."""
    names: set[str] = set()
    for path in Path(transformers.models.__path__[0]).glob("*/tokenization_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VOCAB_FILES_NAMES":
                names |= set(ast.literal_eval(node.value).values())
    return {name for name in names if name}


def test_every_vocabulary_file_of_transformers_is_carried() -> None:
    """Each is a tokenizer file."""
    names = _vocabulary_files()
    assert len(names) > 10
    assert {name for name in names if (rule := find_rule(name)) is None or rule.kind is not Kind.TOKENIZER} == set()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (hub.CHAT_TEMPLATE_FILE, Kind.TOKENIZER),
        (f"{hub.CHAT_TEMPLATE_DIR}/tool_use.jinja", Kind.TOKENIZER),
        (hub.LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE, Kind.TOKENIZER),
        ("chat_templates/rag.jinja", Kind.TOKENIZER),
        ("qwen.tiktoken", Kind.TOKENIZER),
        ("tokenizer.model.v3", Kind.TOKENIZER),
        ("tekken.json", Kind.TOKENIZER),
        ("tokenizer.4.0.0.json", Kind.TOKENIZER),
        (transformers.utils.FEATURE_EXTRACTOR_NAME, Kind.PROCESSOR),
        (transformers.utils.PROCESSOR_NAME, Kind.PROCESSOR),
        (transformers.utils.VIDEO_PROCESSOR_NAME, Kind.PROCESSOR),
        ("audio_tokenizer_config.json", Kind.PROCESSOR),
        (transformers.utils.GENERATION_CONFIG_NAME, Kind.GENERATION),
        ("quantize_config.json", Kind.QUANTIZATION),
        ("modules.json", Kind.POOLING),
        ("1_Pooling/config.json", Kind.POOLING),
        ("2_Dense/model.safetensors", Kind.POOLING),
        ("config_sentence_transformers.json", Kind.POOLING),
        ("sentence_bert_config.json", Kind.POOLING),
        ("LICENSE", Kind.LICENCE),
        ("Licence.md", Kind.LICENCE),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    """Each file belongs to what it is loaded with."""
    rule = find_rule(name)
    assert rule is not None
    assert rule.kind is kind


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("modeling_x.py", CODE),
        ("license.py", CODE),
        ("1_Custom/pooling.py", CODE),
        ("pytorch_model.bin", OTHER_WEIGHTS),
        ("pytorch_model.bin.index.json", OTHER_WEIGHTS),
        ("onnx/model.json", OTHER_WEIGHTS),
        ("x.Q4_K_M.gguf", OTHER_WEIGHTS),
        ("consolidated.safetensors", "weights that the donor's index does not list"),
        ("training_args.bin", "the state of a training run"),
        ("README.md", "written anew"),
        (".gitattributes", "not part of the model"),
        ("figure.png", "documentation"),
        ("something.json", UNKNOWN),
        ("sub/tokenizer.json", UNKNOWN),
    ],
)
def test_other_files_have_a_reason(name: str, reason: str) -> None:
    """Files that are no side files are named with the reason why they stay behind."""
    assert find_rule(name) is None
    assert explain_left_behind(name) == reason


@given(st.text(max_size=20), st.sampled_from(["py", "PY", "so", "js"]))
def test_code_is_never_a_side_file(stem: str, suffix: str) -> None:
    """Whatever a file of code is called."""
    assert find_rule(f"{stem}.{suffix}") is None


def test_vocabularies_are_data() -> None:
    """Their keys are tokens, so that no token called `auto_map` is taken for a setting."""
    names = ("tokenizer.json", "vocab.json", "added_tokens.json", "chat_template.jinja", "LICENSE")
    assert {name: rule.content for name in names if (rule := find_rule(name))} == dict.fromkeys(names, Content.DATA)
