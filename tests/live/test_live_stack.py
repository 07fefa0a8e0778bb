"""A live stack shares what is equal, keeps donors' files as they are, and refuses what it cannot do."""

from __future__ import annotations

import copy
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from stacker.compose import Stack, load
from stacker.errors import SpecError
from stacker.live import live_stack
from tests.families.oracle import TOKENS, greedy_tokens, logits_of
from tests.live.lives import SHARED, aligned, built, distinct_bytes, stack_of, write_donors, write_spec

SIZES = {"vocab": 64}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors in bf16."""
    return write_donors(tmp_path, **SIZES)


def pointers(module: torch.nn.Module) -> list[int]:
    return [parameter.data_ptr() for parameter in module.parameters()]


def test_it_is_an_ordinary_model(home: Path) -> None:
    """The class is transformers' own, with the config's depth and type, in evaluation mode."""
    live = stack_of(home, SHARED).live_stack()
    assert type(live.model) is LlamaForCausalLM
    assert (live.model.config.num_hidden_layers, len(live.layers)) == (11, 11)
    assert live.model.dtype == torch.bfloat16
    assert not live.model.training


def test_equal_layers_share_their_parameters_only(home: Path) -> None:
    """A layer that occurs twice is two modules with the same Parameters, each with its own number."""
    layers: Any = stack_of(home, SHARED).live_stack().layers
    assert layers[2] is not layers[7]
    assert pointers(layers[2]) == pointers(layers[7])
    assert pointers(layers[2]) != pointers(layers[3])
    assert [layer.self_attn.layer_idx for layer in layers] == [*range(11)]


def test_a_scaled_copy_shares_the_rest(home: Path) -> None:
    """Of a copy with another output matrix, all other parameters are shared."""
    items = ["a[0:2]", {"repeat": "a[2:4]", "times": 2, "scale": {"attn.o": 0.5}}]
    layers: Any = stack_of(home, items).live_stack().layers
    differ = [
        name
        for (name, one), (_, other) in zip(layers[2].named_parameters(), layers[4].named_parameters(), strict=True)
        if one is not other
    ]
    assert differ == ["self_attn.o_proj.weight"]
    assert torch.equal(layers[4].self_attn.o_proj.weight, layers[2].self_attn.o_proj.weight * 0.5)


def test_sharing_survives_conversion_and_copies(home: Path) -> None:
    """Neither `.to()` nor a deep copy makes shared parameters several."""
    live = stack_of(home, SHARED).live_stack()
    before = distinct_bytes(live.model)
    assert distinct_bytes(copy.deepcopy(live.model)) == before
    assert distinct_bytes(live.model.to(torch.float32)) == 2 * before


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([{"blend": ["a[0:4]", "b[0:4]"], "op": "slerp", "t": [0.1, 0.9]}, "a[4:6]"], id="slerp"),
        pytest.param([{"crossfade": ["a[0:4]", "b[2:6]"], "over": 2, "op": "linear"}], id="crossfade"),
        pytest.param([{"slice": "a[0:6]", "scale": {"attn.o": 0.5, "mlp.down": 0}}], id="scale"),
        pytest.param(
            ["a[0:2]", {"blend": ["a[2:4]", "b[2:4]"], "op": "dare_linear", "base": "a[2:4]", "density": 0.5}],
            id="random",
        ),
    ],
)
def test_arithmetic_is_that_of_a_build(home: Path, items: list[object]) -> None:
    """Every parameter of a computed stack equals the built one's."""
    stack = stack_of(home, list(items))
    expected = dict(built(stack, home / "out").named_parameters())
    found = dict(stack.live_stack(dtype="float32").model.named_parameters())
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("op", ["linear", "dare_linear"])
def test_repeated_blends_are_shared_if_they_are_equal(home: Path, op: str) -> None:
    """A blend that occurs twice is computed and kept once, unless it draws random numbers for each place."""
    own = {"base": "a[2:3]", "density": 0.5} if op == "dare_linear" else {}
    items = ["a[0:2]", {"repeat": [{"blend": ["a[2:3]", "b[2:3]"], "op": op, **own}], "times": 2}]
    stack = stack_of(home, items)
    layers: Any = stack.live_stack().layers
    assert (pointers(layers[2]) == pointers(layers[3])) is (op == "linear")
    expected = built(stack, home / "out")
    for index, layer in enumerate(expected.model.layers):
        assert torch.equal(layers[index].mlp.up_proj.weight.float(), layer.mlp.up_proj.weight)


