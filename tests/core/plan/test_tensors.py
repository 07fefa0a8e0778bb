"""Output tensors and the expressions that make them."""

from __future__ import annotations

from stacker.core.plan.tensors import PlannedTensors, plan_tensors
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Blend, Cast, Copy, Scale
from stacker.tensors import Dtype, TensorRef
from tests.core.stacks import graph_of, make_donor

HEAD, EMBED = "lm_head.weight", "model.embed_tokens.weight"


def made(stack: str, donors: dict[str, Donor] | None = None, dtype: Dtype | None = None, **keys: str) -> PlannedTensors:
    """The tensors of a stack."""
    known = donors or {name: make_donor(name) for name in "ab"}
    return plan_tensors(graph_of(stack, known, **keys), known, dtype)


def expressions(makings: PlannedTensors) -> dict[str, object]:
    """Expressions by the name of the tensor they make."""
    return {making.tensor.name: making.expression for making in makings.tensors}


def test_layers_are_renumbered_copies() -> None:
    """A slice's tensors keep their bytes and get the names of their new places."""
    found = expressions(made(" - a[4:6]\n - b[0:1]"))
    assert found["model.layers.0.mlp.up_proj.weight"] == Copy(TensorRef("a", "model.layers.4.mlp.up_proj.weight"))
    assert found["model.layers.2.mlp.up_proj.weight"] == Copy(TensorRef("b", "model.layers.0.mlp.up_proj.weight"))
    assert found[EMBED] == Copy(TensorRef("a", EMBED))
    assert found[HEAD] == Copy(TensorRef("b", HEAD))


def test_tensors_come_in_model_order() -> None:
    """Embedding, then layers by number, then final norm and head."""
    names = [making.tensor.name for making in made(" - a").tensors]
    assert names[0] == EMBED
    assert names[-2:] == ["model.norm.weight", HEAD]
    layers = [int(name.split(".")[2]) for name in names[1:-2]]
    assert layers == sorted(layers)


def test_scale_applies_by_role_and_multiplies() -> None:
    """A slice's factors and a repeat's come together; what has no factor stays a copy."""
    stack = " - repeat:\n    - slice: a[0:1]\n      scale: {attn.o: 0.5}\n   times: 2\n   scale: {attn: 0.5}"
    found = expressions(made(stack))
    o, q = ("model.layers.{}.self_attn.o_proj.weight", "model.layers.{}.self_attn.q_proj.weight")
    copy = Copy(TensorRef("a", o.format(0)))
    assert found[o.format(0)] == Scale(copy, 0.5)
    assert found[o.format(1)] == Scale(Scale(copy, 0.5), 0.5)
    assert found[q.format(1)] == Scale(Copy(TensorRef("a", q.format(0))), 0.5)
    assert isinstance(found["model.layers.1.mlp.up_proj.weight"], Copy)


def test_a_hop_divides_what_later_layers_write() -> None:
    """What writes to the residual stream is divided by the product of the hops before it, and nothing else changes."""
    found = expressions(made(" - {slice: 'a[0]', scale: {attn.o: 3}}\n - {slice: 'a[1]', hop: 0.5}\n - b[2]"))
    layers = ["model.layers.0.", "model.layers.1.", "model.layers.2."]
    for donor, layer, name in (("a", layers[1], "mlp.down_proj.weight"), ("b", layers[2], "self_attn.o_proj.weight")):
        assert found[layer + name] == Scale(Copy(TensorRef(donor, layer + name)), 2)
    scaled = {name for name, expression in found.items() if isinstance(expression, Scale)}
    written = {f"{layer}{name}" for layer in layers[1:] for name in ("self_attn.o_proj.weight", "mlp.down_proj.weight")}
    assert scaled == {f"{layers[0]}self_attn.o_proj.weight", *written}


def test_hops_and_factors_are_one_factor() -> None:
    """A hop joins the outermost factor, so that a tensor is rounded once; hops that cancel leave copies."""
    stack = " - {slice: 'a[0]', hop: 0.5, scale: {attn.o: 0.25}}\n - {slice: 'a[1]', hop: 2}"
    found = expressions(made(stack))
    name = "model.layers.0.self_attn.o_proj.weight"
    assert found[name] == Scale(Copy(TensorRef("a", name)), 0.5)
    assert isinstance(found["model.layers.1.self_attn.o_proj.weight"], Copy)


