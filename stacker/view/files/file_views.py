"""Maps the name of an option of `stacker preview`, such as `svg`, to the function that makes the file's text."""

from __future__ import annotations

from collections.abc import Callable

from stacker.view.files.diagrams import dot_text, mermaid_text
from stacker.view.files.page import html_text
from stacker.view.files.svg import svg_text
from stacker.view.scene.scene import Scene

FILE_VIEWS: dict[str, Callable[[Scene], str]] = {
    "svg": svg_text,
    "html": html_text,
    "mermaid": mermaid_text,
    "dot": dot_text,
}
