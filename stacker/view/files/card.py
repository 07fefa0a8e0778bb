"""Writes the model card of a stack: Markdown for the Hugging Face hub, with the hub's metadata as YAML at the top.

The card names a donor from the hub by hub id and commit, and a donor in a local folder by its name in the spec. No
absolute path of this machine is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import PurePath
from typing import Any

import yaml
from rich.console import Console

from stacker.core.stack.graph import find_segments
from stacker.core.values.donor import Donor, collect_donors
from stacker.view.files.markdown import code_block, code_span, escape_markdown, table
from stacker.view.map.depth_map import DepthMap
from stacker.view.scene.formatting import changes_text, method_text, source_text, span_text
from stacker.view.scene.scene import Scene
from stacker.view.stack.preview import Legend
from stacker.view.stack.programs import answers_text
from stacker.view.stack.summary import format_facts

DRAWING = "depth-map.svg"
LARGEST_DRAWING = 200_000
"""The most bytes of a drawing that is written beside the card: about the drawing of a stack of a thousand layers."""
_BUILD_FACTS = ("reads", "writes", "memory", "time")
"""Rows of the summary that the card leaves out, because they only describe the build of the stack."""
_SNIPPET = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

place = "."  # the folder of this file, or its id on the hub
model = AutoModelForCausalLM.from_pretrained(place, dtype="auto")
tokenizer = AutoTokenizer.from_pretrained(place)
words = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**words, max_new_tokens=40)[0]))"""
"""Loads the checkpoint and continues a text."""
_LICENCE = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
"""Matches licence ids as the hub has them, such as `apache-2.0`."""
_COLUMNS = 76
"""Width of the depth map in the card, in characters; the hub would add a scroll bar to a wider map."""
_PARENT_FOLDERS = re.compile(r"(?<![\w:/.~\\])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",{}\[\]]+[/\\])*(?=[^\s/\\'\",{}\[\]])")
"""Matches the folders before the last name of an absolute path: `/data/models/` in `/data/models/xwin`."""


def card_text(scene: Scene, spec: str, drawing: str | None = None) -> str:
    """The Markdown of the stack's README.md.

    `spec` is the YAML text of the stack's spec. `drawing` is the name of an image file beside README.md, or None to
    show no image.
    """
    picture = f"![where each layer comes from]({drawing})\n\n" if drawing else ""
    parts = [
        f"---\n{yaml.safe_dump(make_metadata(scene), sort_keys=False, allow_unicode=True)}---",
        f"# {escape_markdown(scene.name)}",
        _summary_text(scene),
        picture + code_block("text", map_text(scene)),
        table(("figure", "value"), _list_facts(scene)),
        "## Layers\n\n" + table(("layers", "from", "made by", "jump", "across the jump"), _list_segments(scene)),
        *([f"## Where it is fragile\n\n{_lints_text(scene)}"] if scene.lints else []),
        f"## Use it\n\n{_usage_text(scene)}",
        "## Spec\n\n" + code_block("yaml", _PARENT_FOLDERS.sub("./", spec).rstrip()),
        f"## Make it again\n\n{_reproduction_text(scene)}",
    ]
    return "\n\n".join(parts) + "\n"


def make_metadata(scene: Scene) -> dict[str, Any]:
    """The metadata for the hub at the top of the card, by key: the donors that are on the hub, the licence, and tags.

    The licence is left out unless the configs of all donors name the same licence.
    """
    donors = [*_list_donors(scene)]
    bases = list(dict.fromkeys(donor.source for donor in donors if donor.revision))
    licences = [donor.config.get("license") for donor in donors]
    licence = licences[0] if licences and all(each == licences[0] for each in licences) else None
    entries = {
        "base_model": bases,
        "base_model_relation": "merge" if bases else None,
        "library_name": "transformers",
        "license": licence if isinstance(licence, str) and _LICENCE.fullmatch(licence) else None,
        "pipeline_tag": "text-generation",
        "tags": _list_tags(scene),
    }
    return {key: value for key, value in entries.items() if value}


def _list_tags(scene: Scene) -> list[str]:
    """The card's tags: a frankenmerge has layers at other places than their donor, and each op in use is a tag."""
    layers = scene.graph.layers
    moved = bool(scene.jumps) or any(feed.layer != node.index for node in layers for feed in node.feeds)
    ops = dict.fromkeys(node.op for node in layers if node.op)
    return ["merge", *(["frankenmerge"] if moved else []), *ops, "stacker"]


def _list_donors(scene: Scene) -> Iterator[Donor]:
    """Yield every donor that has files.

    A donor made from a nested spec has none, and the donors of the nested spec take its place.
    """
    yield from (donor for donor in collect_donors(scene.donors).values() if not donor.is_stack)


def _summary_text(scene: Scene) -> str:
    names = list(dict.fromkeys(_name_text(donor) for donor in _list_donors(scene)))
    origin = f" from layers of {', '.join(names)}" if names else ""
    return f"A stack of {len(scene.graph.layers)} layers, composed with stacker{origin}. No training took place."


def _name_text(donor: Donor) -> str:
    """The Markdown that names a donor: a link for one from the hub, the last part of the path for any other."""
    if donor.revision:
        return f"[{donor.source}](https://huggingface.co/{donor.source})"
    return code_span(PurePath(donor.source).name or donor.name)


def _usage_text(scene: Scene) -> str:
    """The card's section on loading the checkpoint, with the programs that compute it correctly as far as is known."""
    known = answers_text(scene.verdicts)
    return code_block("python", _SNIPPET) + (f"\n\n{escape_markdown(known[0].upper() + known[1:])}." if known else "")


def map_text(scene: Scene) -> str:
    """The depth map and its legend as plain text, with a letter for the layers of each donor."""
    out = StringIO()
    console = Console(file=out, width=_COLUMNS, color_system=None, legacy_windows=False, _environ={})
    console.print(DepthMap(scene.graph, scene.donors), Legend(scene), sep="")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _list_segments(scene: Scene) -> Iterator[tuple[str, ...]]:
    for segment in find_segments(scene.graph):
        junction = scene.jumps.get(segment.start)
        yield (
            span_text(segment.start, segment.stop),
            code_span(source_text(segment)),
            escape_markdown(method_text(scene.graph, segment)),
            f"{junction.jump:+d}" if junction else "",
            escape_markdown(changes_text(scene.changes.get(segment.start, ()))),
        )


def _list_facts(scene: Scene) -> list[tuple[str, ...]]:
    return [(name, escape_markdown(text)) for name, text in format_facts(scene).items() if name not in _BUILD_FACTS]


def _lints_text(scene: Scene) -> str:
    texts = (lint.message + (f" ({lint.hint})" if lint.hint else "") for lint in scene.lints)
    return "\n".join(f"- {escape_markdown(text)}" for text in texts)


def _reproduction_text(scene: Scene) -> str:
    """The card's section on how to build the same checkpoint again: command, source of each donor, licences."""
    donors = [f"{code_span(donor.name)}: {_place_text(donor)}" for donor in _list_donors(scene)]
    listed = "\n".join(f"- {line}" for line in donors)
    plan = scene.plan.id if scene.plan else ""
    return (
        "`stacker build stacker.yml OUT` with these donors writes the same tensors, byte for byte, and "
        f"`stacker verify OUT` compares them with the donors. `stacker.lock.json` holds the plan (`{plan}`): "
        f"where every tensor comes from.\n\n{listed}\n\nThe donors' licences apply to this stack."
    )


def _place_text(donor: Donor) -> str:
    return f"{_name_text(donor)} at `{donor.revision}`" if donor.revision else f"the folder {_name_text(donor)}"
