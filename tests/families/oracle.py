"""The expected results by transformers: donors with random weights, and their layers rearranged in memory."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from tests.families.beside import BEFORE, share_cache, share_out
from tests.families.cases import SMALL, Auto, Case, Names, Pick

NO_BLEND: Mapping[int, Pick] = {}
TOKENS = torch.tensor([[3, 17, 41, 5, 29, 8, 60, 22, 13, 50, 7, 33]])
"""A prompt longer than every sliding window of the cases."""


def write_donor(case: Case, folder: Path, seed: int) -> Path:
    """A donor of a case on disk: every weight random, norms around one, in the published style."""
    torch.manual_seed(seed)
    model = case.auto.from_config(_config_of(case), dtype=torch.float32)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point() and "inv_freq" not in name:
                noise = torch.randn_like(tensor) * 0.3
                tensor.copy_(1 + noise if "norm" in name or "ln_" in name else noise)
        model.get_input_embeddings().weight[SMALL["pad_token_id"]] = 0  # some zero it when they are loaded
    model.save_pretrained(folder, save_original_format=case.names is Names.HUB)
    _publish(case, folder)
    return folder


def _config_of(case: Case) -> PreTrainedConfig:
    if case.wrapper:
        return AutoConfig.for_model(case.model_type, **case.config)
    small = SMALL if case.depth == "num_hidden_layers" else {key: SMALL[key] for key in SMALL if "layers" not in key}
    return AutoConfig.for_model(case.model_type, **(small | case.config))


def _publish(case: Case, folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(case.publish(json.loads(path.read_text())), indent=2))
    weights = folder / "model.safetensors"
    renamed = {case.rename(name): tensor for name, tensor in load_file(weights).items()}
    save_file(renamed, weights, metadata={"format": "pt"})


def load(folder: Path, auto: Auto = AutoModelForCausalLM) -> PreTrainedModel:
    """A checkpoint as transformers loads it; nothing may be missing, unexpected or of another shape."""
    model, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    wrong = {key: info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]}
    assert not wrong, wrong
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()  # memory of the same alignment, so that sums are taken alike
    return model.eval()


def rearranged(
    case: Case, donors: Mapping[str, PreTrainedModel], picks: Sequence[Pick], blended: Mapping[int, Pick] = NO_BLEND
) -> PreTrainedModel:
    """The picked layers in one model: the first layer's donor gives embedding and config, the last's the head.

    At the places in `blended` stands the mean of the picked layer and that one.
    """
    first, last = donors[picks[0][0]], donors[picks[-1][0]]
    model, depth = copy.deepcopy(first), len(layers_of(first))
    lists = {key: [getattr(text_config_of(donors[name]), key)[layer] for name, layer in picks] for key in case.lists}
    entries = lists | case.derive(text_config_of(first).to_dict(), list(picks))
    layers = [copy.deepcopy(layers_of(donors[name])[layer]) for name, layer in picks]
    for place, (other, layer) in blended.items():
        _average(layers[place], layers_of(donors[other])[layer])
    _set_head(model, last)
    owner, attribute, _ = _layer_list(model)
    setattr(owner, attribute, torch.nn.ModuleList(layers))
    config = text_config_of(model)
    for module in _having_alike(model, config):
        vars(module)["config"] = config
    setattr(config, case.depth, len(picks))
    _reorder_lists(owner, picks, depth)
    for key, value in entries.items():
        setattr(config, key, value)
        if hasattr(owner, key):
            setattr(owner, key, value)
    for index, decoder in enumerate(layers):
        _renumber(decoder, index, text_config_of(donors[picks[index][0]]).to_dict(), config)
    share_out(
        owner, {name: (_layer_list(each)[0], len(layers_of(each))) for name, each in donors.items()}, picks, blended
    )
    share_cache(owner, layers, config)
    return model.eval()


def text_config_of(model: PreTrainedModel) -> PreTrainedConfig:
    """The language model's config, nested or not."""
    return model.config.get_text_config(decoder=True)


def depth_of(config: PreTrainedConfig) -> int:
    """The number of decoder layers; a layer of several sublayers counts once."""
    return int(getattr(config, "num_layers", config.num_hidden_layers))


def _reorder_lists(owner: torch.nn.Module, picks: Sequence[Pick], depth: int) -> None:
    """Lists that a model of `depth` layers keeps for them from when it was made; the donors are equal in them."""
    own: dict[str, Any] = vars(owner)
    for key, value in own.items():
        if isinstance(value, list) and len(value) == depth and all(map(_is_word, value)):
            own[key] = [value[layer] for _, layer in picks]


