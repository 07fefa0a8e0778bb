"""The table of ops: to add one, write its file and its row here."""

from __future__ import annotations

from stacker.ops import linear, passthrough, slerp
from stacker.ops.model import Op

OPS: dict[str, Op] = {op.name: op for op in (linear.OP, passthrough.OP, slerp.OP)}
