"""Views that are written to files: SVG, HTML, Graphviz, Mermaid and the model card."""
