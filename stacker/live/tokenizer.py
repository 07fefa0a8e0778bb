"""Loads the tokenizer of a stack with transformers, from the files that a build would write."""

from __future__ import annotations

from typing import Any

from stacker.core.side_files.selection import SideFiles
from stacker.errors import DonorError
from stacker.formats.json_object import Json, format_json
from stacker.io.donors.side_files import read_clean_files
from stacker.live.filling.scratch_folder import open_folder


def load_tokenizer(side_files: SideFiles, config: dict[str, Json]) -> Any:
    """The tokenizer among a stack's side files, as transformers loads it for a model with this config.

    DonorError if there is no tokenizer or one that transformers cannot load.
    """
    from transformers import AutoTokenizer

    files = dict(read_clean_files(side_files))
    with open_folder({**files, "config.json": format_json(config)}) as folder:
        try:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # transformers has no base class for its errors
            reason = " ".join(str(error).split())
            hint = "name a donor that has a tokenizer: `tokenizer: NAME`"
            raise DonorError.of(f"the stack's tokenizer cannot be loaded: {reason}", hint) from error
