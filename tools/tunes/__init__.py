"""Two fine-tunes of a small real model, blended by every op, and the perplexity of each blend on both subjects."""
