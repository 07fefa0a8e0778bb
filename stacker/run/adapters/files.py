"""Writes the files of an adapter: first its tensors one by one into a temporary file, then the finished folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stacker.errors import SpecError
from stacker.formats.adapters import CONFIG_FILE, WEIGHTS_FILE
from stacker.formats.json_object import format_json
from stacker.formats.safetensors import make_header
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import read_status
from stacker.io.output.placing import make_parents, sync_folder
from stacker.tensors import Dtype, TensorSpec

if TYPE_CHECKING:
    import numpy as np


class AdapterWriter:
    """Collects the tensors of an adapter in a file of the unfinished folder, so that they need no memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = (folder / "data").open("wb")
        self._specs: list[TensorSpec] = []

    def add(self, name: str, tensor: np.ndarray[Any, Any]) -> None:
        """Append one fp32 tensor."""
        with explain_errors(self._folder):
            self._data.write(tensor.astype("<f4").tobytes())
        self._specs.append(TensorSpec(name, Dtype.F32, tuple(tensor.shape)))

    def finish(self, config: Mapping[str, Any], card: str) -> int:
        """Write the config, the card and the weight file, and return the size of the weight file in bytes."""
        path = self._folder / WEIGHTS_FILE
        with explain_errors(path):
            self._data.close()
            with path.open("wb") as file, (self._folder / "data").open("rb") as data:
                file.write(make_header(self._specs))
                shutil.copyfileobj(data, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            (self._folder / "data").unlink()
            (self._folder / CONFIG_FILE).write_bytes(format_json(dict(config)))
            (self._folder / "README.md").write_text(card, encoding="utf-8")
            return path.stat().st_size

    def close(self) -> None:
        self._data.close()


@contextmanager
def open_adapter(out: Path) -> Iterator[AdapterWriter]:
    """Yield a writer for the adapter `out`, a folder that appears when the `with` block ends without an exception.

    SpecError if there is something at `out` already.
    """
    if read_status(out, follow_links=False) is not None:
        raise SpecError.of(f"there is something at {out} already", "choose another folder for the adapter")
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    with explain_errors(partial):
        make_parents(out)
        partial.mkdir()
    writer = AdapterWriter(partial)
    try:
        yield writer
        with explain_errors(out):
            partial.rename(out)
            sync_folder(out.parent)
    finally:
        writer.close()
        shutil.rmtree(partial, ignore_errors=True)


_CARD = """---
base_model: {base}
base_model_relation: adapter
library_name: peft
tags: [lora, stacker]
---

# LoRA of {tuned}

Extracted by stacker from what distinguishes {tuned} from {base}.
"""


def make_card(base: str, tuned: str) -> str:
    """The model card of an extracted LoRA; backslashes and quotes in names are escaped."""
    return _CARD.format(base=json.dumps(base), tuned=json.dumps(tuned))
