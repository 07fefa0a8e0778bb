"""mergekit's methods with a reference base: their sources, base and parameters."""

from __future__ import annotations

import pytest
import yaml

from stacker.errors import SpecError
from stacker.spec.language.stack_spec import BlendSpec, StackSpec
from stacker.spec.mergekit.methods import METHODS, BaseRole
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.parser import parse_spec

REFERENCED = [name for name, method in METHODS.items() if method.base is BaseRole.REFERENCE]
MODELS = "models:\n  - {model: o/a, parameters: {weight: 0.7, density: [0.2, 0.8]}}\n  - model: o/b\n"
OPTIONAL = [name for name, method in METHODS.items() if method.base is BaseRole.OPTIONAL]


def _spec(method: str, text: str) -> StackSpec:
    return parse_spec(f"merge_method: {method}\n{text}", "s.yml")


def _blend(spec: StackSpec) -> BlendSpec:
    (blend,) = spec.stack
    assert isinstance(blend, BlendSpec)
    return blend


@pytest.mark.parametrize("method", [name for name in REFERENCED if METHODS[name].most is None])
def test_the_base_stands_beside_the_sources(method: str) -> None:
    """The base_model is the reference, whether or not it is listed among the models."""
    for text in (MODELS, MODELS + "  - model: o/base\n"):
        blend = _blend(_spec(method, text + "base_model: o/base\n"))
        assert [source.donor for source in blend.sources] == ["a", "b"]
        assert blend.base is not None
        assert (blend.op, blend.base.donor, blend.base.settings) == (METHODS[method].op, "base", ())


@pytest.mark.parametrize("method", REFERENCED)
def test_a_base_is_asked_for(method: str) -> None:
    """A file without a base_model is refused."""
    with pytest.raises(SpecError, match="needs a base_model"):
        _spec(method, "models: [{model: o/a}, {model: o/b}]\n")


@pytest.mark.parametrize("method", OPTIONAL)
def test_a_base_may_be_absent(method: str) -> None:
    """Without a base_model all models are sources; with one it is the reference."""
    models = "models: [{model: o/a, parameters: {weight: 1}}, {model: o/b, parameters: {weight: 2}}]\n"
    assert _blend(_spec(method, models)).base is None
    based = _blend(_spec(method, models + "base_model: o/base\n"))
    assert based.base is not None
    assert (len(based.sources), based.base.donor) == (2, "base")


def test_parameters_stand_where_they_are_written() -> None:
    """Parameters of a source stay with the source, and the others with the blend."""
    spec = _spec("ties", MODELS + "base_model: o/base\nparameters: {lambda: 0.9, normalize: false, weight: 0.5}\n")
    blend = _blend(spec)
    assert [setting.name for setting in blend.sources[0].settings] == ["weight", "density"]
    assert {setting.name for setting in blend.settings} == {"lambda", "normalize", "weight"}


def test_a_base_is_written_as_mergekit_reads_it() -> None:
    """The base is listed among the models without parameters, and named as base_model."""
    spec = _spec("ties", MODELS + "base_model: o/base\n")
    text = to_mergekit(spec)
    written = yaml.safe_load(text)
    assert written["base_model"] == "o/base"
    assert written["models"][2] == {"model": "o/base"}
    assert to_mergekit(parse_spec(text, "again.yml")) == text
