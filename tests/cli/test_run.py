"""`stacker run`: stacks, built stacks and donors say something before anything is written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.cli.commands import run
from tests.donors import write_llama

SPEC = "stacker: 1\nname: tall\ndonors: {a: ./a}\nstack: ['a[0:4]', 'a[2:6]']\n"
TEMPLATE = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}assistant"
WORDS = ["<pad>", "<s>", "</s>", "user", "assistant", "system", "red", "green", "blue", "one", "two", "three"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a donor with a tokenizer and a chat template, and a spec."""
    write_llama(tmp_path / "a", vocab=len(WORDS), dtype="F32")
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "a")
    (tmp_path / "spec.yml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers_of(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    """What `run --json` says."""
    code, out, _ = run(capsys, "run", *words, "--json")
    assert code == 0
    found: list[dict[str, object]] = json.loads(out)["answers"]
    return found


@pytest.mark.usefixtures("home")
class TestPrompt:
    """One prompt, one or several stacks."""

    def test_text_is_what_transformers_generates(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The greedy continuation of the raw text equals that of the built checkpoint."""
        options = ("--prompt", "red green blue", "--raw", "--max-new-tokens", "5", "--no-do-sample")
        code, out, err = run(capsys, "run", "spec.yml", *options)
        assert code == 0
        assert run(capsys, "build", "spec.yml", "out")[0] == 0
        model = AutoModelForCausalLM.from_pretrained(home / "out")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(home / "out")
        tokens = tokenizer("red green blue", return_tensors="pt", return_token_type_ids=False)
        expected = model.generate(**tokens, max_new_tokens=5, do_sample=False)[0, 3:]
        assert out.strip() == tokenizer.decode(expected, skip_special_tokens=True).strip()
        for part in ("8 layers, 6 of them distinct", "tokens/s"):
            assert part in " ".join(err.split())

    def test_specs_outputs_and_donors(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A built stack says what its spec says; a donor folder runs too."""
        assert run(capsys, "build", "spec.yml", "out")[0] == 0
        spec, out, donor = answers_of(capsys, "spec.yml", "out", "./a", "--prompt", "one two", "--max-new-tokens", "6")
        assert spec["text"] == out["text"]
        assert (spec["prompt_tokens"], donor["source"]) == (4, "./a")
        assert spec["tokens_per_second"] == pytest.approx(6 / float(str(spec["seconds"])))

    def test_columns(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Several stacks answer side by side, each below its name."""
        code, out, _ = run(capsys, "run", "spec.yml", "./a", "--prompt", "one", "--max-new-tokens", "3")
        assert code == 0
        assert out.splitlines()[0].split() == ["spec.yml", "./a"]

    def test_seeds(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The same seed draws the same text, and another seed another one."""
        options = ("spec.yml", "--prompt", "one", "--temperature", "50.0", "--max-new-tokens", "12")
        texts = [answers_of(capsys, *options, "--seed", seed)[0]["text"] for seed in ("1", "1", "2")]
        assert texts[0] == texts[1] != texts[2]

    def test_streaming(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Streamed layers give the same text, and the window's memory is named."""
        options = ("--prompt", "one two", "--max-new-tokens", "4")
        whole = answers_of(capsys, "spec.yml", *options)[0]
        memory = whole["memory"]
        assert isinstance(memory, dict)
        code, out, err = run(capsys, "run", "spec.yml", *options, "--max-memory", f"{memory['streamed']}B", "--json")
        assert code == 0
        assert json.loads(out)["answers"][0]["text"] == whole["text"]
        assert "streamed through" in " ".join(err.split())


@pytest.mark.usefixtures("home")
class TestChat:
    """A conversation in the terminal."""

    def test_each_line_is_answered(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Two questions get two answers; an empty line ends the chat."""
        monkeypatch.setattr("sys.stdin", io.StringIO("red green\nblue\n\n"))
        code, _, err = run(capsys, "run", "spec.yml", "--chat", "--max-new-tokens", "4")
        assert code == 0
        assert err.count("tokens/s") == 2

    def test_a_template_is_needed(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a chat template there is no chat, and the message says what works."""
        (home / "a" / "chat_template.jinja").unlink()
        for words in (("--chat",), ("--prompt", "red", "--system", "blue")):
            code, _, err = run(capsys, "run", "spec.yml", *words)
            assert code == 2
            assert "no chat template" in err


@pytest.mark.usefixtures("home")
class TestMistakes:
    """Mistakes exit with 2 or 3 and say what to do."""

    @pytest.mark.parametrize(
        ("words", "code", "part"),
        [
            pytest.param(("spec.yml",), 2, "either --prompt or --chat", id="neither"),
            pytest.param(("spec.yml", "--chat", "--prompt", "x"), 2, "either --prompt or --chat", id="both"),
            pytest.param(("spec.yml", "--chat", "--json"), 2, "either --prompt or --chat", id="chat-json"),
            pytest.param(("spec.yml", "--prompt", "one", "--device", "tpu"), 2, "'tpu' is no device", id="device"),
            pytest.param(("spec.yml", "--prompt", "one", "--dtype", "bf16"), 2, "write 'bfloat16'", id="dtype"),
            pytest.param(("spec.yml", "--prompt", "", "--raw"), 2, "no tokens", id="empty"),
            pytest.param(("spec.yml", "--prompt", "one", "--max-memory", "1kB"), 2, "allow at least", id="memory"),
            pytest.param(("./nothing", "--prompt", "one"), 3, "./nothing: error: there is no donor", id="donor"),
            pytest.param(("spec.yml", "--chat", "--raw"), 2, "--raw uses no chat template", id="raw-chat"),
            pytest.param(("spec.yml", "--prompt", "a", "--raw", "--system", "b"), 2, "--system need", id="raw-system"),
        ],
    )
    def test_mistakes(self, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, part: str) -> None:
        """The exit code and the reason."""
        found, out, err = run(capsys, "run", *words)
        assert found == code
        assert part in " ".join((out + err).split())

    def test_texts_end_with_the_positions(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An answer ends where the model has no more positions, and a prompt that fills them is refused."""
        config = home / "a" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 6}))
        words = ("spec.yml", "--raw", "--max-new-tokens", "9", "--prompt")
        (answer,) = answers_of(capsys, *words, "red green blue one")
        assert answer["new_tokens"] == 2
        code, _, err = run(capsys, "run", *words, "red green blue one two three")
        assert code == 2
        assert "the prompt has 6 tokens, and the model has only 6 positions" in " ".join(err.split())

    def test_a_donor_without_a_tokenizer(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The message says that the tokenizer is missing."""
        for path in (home / "a").glob("tokenizer*"):
            path.unlink()
        code, _, err = run(capsys, "run", "spec.yml", "--prompt", "one")
        assert code == 3
        assert "tokenizer" in err

    def test_missing_packages(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Without torch the message names the extra."""
        monkeypatch.setattr("stacker.live.forecast.requirements.PACKAGES", ("torch", "no_such_package"))
        code, _, err = run(capsys, "run", "spec.yml", "--prompt", "one")
        assert code == 2
        assert "no_such_package" in err
        assert "stacker-llm[live]" in err
