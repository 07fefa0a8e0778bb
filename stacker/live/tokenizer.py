"""Loads the tokenizer of a stack with transformers, from the files that a build would write."""

from __future__ import annotations

from typing import Any

from stacker.core.values.donor import Donor
from stacker.errors import DonorError
from stacker.formats.json_object import Json, format_json
from stacker.io.donors.side_files import read_tokenizer_files
from stacker.live.filling.scratch_folder import open_folder


def load_tokenizer(donor: Donor, config: dict[str, Json]) -> Any:
    """The tokenizer of a donor, as transformers loads it for a model with this config.

    DonorError if the donor has no tokenizer or one that transformers cannot load.
    """
    from transformers import AutoTokenizer

    files = read_tokenizer_files(donor.side_files)
    with open_folder({**files, "config.json": format_json(config)}) as folder:
        try:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # transformers has no base class for its errors
            reason = " ".join(str(error).split())
            message = f"the tokenizer of donor '{donor.name}' cannot be loaded: {reason}"
            hint = "add its tokenizer files, or name a donor that has them: `tokenizer: NAME`"
            raise DonorError.of(message, hint) from error
