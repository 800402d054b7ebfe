"""Arrays in, arrays out: encoder, heads, calibration, tagger, and the bundle that holds them."""

import os

# ONNX Runtime would tell its maker about models and machine, and keep an identifier in the home folder. It looks here
# once, when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
