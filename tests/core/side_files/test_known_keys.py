"""Settings that transformers' own classes read are kept, as are plain values; what could name code is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AddedToken, GenerationConfig, PreTrainedTokenizerFast

from stacker.core.side_files import known_keys
from stacker.errors import Severity
from tests.core.side_files.test_cleaning import clean
from tests.tokenizers import write_tokenizer
from tools import settings_keys, smollm2

KEPT: dict[str, tuple[str, dict[str, Any]]] = {
    "the settings of a chat model": ("tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": None, "additional_special_tokens": ["<|im_start|>", "[/INST]"],
        "added_tokens_decoder": {"0": {"content": "</s>", "lstrip": False, "special": True}}, "bos_token": "<s>",
        "chat_template": "{% for m in messages %}{{ m.role }}: {{ m['content'] }}{% endfor %}",
        "clean_up_tokenization_spaces": False, "errors": "replace", "legacy": False, "model_max_length": 131072,
        "pad_token": {"__type": "AddedToken", "content": "</s>"}, "padding_side": "left", "sp_model_kwargs": {},
        "spaces_between_special_tokens": False, "split_special_tokens": False, "tokenizer_class": "LlamaTokenizer",
        "use_default_system_prompt": False, "processor_class": "LlavaProcessor", "unk_token": "<unk>",
    }),
    "tokens of a multimodal model": ("tokenizer_config.json", {
        "image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "think_end_token": "</think>",
        "extra_special_tokens": {"image_token": "<image>"}, "image_size": 1120, "feature_strategy": "full",
    }),
    "a token with a dot": ("special_tokens_map.json", {
        "eos_token": {"content": "a.b/c", "normalized": False}, "additional_special_tokens": ["org/repo", "x.y"],
    }),
    "a speech model": ("generation_config.json", {
        "alignment_heads": [[2, 2], [3, 0]], "is_multilingual": True, "lang_to_id": {"<|af|>": 50327},
        "max_initial_timestamp_index": 50, "no_timestamps_token_id": 50363, "prev_sot_token_id": 50361,
        "task_to_id": {"transcribe": 50359}, "suppress_tokens": [], "transformers_version": "4.31.0.dev0",
    }),
    "a chat model's sampling": ("generation_config.json", {
        "bos_token_id": 151643, "do_sample": True, "eos_token_id": [151645, 151643], "repetition_penalty": 1.05,
        "temperature": 0.7, "top_k": 20, "top_p": 0.8, "stop_strings": ["a/b", "x.y"], "max_window_size": 6144,
        "chat_format": "chatml", "transformers_version": "4.37.0",
    }),
}  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), KEPT.values(), ids=KEPT)
def test_what_published_models_have_is_kept(name: str, settings: dict[str, Any]) -> None:
    """Settings as they are found in published models pass byte for byte."""
    data = json.dumps(settings, indent=2).encode()
    assert clean(name, data) == (data, ())


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"])
@pytest.mark.parametrize(
    "value",
    ["org/repo--module.Class", "module.Class", "/etc/passwd", "../x", "a\\b", "C:\\x", "https://x", {"a": ["x.y"]}],
    ids=str,
)
def test_what_could_name_code_is_left_out_and_named(name: str, value: object) -> None:
    """A setting that nobody knows is a way to a class or a file if its text looks like one, at any depth."""
    written, problems = clean(name, json.dumps({"new_key": value, "pad_token_id": 1}).encode())
    assert json.loads(written or b"") == {"pad_token_id": 1}
    (warning,) = problems
    assert warning.severity is Severity.WARNING
    assert f"{name} of 'a' has 'new_key', which transformers' own classes do not read" in warning.message


def test_a_full_generation_config_is_kept() -> None:
    """A config in which every setting has a text, as transformers writes it, loses nothing."""
    made = GenerationConfig()
    settings = {name: "module.Class" for name in vars(made) if name != "_from_model_config"}
    data = json.dumps(settings).encode()
    assert clean("generation_config.json", data) == (data, ())


def test_a_saved_tokenizer_is_kept(tmp_path: Path) -> None:
    """What transformers saves with tokens of the model's own passes byte for byte."""
    (tmp_path / "made").mkdir()
    write_tokenizer(tmp_path / "made", ["x", "y"], ["</s>"])
    made = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "made" / "tokenizer.json"))
    made.add_special_tokens({"eos_token": AddedToken("</s>"), "extra_special_tokens": ["a/b", "c.d"]})
    made.chat_template = "{{ messages[0].content }}"
    made.save_pretrained(tmp_path / "saved")
    found = [tmp_path / "saved" / name for name in ("tokenizer_config.json", "special_tokens_map.json")]
    contents = [(path.name, path.read_bytes()) for path in found if path.exists()]
    assert contents
    assert [clean(name, data) for name, data in contents] == [(data, ()) for _, data in contents]


def test_a_real_tokenizer_is_kept(tmp_path: Path) -> None:
    """SmolLM2's settings pass byte for byte."""
    try:
        donor = smollm2.make_donor(tmp_path / "smollm2")
    except smollm2.MissingPackageError as error:
        pytest.skip(str(error))
    for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        if (donor / name).exists():
            data = (donor / name).read_bytes()
            assert clean(name, data) == (data, ())


def test_the_lists_are_those_of_transformers() -> None:
    """The lists are what the tool makes of the installed version."""
    assert settings_keys.TARGET.read_text(encoding="utf-8") == settings_keys.make_module()
    assert len(known_keys.TOKENIZER_KEYS) > 100
