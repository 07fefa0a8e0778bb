"""Shows stacks, donors, build plans and machines on the terminal, as SVG, HTML, Mermaid, Graphviz, Markdown or JSON."""