def test_a_hop_of_norms_that_count_from_one() -> None:
    """Where a norm follows the sublayer it is scaled instead, with the one that the model adds."""
    donors = {"a": make_donor("a", model_type="gemma2", head_dim=8)}
    found = expressions(made(" - {slice: a, hop: 0.5}", donors))
    norm = "model.layers.3.post_attention_layernorm.weight"
    assert found[norm] == Scale(Copy(TensorRef("a", norm)), 2, 1)
    assert isinstance(found["model.layers.3.self_attn.o_proj.weight"], Copy)


def test_a_hop_of_a_blend() -> None:
    """The whole blend is divided."""
    found = expressions(made(" - {blend: ['a[0]', 'b[0]'], op: linear, hop: 4}"))
    made_down = found["model.layers.0.mlp.down_proj.weight"]
    assert isinstance(made_down, Scale)
    assert (type(made_down.of), made_down.factor) == (Blend, 0.25)


def test_a_blend_spells_out_its_parameters() -> None:
    """Written values by role, the nearest place first; defaults where nothing is written."""
    stack = (
        " - blend:\n    - {slice: 'a[0:1]', weight: 3}\n    - b[0:1]\n   op: linear\n   weight: {mlp: 2, default: 1}"
    )
    found = expressions(made(stack))
    blend = found["model.layers.0.mlp.up_proj.weight"]
    assert isinstance(blend, Blend)
    assert blend.parameters == (("normalize", True),)
    assert blend.per_source == ((("weight", 3.0),), (("weight", 2.0),))
    other = found["model.layers.0.self_attn.q_proj.weight"]
    assert isinstance(other, Blend)
    assert other.per_source == ((("weight", 3.0),), (("weight", 1.0),))


def test_a_cast_wraps_what_changes_type_and_nothing_else() -> None:
    """`dtype` equal to the donor's leaves copies alone."""
    assert isinstance(expressions(made(" - a", dtype=Dtype.BF16))[EMBED], Copy)
    found = made(" - a", dtype=Dtype.F32)
    assert expressions(found)[EMBED] == Cast(Copy(TensorRef("a", EMBED)), Dtype.F32)
    assert {making.tensor.dtype for making in found.tensors} == {Dtype.F32}


def test_a_tied_donor_alone_stays_tied() -> None:
    """The head that shares the embedding's values is not written."""
    makings = made(" - a", {"a": make_donor("a", tie_word_embeddings=True)})
    assert HEAD not in expressions(makings)
    assert makings.tied == ((HEAD, EMBED),)


def test_a_tied_head_beside_another_embedding_is_written_out() -> None:
    """mergekit loses this head, and transformers then draws it at random."""
    donors = {"a": make_donor("a"), "b": make_donor("b", tie_word_embeddings=True)}
    makings = made(" - a[0:3]\n - b[3:6]", donors)
    assert expressions(makings)[HEAD] == Copy(TensorRef("b", EMBED))
    assert makings.tied == ()


def test_a_tied_embedding_under_another_head_gets_that_head() -> None:
    """An untied last donor brings its own head."""
    donors = {"a": make_donor("a", tie_word_embeddings=True), "b": make_donor("b")}
    makings = made(" - a[0:3]\n - b[3:6]", donors)
    assert expressions(makings)[HEAD] == Copy(TensorRef("b", HEAD))
    assert makings.tied == ()


def test_embed_and_head_can_be_blends() -> None:
    """Parts outside the layers are blended from whole donors."""
    part = "{blend: [a, b], op: linear}"
    found = expressions(made(" - a", embed=part, head=part))
    assert isinstance(found[EMBED], Blend)
    assert isinstance(found[HEAD], Blend)
    assert isinstance(found["model.norm.weight"], Blend)


def test_equal_blends_of_tied_donors_stay_tied() -> None:
    """Blending tied donors' embedding and head alike gives one tensor again."""
    donors = {name: make_donor(name, tie_word_embeddings=True) for name in "ab"}
    part = "{blend: [a, b], op: linear}"
    assert made(" - a", donors, embed=part, head=part).tied == ((HEAD, EMBED),)
