"""Extracts a LoRA from a fine-tuned checkpoint and its base: reads both, and writes a folder that peft loads."""

from __future__ import annotations

from pathlib import Path

from stacker.errors import SpecError
from stacker.io.donors.pairs import read_pair
from stacker.progress import Watch, ignore_watch
from stacker.run.adapters.differences import BASE, TUNED
from stacker.run.adapters.extraction import Extraction, Wanted, extract
from stacker.run.adapters.files import make_card, open_adapter


def extract_lora(
    tuned: str,
    base: str,
    out: str | Path,
    *,
    rank: int | None = None,
    energy: float | None = None,
    watch: Watch = ignore_watch,
) -> Extraction:
    """Write the LoRA that turns `base` into `tuned`, each a folder or hub id, to the new folder `out`.

    Either every product gets the rank `rank`, or each the smallest rank that keeps the share `energy` of the squared
    norm of its change. `watch` is called with the bytes of `base` done and in all. SpecError for wrong arguments,
    DonorError if the donors do not fit together, StorageError if writing fails.
    """
    wanted = _check_wanted(rank, energy)
    one, other = read_pair((TUNED, tuned), (BASE, base), "extract-lora")
    with open_adapter(Path(out)) as writer:
        found = extract(one, other, wanted, writer.add, watch)
        if not found.tensors:
            raise SpecError.of(f"{tuned} and {base} have the same weights", "there is nothing to extract")
        writer.finish(found.config, make_card(base, tuned))
    return found


def _check_wanted(rank: int | None, energy: float | None) -> Wanted:
    if (rank is None) == (energy is None):
        raise SpecError.of("give either a rank or an energy", "--rank 16, or --energy 0.95")
    if rank is not None and rank < 1:
        raise SpecError.of(f"the rank cannot be {rank}", "give a whole number from 1 on")
    if energy is not None and not 0 < energy <= 1:
        raise SpecError.of(f"the energy cannot be {energy:g}", "give a share above 0 and at most 1")
    return Wanted(rank, energy)
