"""From the corpus to a bundle: base encoder, corpus checks, splits, the loop, evaluation."""
