"""The pictures that can be kept, by name: each turns a scene into the text of a file."""

from __future__ import annotations

from collections.abc import Callable

from stacker.view.dot import dot_text
from stacker.view.mermaid import mermaid_text
from stacker.view.page import html_page
from stacker.view.scene import Scene
from stacker.view.svg import svg_text

VIEWS: dict[str, Callable[[Scene], str]] = {
    "svg": svg_text,
    "html": html_page,
    "mermaid": mermaid_text,
    "dot": dot_text,
}
