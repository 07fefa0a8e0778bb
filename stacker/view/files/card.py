"""The model card: what a reader of the hub needs to know of a stack, as Markdown with the hub's metadata.

It names hub donors by id and commit, those of this machine by their names alone: a card tells nothing of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from rich.console import Console

from stacker.core.stack.graph import find_segments
from stacker.core.values.donor import Donor, all_donors
from stacker.text.emitter import write_yaml
from stacker.view.map.depth_map import DepthMap
from stacker.view.scene.scene import Scene
from stacker.view.scene.wording import crossing_text, making_text, source_text, span_text
from stacker.view.stack.head import facts
from stacker.view.stack.preview import Legend

DRAWING = "depth-map.svg"
LARGEST_DRAWING = 200_000
"""Bytes of a drawing that may stand beside the card; that of a stack of a thousand layers is as large."""
_OF_BUILDING = ("reads", "writes", "memory", "time")
"""Figures that say nothing to who only takes the result."""
_COLUMNS = 76
"""Width of the map in the card, so that it has no scroll bar."""
_FOLDERS = re.compile(r"(?<![\w:/.~\\])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",{}\[\]]+[/\\])*(?=[^\s/\\'\",{}\[\]])")
"""The folders of an absolute path, up to its last name."""


def model_card(scene: Scene, spec: str, drawing: str | None = None) -> str:
    """README.md of a stack that was planned; `spec` is its text, `drawing` the name of a picture beside the card."""
    picture = f"![where each layer comes from]({drawing})\n\n" if drawing else ""
    parts = [
        f"---\n{write_yaml(metadata(scene))}---",
        f"# {scene.name}",
        f"{_summary(scene)}",
        f"{picture}```text\n{map_text(scene)}\n```",
        _table(("figure", "value"), [item for item in facts(scene).items() if item[0] not in _OF_BUILDING]),
        "## Layers\n\n" + _table(("layers", "from", "made by", "jump", "across the jump"), _segments(scene)),
        *([f"## Where it is fragile\n\n{_lints(scene)}"] if scene.lints else []),
        f"## Spec\n\n```yaml\n{_FOLDERS.sub('./', spec).rstrip()}\n```",
        f"## Make it again\n\n{_again(scene)}",
    ]
    return "\n\n".join(parts) + "\n"


def metadata(scene: Scene) -> dict[str, Any]:
    """What the hub reads from a card's head: the donors it knows, how they were used, tags, a licence all agree on."""
    donors = [*_sources(scene)]
    bases = list(dict.fromkeys(donor.source for donor in donors if donor.revision))
    licences = {donor.config.get("license") for donor in donors}
    licence = licences.pop() if len(licences) == 1 else None
    said = {
        "base_model": bases,
        "base_model_relation": "merge" if bases else None,
        "library_name": "transformers",
        "license": licence if isinstance(licence, str) else None,
        "pipeline_tag": "text-generation",
        "tags": ["merge", "frankenmerge", "stacker"],
    }
    return {key: value for key, value in said.items() if value}


def _sources(scene: Scene) -> Iterator[Donor]:
    """Every donor that has files of its own, those inside other stacks too."""
    yield from (donor for donor in all_donors(scene.donors).values() if not donor.nested)


def _summary(scene: Scene) -> str:
    names = ", ".join(f"[{name}](https://huggingface.co/{name})" for name in metadata(scene).get("base_model", []))
    made = f" from layers of {names}" if names else ""
    return f"A stack of {len(scene.graph.layers)} layers, composed with stacker{made}. No training took place."


def map_text(scene: Scene) -> str:
    """The depth map and its legend in letters."""
    out = StringIO()
    console = Console(file=out, width=_COLUMNS, color_system=None, legacy_windows=False, _environ={})
    console.print(DepthMap(scene.graph, scene.donors), Legend(scene), sep="")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _segments(scene: Scene) -> Iterator[tuple[str, ...]]:
    for segment in find_segments(scene.graph):
        junction = scene.jumps.get(segment.start)
        yield (
            span_text(segment.start, segment.stop),
            f"`{source_text(segment)}`",
            making_text(scene.graph, segment),
            f"{junction.jump:+d}" if junction else "",
            crossing_text(junction, scene.donors) if junction else "",
        )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _lints(scene: Scene) -> str:
    return "\n".join(f"- {lint.message}" + (f" ({lint.hint})" if lint.hint else "") for lint in scene.lints)


def _again(scene: Scene) -> str:
    """What it takes to get the same bytes, and whose licences they come under."""
    donors = [f"`{donor.name}`: {_place(donor)}" for donor in _sources(scene)]
    listed = "\n".join(f"- {line}" for line in donors)
    plan = scene.plan.id if scene.plan else ""
    return (
        "`stacker build stacker.yml OUT` with these donors writes the same tensors, byte for byte, and "
        f"`stacker verify OUT` compares them with the donors. `stacker.lock.json` holds the plan (`{plan}`): "
        f"where every tensor is from.\n\n{listed}\n\nThe donors' licences apply to what is made of them."
    )


def _place(donor: Donor) -> str:
    return (
        f"[{donor.source}](https://huggingface.co/{donor.source}) at `{donor.revision}`"
        if donor.revision
        else "a folder"
    )
