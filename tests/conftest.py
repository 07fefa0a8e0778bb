"""Settings for all tests: no network, a cache folder of their own, one thread a worker, no limits of time."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings

os.environ["HF_HOME"] = os.environ.get("HF_HOME") or str(Path("~/.cache/huggingface").expanduser())
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="stacker-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
