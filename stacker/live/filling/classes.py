"""Finds transformers' classes for a config.json, and turns its failures into errors of stacker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MULTIMODAL_LM_MAPPING
from transformers.utils import logging

from stacker.errors import SpecError, StackerError
from stacker.formats.json_object import format_json
from stacker.live.filling.scratch_folder import open_folder

Config = Mapping[str, Any]
INSTEAD = "build the stack, and run it with a program that knows the family"


def make_config(config: Config) -> Any:
    """The config that transformers makes of a config.json with this content; SpecError if it knows no such models."""
    kind = str(config.get("model_type"))
    if kind not in transformers.CONFIG_MAPPING:
        version = transformers.__version__
        raise SpecError.of(f"transformers {version} has no models of type '{kind}', so this stack cannot run", INSTEAD)
    with open_folder({"config.json": format_json(dict(config))}) as folder, explain_failures(kind):
        made = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if hasattr(made, "rescale_every"):  # RWKV would divide weights in place as it runs, also where layers share them
        made.rescale_every = 0
    return made


def find_model_class(config: Any) -> Any:
    """The class that generates text with a config: the one that the config names, or else that auto classes choose.

    SpecError if there is none.
    """
    mappings = (MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MULTIMODAL_LM_MAPPING)
    known = [mapping[type(config)] for mapping in mappings if type(config) in mapping]
    classes = [each for found in known for each in (found if isinstance(found, tuple) else (found,))]
    named = [each for each in classes if each.__name__ in (config.architectures or ())]
    fitting = [each for each in classes if each.config_class is type(config)]
    if found := [*named, *fitting, *classes]:
        return found[0]
    raise SpecError.of(f"transformers generates no text with models of type '{config.model_type}'", INSTEAD)


@contextmanager
def explain_failures(name: str) -> Iterator[None]:
    """Raise whatever transformers raises during a `with` block as a SpecError that names the class or type `name`."""
    try:
        yield
    except StackerError:
        raise
    except Exception as error:  # transformers has no base class for its errors
        reason = " ".join(str(error).split())
        raise SpecError.of(f"transformers cannot load this stack as {name}: {reason}", INSTEAD) from error


@contextmanager
def hide_messages() -> Iterator[None]:
    """Hide the progress bars of transformers, and its reports about tensors, during a `with` block."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