def test_donors_are_never_written(home: Path) -> None:
    """A parameter that is changed in memory leaves the donor's file as it was."""
    before = (home / "a" / "model.safetensors").read_bytes()
    live = stack_of(home, SHARED).live_stack()
    with torch.no_grad():
        for parameter in live.model.parameters():
            parameter.zero_()
    assert (home / "a" / "model.safetensors").read_bytes() == before


def test_nested_and_cast_stacks(home: Path) -> None:
    """A donor that is a stack, and a type of the output, are as in a build."""
    write_spec(home, [{"blend": ["a[0:4]", "b[0:4]"], "op": "linear"}, "a[4:6]"], "inner")
    entries = {"donors": {"a": "./a", "c": {"stack": "inner.yml"}}, "output": {"dtype": "float16"}}
    stack = stack_of(home, ["a[0:3]", "c[1:6]"], "outer", **entries)
    live = stack.live_stack(dtype="float32")
    expected = built(stack, home / "out")
    assert torch.equal(logits_of(aligned(live.model)), logits_of(expected))


class TestRearranged:
    """Live stacks of other specs over the same donors."""

    def test_all_equal_parameters_are_shared(self, home: Path) -> None:
        """Another order of the same layers takes no new memory, and computes what its build computes."""
        live = stack_of(home, ["a[0:6]"]).live_stack(dtype="float32")
        stack = stack_of(home, ["a[0:2]", "a[1:3]", "a[3:6]"], "other")
        other = live.rearranged(stack)
        assert set(pointers(other.model)) <= set(pointers(live.model))
        expected = built(stack, home / "out")
        assert torch.equal(logits_of(aligned(other.model)), logits_of(expected))
        assert greedy_tokens(other.model) == greedy_tokens(expected)

    def test_only_what_is_new_is_loaded(self, home: Path) -> None:
        """A path is a spec too; layers of another donor are added to those that are there."""
        live = stack_of(home, ["a[0:6]"]).live_stack()
        other = live.rearranged(write_spec(home, ["a[0:3]", "b[3:4]", "a[4:6]"], "other"))
        shared = [set(pointers(layer)) <= set(pointers(live.model)) for layer in other.layers]
        assert shared == [True, True, True, False, True, True]

    def test_the_first_stack_stays_as_it_was(self, home: Path) -> None:
        """Rearranging leaves depth, numbers and logits of the first stack alone."""
        live = stack_of(home, ["a[0:6]"]).live_stack(dtype="float32")
        before = logits_of(live.model)
        live.rearranged(write_spec(home, ["a[2:4]"], "other"))
        assert torch.equal(logits_of(live.model), before)
        layers: Any = live.layers
        assert [layer.self_attn.layer_idx for layer in layers] == [*range(6)]

    def test_shared_parameters_need_no_memory(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of converted layers there is only one copy, so another order of them is not refused when memory is full."""
        live = stack_of(home, ["a[0:6]"]).live_stack(dtype="float32")
        monkeypatch.setattr(live_stack, "read_available_memory", lambda: 0)
        other = write_spec(home, ["a[0:2]", "a[1:6]"], "other")
        assert len(live.rearranged(other).layers) == 7
        with pytest.raises(SpecError, match="0 MB are available"):
            load(other).live_stack(dtype="float32")

    def test_converted_parameters_are_not_shared(self, home: Path) -> None:
        """After the first model was converted, another stack still has the type that was asked for."""
        live = stack_of(home, ["a[0:6]"]).live_stack()
        live.model.to(torch.float32)
        other = live.rearranged(write_spec(home, ["a[0:3]", "b[3:6]"], "other"))
        assert {parameter.dtype for parameter in other.model.parameters()} == {torch.bfloat16}

    def test_models_know_how_to_be_rearranged(self, home: Path) -> None:
        """`live` returns the model of transformers itself, whose `rearranged` returns the model of another spec."""
        model = stack_of(home, ["a[0:6]"]).live(dtype="float32")
        other = model.rearranged(write_spec(home, ["a[2:4]"], "other"))
        assert isinstance(model, PreTrainedModel)
        assert isinstance(other, type(model))
        assert other.model.layers[0].mlp.up_proj.weight is model.model.layers[2].mlp.up_proj.weight
        assert copy.deepcopy(model).live_stack is model.live_stack

    def test_a_released_stack_is_freed_at_once(self, home: Path) -> None:
        """A blend's memory returns with the last reference to its model; the first stack stays usable."""
        live = stack_of(home, ["a[0:6]"]).live_stack()
        items = [{"blend": ["a[0:6]", "b[0:6]"], "op": "linear"}]
        spec = write_spec(home, items, "other")
        gc.collect()
        gc.disable()
        try:
            other = live.rearranged(spec)
            blended = weakref.ref(other.layers[0].mlp.up_proj.weight)  # type: ignore[union-attr]
            other.release()
            del other
            assert blended() is None
        finally:
            gc.enable()
        assert torch.equal(logits_of(live.model), logits_of(live.rearranged(write_spec(home, ["a"], "same")).model))

    def test_specs_may_be_rearranged_again(self, home: Path) -> None:
        """A rearranged stack can be the beginning of another one, and names of donors do not matter."""
        live = stack_of(home, ["a[0:6]"]).live_stack()
        second = live.rearranged(write_spec(home, ["a[0:3]", "b[0:6]"], "second"))
        third = second.rearranged(write_spec(home, ["x[0:6]"], "third", donors={"x": "./b"}))
        assert set(map(int, pointers(third.layers))) <= set(pointers(second.model))


class TestRefusals:
    """What cannot be live is refused with a reason."""

    def test_errors_of_the_stack(self, home: Path) -> None:
        """A stack with errors raises them, as a build does."""
        stack = stack_of(home, ["a[0:9]"])
        with pytest.raises(SpecError, match="6 layers"):
            stack.live_stack()

    def test_families_that_transformers_does_not_know(self, home: Path) -> None:
        """The message names the type of the models."""
        for name in "ab":
            path = home / name / "config.json"
            path.write_text(path.read_text().replace('"llama"', '"llamoid"'))
        with pytest.raises(SpecError, match="'llamoid'"):
            load(write_spec(home, ["a"])).live_stack()

    @pytest.mark.parametrize(("device", "reason"), [("gpu", "is no device"), ("cuda:9", "there is no device 'cuda:9'")])
    def test_devices(self, home: Path, device: str, reason: str) -> None:
        """A device that does not exist is refused before anything is loaded."""
        with pytest.raises(SpecError, match=reason):
            stack_of(home, ["a"]).live_stack(device)

    def test_types(self, home: Path) -> None:
        """A type that is not one of floats is refused."""
        with pytest.raises(SpecError, match="int8"):
            stack_of(home, ["a"]).live_stack(dtype="int8")

    def test_saving(self, home: Path) -> None:
        """transformers would write every copy; the message says how a stack is written."""
        live = stack_of(home, SHARED).live_stack()
        with pytest.raises(SpecError, match="share parameters") as caught:
            live.model.save_pretrained(home / "saved")
        assert "stacker build" in str(caught.value)
        assert not (home / "saved").exists()


def test_gradients_reach_shared_parameters_once(home: Path) -> None:
    """Training sees one parameter for both places, with the sum of both gradients."""
    stack: Stack = stack_of(home, ["a[0:2]", "a[1:2]", "a[2:6]"])
    live = stack.live_stack(dtype="float32")
    live.model(TOKENS, labels=TOKENS).loss.backward()
    separate = built(stack, home / "out")
    separate(TOKENS, labels=TOKENS).loss.backward()
    one, two = (separate.model.layers[index].mlp.up_proj.weight.grad for index in (1, 2))
    layers: Any = live.layers
    assert torch.allclose(layers[1].mlp.up_proj.weight.grad, one + two, rtol=1e-4, atol=1e-7)
