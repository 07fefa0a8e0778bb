"""Pictures that are kept as files: SVG, HTML, Graphviz, Mermaid, the model card."""
