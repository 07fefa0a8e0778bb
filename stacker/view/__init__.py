"""Draws stacks, donors, plans and machines: for the terminal, as SVG, HTML, Mermaid, Graphviz, Markdown and JSON."""
