"""Tasks of lm-evaluation-harness run on live stacks, and count what transformers' logits say."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from stacker.errors import SpecError
from stacker.measure.harness import run_tasks
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_text, write_worded

HARNESS = pytest.mark.skipif(find_spec("lm_eval") is None, reason="the extra `eval` is not installed")
TASK = """
task: words
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: [w3, w4, w5]
doc_to_target: "{{{{answer}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


@HARNESS
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_local_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness's accuracy is the share of prompts after which the likeliest choice is the marked one."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    write_worded(tmp_path, "a", "b")
    prompts = [make_text(5, seed) for seed in range(20)]
    data = tmp_path / "words.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": text, "answer": at % 3}) for at, text in enumerate(prompts)))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "words.yaml").write_text(TASK.format(data=data))
    live = stack_of(tmp_path, ["a[0:4]", "b[2:6]"]).live_stack(dtype="float32")
    found = run_tasks(live, ["words"], tmp_path / "tasks")
    tokenizer = live.load_tokenizer()
    right = 0
    for at, text in enumerate(prompts):
        with torch.no_grad():
            logits = live.model(tokenizer(text, return_tensors="pt")["input_ids"]).logits[0, -1]
        right += int(logits[tokenizer.convert_tokens_to_ids(["w3", "w4", "w5"])].argmax()) == at % 3
    assert found["results"]["words"]["acc,none"] == pytest.approx(right / 20)
    with pytest.raises(SpecError, match="no task others"):
        run_tasks(live, ["others"], tmp_path / "tasks")


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="the extra `eval` is installed")
def test_it_says_what_is_missing(tmp_path: Path) -> None:
    """Without the harness, the message names the extra."""
    write_worded(tmp_path, "a", "b")
    with pytest.raises(SpecError, match="not installed"):
        run_tasks(stack_of(tmp_path, ["a"]).live_stack(), ["words"], tmp_path)
