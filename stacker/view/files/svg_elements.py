"""Adds elements to SVG drawings."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from stacker.errors import escape_text


def add_text(parent: Element, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
    """Add text at a place in pixels, with a class of the style sheet; `anchor` is start, middle or end."""
    place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    SubElement(parent, "text", place | ({"class": kind} if kind else {})).text = clean_text(text)


def add_line(parent: Element, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
    """Add a straight line between two places in pixels."""
    ends = {"x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}
    SubElement(parent, "line", ends | ({"class": kind} if kind else {}))


def add_rect(parent: Element, box: tuple[float, float, float, float], **attributes: str) -> Element:
    """Add a rectangle; `box` has its left and top edge, width and height in pixels. Empty attributes are left out."""
    x, y, width, height = box
    place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:.2f}", "height": f"{height:.2f}"}
    return SubElement(parent, "rect", place | {key.strip("_"): value for key, value in attributes.items() if value})


def clean_text(text: str) -> str:
    """A text with escapes in place of characters that XML does not allow, and cut if it is very long."""
    return escape_text(text, 1000)
