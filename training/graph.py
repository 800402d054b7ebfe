"""A Hugging Face ``BertModel`` as an ONNX graph of 8-bit products, with its weights in safetensors.

Weights of matrices are symmetric 8-bit integers with one scale a column; activations are quantised at run time, each
token's by their own range. The graph refers to the weights inside the safetensors file by their place in it, so they
exist once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from transformers import BertConfig, BertModel

from nlp.errors import BaseModelError

Tensors = dict[str, NDArray[np.generic]]
# Names in the bundle and in a BertModel: of the matrices of a layer, and of its norms.
_MATRICES = {
    "attention": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention_out": ("attention.output.dense",),
    "widen": ("intermediate.dense",),
    "narrow": ("output.dense",),
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "norm": "output.LayerNorm"}
_TYPES = {"I8": TensorProto.INT8, "F32": TensorProto.FLOAT}


def export_encoder(model: BertModel, folder: Path) -> None:
    """Write ``encoder.safetensors`` and ``encoder.onnx``.

    The graph takes ``token_ids``, int64 of shape ``(rows, length)`` without padding, and gives ``states``, float32 of
    shape ``(rows, length, hidden)``: the last layer.

    Raises:
        BaseModelError: the model is not a plain BERT encoder.
    """
    config = model.config
    if config.hidden_act != "gelu" or config.is_decoder:
        raise BaseModelError(
            f"an encoder with activation {config.hidden_act!r}, decoder {config.is_decoder}",
            expected="a BERT encoder with gelu",
        )
    tensors = quantised_tensors(model)
    save_file(tensors, folder / "encoder.safetensors")
    graph = _Graph(folder / "encoder.safetensors").build(config)
    onnx.save(graph, folder / "encoder.onnx")


def export_floats(model: BertModel, folder: Path) -> None:
    """Write the same graph in float32, to measure against: ``encoder.safetensors`` and ``encoder.onnx``."""
    quantised = quantised_tensors(model)
    tensors = {name: value for name, value in quantised.items() if value.dtype == np.float32 and "scale" not in name}
    state = {name: value.detach().float().numpy() for name, value in model.state_dict().items()}
    tensors["words.weight"] = state["embeddings.word_embeddings.weight"]
    for index in range(model.config.num_hidden_layers):
        for name, origins in _MATRICES.items():
            weights = [state[f"encoder.layer.{index}.{origin}.weight"] for origin in origins]
            tensors[f"layer.{index}.{name}.weight"] = np.ascontiguousarray(np.concatenate(weights).T)
    save_file(tensors, folder / "encoder.safetensors")
    onnx.save(_FloatGraph(folder / "encoder.safetensors").build(model.config), folder / "encoder.onnx")


def quantised_tensors(model: BertModel) -> Tensors:
    """The weights of a BERT encoder, matrices as 8-bit integers.

    Returns:
        ``<name>.weight`` int8 of shape ``(inputs, outputs)`` with ``<name>.scale`` and ``<name>.bias``, the query, key
        and value projections of a layer as one matrix; embeddings as int8 rows with a scale each; layer norms and
        positions (with the token type added) as float32.
    """
    state = {name: value.detach().float().numpy() for name, value in model.state_dict().items()}
    found: Tensors = {}
    words, scale = _quantise(state["embeddings.word_embeddings.weight"], axis=1)
    found["words.weight"], found["words.scale"] = words, scale
    found["positions"] = (
        state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
    )
    found["embedding_norm.weight"] = state["embeddings.LayerNorm.weight"]
    found["embedding_norm.bias"] = state["embeddings.LayerNorm.bias"]
    for index in range(model.config.num_hidden_layers):
        source = f"encoder.layer.{index}."
        for name, origins in _MATRICES.items():
            weight = np.concatenate([state[f"{source}{origin}.weight"] for origin in origins])
            values, scale = _quantise(weight.T, axis=0)
            found[f"layer.{index}.{name}.weight"] = np.ascontiguousarray(values)
            found[f"layer.{index}.{name}.scale"] = scale
            biases = [state[f"{source}{origin}.bias"] for origin in origins]
            found[f"layer.{index}.{name}.bias"] = np.concatenate(biases)
        for name, origin in _NORMS.items():
            found[f"layer.{index}.{name}.weight"] = state[f"{source}{origin}.weight"]
            found[f"layer.{index}.{name}.bias"] = state[f"{source}{origin}.bias"]
    return found


def restore_encoder(tensors: Mapping[str, NDArray[np.generic]], config: BertConfig) -> BertModel:
    """The BERT encoder that :func:`quantised_tensors` came from, up to the rounding of its matrices.

    Args:
        tensors: as ``encoder.safetensors`` keeps them.
        config: of the encoder.
    """
    floats = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
    state = {
        "embeddings.word_embeddings.weight": floats["words.weight"] * floats["words.scale"][:, None],
        "embeddings.position_embeddings.weight": floats["positions"],
        "embeddings.token_type_embeddings.weight": np.zeros((config.type_vocab_size, config.hidden_size), np.float32),
        "embeddings.LayerNorm.weight": floats["embedding_norm.weight"],
        "embeddings.LayerNorm.bias": floats["embedding_norm.bias"],
    }
    for index in range(config.num_hidden_layers):
        target = f"encoder.layer.{index}."
        for name, origins in _MATRICES.items():
            source = f"layer.{index}.{name}"
            weights = np.split((floats[f"{source}.weight"] * floats[f"{source}.scale"]).T, len(origins))
            biases = np.split(floats[f"{source}.bias"], len(origins))
            for origin, weight, bias in zip(origins, weights, biases, strict=True):
                state[f"{target}{origin}.weight"], state[f"{target}{origin}.bias"] = weight, bias
        for name, origin in _NORMS.items():
            for part in ("weight", "bias"):
                state[f"{target}{origin}.{part}"] = floats[f"layer.{index}.{name}.{part}"]
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()})
    return model


def _quantise(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 8-bit integers with one scale for each slice along the other axis."""
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), 1e-12) / 127
    values = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return values, scale.reshape(-1, 1)[:, 0].astype(np.float32)


