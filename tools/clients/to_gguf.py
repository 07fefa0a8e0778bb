"""`python to_gguf.py SOURCE CHECKPOINT FILE`: converts a checkpoint without tokenizer by llama.cpp's own converter."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def set_no_vocabulary(model: Any) -> None:
    """Write the size of the vocabulary, but no tokens; it takes the place of the converter's own method."""
    model._set_vocab_none()
    model.gguf_writer.add_vocab_size(model.hparams["vocab_size"])


def list_kinds(kind: Any) -> list[Any]:
    """A class and all classes derived from it."""
    return [kind, *(inner for each in kind.__subclasses__() for inner in list_kinds(each))]


if __name__ == "__main__":
    source, checkpoint, file = sys.argv[1:]
    sys.path[:0] = [source, str(Path(source) / "gguf-py")]
    conversion, converter = import_module("conversion"), import_module("convert_hf_to_gguf")
    conversion.load_all_models()
    for kind in list_kinds(conversion.TextModel):
        kind.set_vocab = set_no_vocabulary
    sys.argv = ["convert", checkpoint, "--outfile", file, "--outtype", "f32"]
    converter.main()
