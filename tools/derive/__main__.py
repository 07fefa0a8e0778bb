"""`tools/derive-architecture MODEL_TYPE`: print a draft of architectures/MODEL_TYPE.yaml, to be checked by hand."""

from __future__ import annotations

import argparse
import os
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/derive-architecture", description=__doc__)
    parser.add_argument("model_type")
    parser.add_argument("--like", default="llama", metavar="FAMILY", help='the file to start from; "" for none')
    options = parser.parse_args()
    print(draft(options.model_type, options.like))
    return 0


def draft(model_type: str, like: str = "llama") -> str:
    """The drafted text of a family's file, which starts from the file of the family `like`.

    Sizes and conditions for which no formula was found are marked UNKNOWN.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    from transformers import AutoConfig

    from tools.derive.draft import draft_parts, infer_structure
    from tools.derive.page import page_text
    from tools.derive.relative import dimensions_of, read_relative
    from tools.derive.samples import defaults_of, make_samples

    usual, switched = make_samples(model_type)
    relative = read_relative(like)
    aliases = type(AutoConfig.for_model(model_type)).attribute_map
    dimensions = dimensions_of(relative, usual.sized[0].config, aliases)
    seen = infer_structure(usual, relative, dimensions)
    parts = draft_parts(seen, [infer_structure(samples, relative, dimensions) for samples in switched])
    return page_text(model_type, seen, parts, dimensions, defaults_of(model_type))


if __name__ == "__main__":
    sys.exit(main())
