"""`python mlx_logits.py CHECKPOINT TOKEN…`: prints the logits of MLX, one line for each token of the prompt."""

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    mx = import_module("mlx.core")
    model, _ = import_module("mlx_lm.utils").load_model(Path(sys.argv[1]))
    rows = model(mx.array([[int(word) for word in sys.argv[2:]]]))[0].astype(mx.float32)
    for row in rows.tolist():
        print(*(f"{value:.9g}" for value in row))
