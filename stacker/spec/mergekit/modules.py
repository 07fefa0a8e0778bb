"""Reads the `modules` of a mergekit file: one of them is stacked, the others are copied unchanged from one model."""

from __future__ import annotations

from stacker.spec.mergekit.read_context import ReadContext
from stacker.text.node import Mapping, Node, get_child, list_entries, list_items, shorten

_STACKED = ("text_decoder", "language_model", "text_model", "text", "decoder", "default")
"""Names of the module with the language model; the first is the name in all of mergekit's multimodal architectures."""


def find_stacked_module(context: ReadContext, node: Mapping) -> Node | None:
    """The module whose layers make the stack: the one with `slices`, or the language model; None without `modules`.

    An error is added to the file's problems if several modules have slices, or if none of them is recognised as the
    language model.
    """
    modules = list_entries(node.get("modules"))
    sliced = [(key, module) for key, module in modules if list_items(get_child(module, "slices"))]
    named = [(key, module) for key, module in modules if key.text in _STACKED]
    if len(sliced) > 1:
        names = ", ".join(shorten(key.text) for key, _ in sliced)
        hint = "give the slices of one module; carry each other one along with `models: [{model: org/name}]`"
        context.error(f"several modules have slices: {names}", hint, get_child(node, "modules").mark)
    elif len(modules) > 1 and not sliced and not named:
        names = ", ".join(shorten(key.text) for key, _ in modules)
        hint = f"mergekit calls it '{_STACKED[0]}'"
        context.error(f"none of the modules {names} is the language model", hint, get_child(node, "modules").mark)
    found = sliced or named or modules
    return found[0][1] if found else None


def parse_carried_modules(context: ReadContext, node: Mapping, base: str | None) -> str | None:
    """The donor of all modules that are not stacked; None if there are none.

    An error is added to the file's problems if they do not come unchanged from one model. `base` is the donor of the
    file's base_model, which mergekit adds to the models of a module.
    """
    stacked = find_stacked_module(ReadContext(context.method, [], context.donors), node)
    donors: dict[str, Node] = {}
    for key, module in list_entries(node.get("modules")):
        if module is stacked or list_items(get_child(module, "slices")):
            continue
        models = [context.reference(entry, "model") for entry in list_items(get_child(module, "models"))]
        names = dict.fromkeys(name for name in (*models, base) if name is not None)
        donors |= dict.fromkeys(names, key)
        if len(names) > 1:
            message = f"the module '{shorten(key.text)}' is made of {' and '.join(sorted(names))}"
            context.error(message, "only the language model can be blended; name one model, the base_model", key.mark)
    if len(donors) > 1:
        mark = get_child(node, "modules").mark
        message = f"the modules that are carried along come from {' and '.join(sorted(donors))}"
        context.error(message, "take them from one model", mark)
    return next(iter(donors), None)
