"""Two fine-tunes of a small real model, blended by every op, and how well each blend reads what either was tuned on."""
