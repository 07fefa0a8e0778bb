"""Example stacks whose donors are reference configs, and their previews as text.

`python -m tests.view.scenes` rewrites the golden pictures; look at them before committing.
"""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.text import Text

from stacker.compose import load_text
from stacker.io.donors.reader import read_from_reference
from stacker.view.map.coverage import Coverage
from stacker.view.map.depth_map import DepthMap
from stacker.view.scene.scene import Scene
from stacker.view.stack.preview import Legend, draw_lints, draw_segments

GOLDEN = Path(__file__).parent.parent / "golden" / "preview"
WIDTHS = (60, 100, 160)
KINDS = ("plain", "colour")

GOLIATH = """\
stacker: 1
name: goliath-120b
donors:
  xwin: {source: Xwin-LM/Xwin-LM-70B-V0.1, like: llama-2-70b}
  euryale: {source: Sao10K/Euryale-1.3-L2-70B, like: llama-2-70b}
stack:
  - xwin[0:16]
  - euryale[8:24]
  - xwin[17:32]
  - euryale[25:40]
  - xwin[33:48]
  - euryale[41:56]
  - xwin[49:64]
  - euryale[57:72]
  - xwin[65:80]
"""
BLENDED = """\
stacker: 1
name: blended
donors:
  a: {source: some/a, like: mistral-7b}
  b: {source: some/b, like: mistral-7b}
stack:
  - a[0:6]
  - blend: ["a[6:14]", "b[6:14]"]
    op: slerp
    t: {attn: [0, 0.5, 0.3, 0.7, 1], mlp: [1, 0], default: 0.5}
  - crossfade: ["a[14:22]", "b[18:28]"]
    over: 4
    op: slerp
  - b[28:32]
"""
REPEATED = """\
stacker: 1
name: repeated
donors:
  a: {source: some/a, like: llama-3-8b}
stack:
  - a[0:16]
  - repeat: ["a[12:16]"]
    times: 3
    scale: {attn.o: 0.5, mlp.down: [0, 1]}
  - a[16:32]
"""
SPECS = {"goliath": GOLIATH, "blended": BLENDED, "repeated": REPEATED}


def scene_of(text: str) -> Scene:
    """The scene of a spec whose donors are reference configs."""
    return load_text(text.encode(), Path("spec.yml"), read=read_from_reference).scene()


def picture(scene: Scene) -> Group:
    """The preview without its summary, whose figures depend on measurements and are tested as numbers."""
    below: list[RenderableType] = [DepthMap(scene.graph, scene.donors), Legend(scene), Text(), draw_segments(scene)]
    return Group(*below, Text(), Coverage(scene), draw_lints(scene.lints))


def printed(drawn: RenderableType, width: int, kind: str = "plain", encoding: str = "utf-8") -> str:
    """The output of a console of this width, without colours (`plain`) or with true colour (`colour`)."""
    raw = BytesIO()
    out = TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
    system = "truecolor" if kind == "colour" else None
    console = Console(
        file=out,
        width=width,
        color_system=system,  # type: ignore[arg-type]  # one of rich's words
        force_terminal=kind == "colour",
        legacy_windows=False,
        highlight=False,
        _environ={},
    )
    console.print(drawn)
    out.flush()
    return "\n".join(line.rstrip() for line in raw.getvalue().decode(encoding).splitlines()) + "\n"


def main() -> None:
    """Write every golden picture."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, text in SPECS.items():
        for width in WIDTHS:
            for kind in KINDS:
                drawn = printed(picture(scene_of(text)), width, kind)
                (GOLDEN / f"{name}-{width}-{kind}.txt").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
