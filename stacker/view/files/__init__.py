"""Turns a stack into the text of a file: SVG, HTML, Graphviz, Mermaid, or a Markdown model card."""
