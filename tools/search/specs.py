"""The specs that the searches start from."""

from __future__ import annotations

from pathlib import Path

_BLEND = """
{indent}blend:
{indent}  - slice: python
{indent}    weight: ${{a}}
{indent}  - slice: prose
{indent}    weight: ${{b}}
{indent}op: task_arithmetic
"""
_TUNES = """stacker: 1
name: searched-tunes
donors: {{smollm2: {donors}/smollm2, python: {donors}/python, prose: {donors}/prose}}
base: smollm2
parameters:
  a: {{value: 0.5, range: [0.0, 1.2]}}
  b: {{value: 0.5, range: [0.0, 1.2]}}
stack:
  -{item}
embed:{part}
head:{part}
"""
_SELF = """stacker: 1
name: searched-self-stack
donors: {{smollm2: {donors}/smollm2}}
stack:
  - smollm2[0:30]
"""


def tunes_text(donors: Path) -> str:
    """The base plus a part of what each fine-tune changed: two parameters, which the search spreads over the depth."""
    item = _BLEND.format(indent="    ").strip()
    return _TUNES.format(donors=donors, item=f" {item}", part=_BLEND.format(indent="  ").rstrip())


def self_text(donors: Path) -> str:
    """All layers of the model as it is."""
    return _SELF.format(donors=donors)
