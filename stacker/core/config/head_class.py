"""Sets the config entries that say what kind of head a stack has, such as a classifier's labels."""

from __future__ import annotations

from collections.abc import Iterator

from stacker.arch.model_kind import states_headless
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem
from stacker.formats.json_object import Json

_HEAD_KEYS = ("architectures", "id2label", "label2id", "num_labels", "problem_type", "classifier_dropout")
"""Config keys that describe a head: the class that has it, and the labels of a classifier."""


def set_head_class(config: dict[str, Json], template: Donor, head: Donor) -> None:
    """Take the entries that describe the head from its donor, unless both donors have heads of language models."""
    if not _is_other_kind(template, head):
        return
    for key in _HEAD_KEYS:
        if key in head.config:
            config[key] = head.config[key]
        else:
            config.pop(key, None)


def check_head_class(template: Donor, head: Donor) -> Iterator[Problem]:
    """Yield a problem if the head's class cannot load the template's config, as only one of the two is a wrapper's."""
    if _is_other_kind(template, head) and bool(template.architecture.inner) != bool(head.architecture.inner):
        classes = head.config.get("architectures")
        message = f"the head of '{head.name}' is that of {classes}, which does not load the config of '{template.name}'"
        hint = f"take both from one donor: `config: {head.name}` or `head: {template.name}`"
        yield Problem(message, hint, blame=Blame.DONOR)


def _is_other_kind(template: Donor, head: Donor) -> bool:
    kinds = (states_headless(template.config), states_headless(head.config))
    return head.name != template.name and any(kinds) and head.config.get("architectures") is not None
