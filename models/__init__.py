"""Arrays in, arrays out: encoder, heads, calibration, tagger, and the bundle that holds them."""