class _Graph:
    """Builds the graph over the weights of one safetensors file."""

    def __init__(self, weights: Path) -> None:
        self._file = weights.name
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self._header: Mapping[str, dict[str, Any]] = json.loads(file.read(length))
        self._data_start = 8 + length
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def build(self, config: BertConfig) -> onnx.ModelProto:
        for name in self._header:
            if name != "__metadata__":
                self._external(name)
        hidden = self._embeddings(float(config.layer_norm_eps))
        for index in range(config.num_hidden_layers):
            hidden = self._layer(hidden, f"layer.{index}", config)
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [helper.make_tensor_value_info("token_ids", TensorProto.INT64, ["rows", "length"])],
            [helper.make_tensor_value_info(hidden, TensorProto.FLOAT, ["rows", "length", config.hidden_size])],
            self._initializers,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="musannif")

    def _external(self, name: str) -> None:
        entry = self._header[name]
        start, end = entry["data_offsets"]
        tensor = TensorProto(name=name, data_type=_TYPES[str(entry["dtype"])], dims=entry["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", self._file),
            ("offset", str(self._data_start + start)),
            ("length", str(end - start)),
        ):
            tensor.external_data.add(key=key, value=value)
        self._initializers.append(tensor)

    def _add(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: object) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def _number(self, name: str, value: np.generic) -> str:
        if not any(known.name == name for known in self._initializers):
            self._initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _integers(self, name: str, values: list[int]) -> str:
        self._initializers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def _words(self) -> str:
        self._add("Gather", ["words.weight", "token_ids"], "words.integers")
        self._add("Cast", ["words.integers"], "words.floats", to=TensorProto.FLOAT)
        self._add("Gather", ["words.scale", "token_ids"], "words.scales")
        self._add("Unsqueeze", ["words.scales", self._integers("last", [-1])], "words.scales3")
        return self._add("Mul", ["words.floats", "words.scales3"], "words")

    def _embeddings(self, epsilon: float) -> str:
        words = self._words()
        self._add("Shape", ["token_ids"], "length", start=1, end=2)
        self._add("Slice", ["positions", self._integers("zero", [0]), "length", "zero"], "positions.used")
        self._add("Add", [words, "positions.used"], "embeddings")
        return self._add(
            "LayerNormalization",
            ["embeddings", "embedding_norm.weight", "embedding_norm.bias"],
            "embedded",
            epsilon=epsilon,
        )

    def _product(self, hidden: str, name: str) -> str:
        """The product with a matrix, without its bias.

        Every row is quantised by its own range: a few tokens have states far beyond those of the others, and one range
        for all would leave the others few steps. A row also gets the same values whatever rows are beside it.
        """
        highest = self._add("ReduceMax", [hidden], f"{name}.highest", axes=[-1], keepdims=1)
        lowest = self._add("ReduceMin", [hidden], f"{name}.lowest", axes=[-1], keepdims=1)
        opposite = self._add("Neg", [lowest], f"{name}.opposite")
        # Never zero, so that a row of zeros stays one.
        largest = self._add("Max", [highest, opposite, self._number("tiny", np.float32(1e-12))], f"{name}.largest")
        step = self._add("Mul", [largest, self._number("steps", np.float32(1 / 127))], f"{name}.step")
        scaled = self._add("Div", [hidden, step], f"{name}.scaled")
        unit, middle = self._number("unit", np.float32(1)), self._number("middle", np.uint8(128))
        quantised = self._add("QuantizeLinear", [scaled, unit, middle], f"{name}.quantised")
        inputs = [quantised, f"{name}.weight", unit, f"{name}.scale", middle]
        product = self._add("MatMulIntegerToFloat", inputs, f"{name}.product", domain="com.microsoft")
        return self._add("Mul", [product, step], f"{name}.floats")

    def _biased(self, hidden: str, name: str) -> str:
        return self._add("Add", [self._product(hidden, name), f"{name}.bias"], f"{name}.out")

    def _skip_norm(self, hidden: str, skip: str, name: str, epsilon: float) -> str:
        # Two nodes: the one that the runtime has for both takes three times as long as they do.
        total = self._add("Add", [hidden, skip], f"{name}.sum")
        inputs = [total, f"{name}.weight", f"{name}.bias"]
        return self._add("LayerNormalization", inputs, f"{name}.out", epsilon=epsilon)

    def _layer(self, hidden: str, name: str, config: BertConfig) -> str:
        epsilon = float(config.layer_norm_eps)
        packed = self._biased(hidden, f"{name}.attention")
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        self._nodes.append(helper.make_node("Split", [packed], parts, name=f"{name}.split", axis=2))
        context = self._add(
            "MultiHeadAttention",
            parts,
            f"{name}.context",
            domain="com.microsoft",
            num_heads=config.num_attention_heads,
        )
        attended = self._skip_norm(
            self._biased(context, f"{name}.attention_out"), hidden, f"{name}.attention_norm", epsilon
        )
        widened = [self._product(attended, f"{name}.widen"), f"{name}.widen.bias"]
        wide = self._add("BiasGelu", widened, f"{name}.gelu", domain="com.microsoft")
        return self._skip_norm(self._biased(wide, f"{name}.narrow"), attended, f"{name}.norm", epsilon)


class _FloatGraph(_Graph):
    """The same over float32 matrices."""

    def _words(self) -> str:
        return self._add("Gather", ["words.weight", "token_ids"], "words")

    def _product(self, hidden: str, name: str) -> str:
        return self._add("MatMul", [hidden, f"{name}.weight"], f"{name}.product")