def _is_word(value: Any) -> bool:
    return isinstance(value, str)


def _having_alike(model: PreTrainedModel, config: PreTrainedConfig) -> list[torch.nn.Module]:
    """The modules that hold a copy of the config."""
    owned = [(module, vars(module).get("config")) for module in model.modules()]
    mine = config.to_dict()
    others = [(module, own) for module, own in owned if isinstance(own, PreTrainedConfig) and own is not config]
    return [module for module, own in others if own.to_dict() == mine]


def _renumber(decoder: torch.nn.Module, index: int, old: Mapping[str, Any], config: PreTrainedConfig) -> None:
    """Set a layer's new index and config in its modules; a module with a config of its own keeps that.

    `old` is the donor's config; a layer of several sublayers numbers them one by one.
    """
    sublayers = config.num_hidden_layers // depth_of(config)
    for module in decoder.modules():
        own: dict[str, Any] = vars(module)
        if isinstance(own.get("layer_idx"), int):
            own["layer_idx"] = index if module is decoder else index * sublayers + own["layer_idx"] % sublayers
        if "layer_id" in own:
            own["layer_id"] = index
        if "layer_dic" in own:
            hybrid = [place for place, kind in enumerate(config.layer_types) if kind == "hybrid"]
            own["layer_dic"] = {place: order for order, place in enumerate(hybrid)}
        if isinstance(own.get("config"), PreTrainedConfig) and own["config"].to_dict() == old:
            own["config"] = config


def _average(layer: torch.nn.Module, other: torch.nn.Module) -> None:
    theirs = other.state_dict()
    for name, mine in layer.state_dict().items():
        mine.copy_(0.5 * mine + 0.5 * theirs[name])


def layers_of(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The list of decoder layers: the first module list whose length is the depth."""
    return _layer_list(model)[2]


def _layer_list(model: PreTrainedModel) -> tuple[torch.nn.Module, str, torch.nn.ModuleList]:
    depth = depth_of(text_config_of(model))
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ModuleList) and len(child) == depth:
                return module, name, child
    raise LookupError("no list of layers")


def _set_head(model: PreTrainedModel, last: PreTrainedModel) -> None:
    """Take the modules after the layers from the last layer's donor, and its embedding if tied to the head."""
    owner, layers, _ = _layer_list(model)
    donor, _, _ = _layer_list(last)
    past = False
    for name, _ in list(owner.named_children()):
        if (past and "rotary" not in name and name not in BEFORE) or name.startswith("final_"):
            setattr(owner, name, copy.deepcopy(getattr(donor, name)))
        past = past or name == layers
    for mine, theirs in zip(_around(owner, model), _around(donor, last), strict=True):
        for name, child in theirs.named_children():
            beside = theirs is not last or text_config_of(last) is not last.config
            if "head" in name or (not beside and all(module is not donor for module in child.modules())):
                setattr(mine, name, copy.deepcopy(child))


def _around(owner: torch.nn.Module, model: PreTrainedModel) -> list[torch.nn.Module]:
    """The modules that contain the owner of the layers, outermost first."""
    return [module for module in model.modules() if module is not owner and owner in set(module.modules())]


def logits_of(model: PreTrainedModel) -> torch.Tensor:
    """The logits of all tokens of the prompt, computed in one call."""
    with torch.no_grad():
        logits: torch.Tensor = model(TOKENS).logits
    return logits


def greedy_tokens(model: PreTrainedModel) -> list[int]:
    """Eight greedy tokens, each computed with the cache of the previous ones."""
    options: dict[str, Any] = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "use_cache": True}
    with torch.no_grad():
        tokens: list[int] = model.generate(TOKENS, attention_mask=torch.ones_like(TOKENS), **options)[0].tolist()
    return tokens


def uncached_tokens(model: PreTrainedModel) -> list[int]:
    """Eight greedy tokens, each computed from the whole text without a cache, ignoring the end token."""
    tokens, said = TOKENS, model.generation_config.eos_token_id
    ends = [each for each in (said if isinstance(said, list) else [said]) if each in range(SMALL["vocab_size"])]
    with torch.no_grad():
        for _ in range(8):
            last = model(tokens, use_cache=False).logits[:, -1:]
            last[..., ends] = float("-inf")
            tokens = torch.cat([tokens, last.argmax(-1)], dim=1)
    found: list[int] = tokens[0].tolist()
    return found
