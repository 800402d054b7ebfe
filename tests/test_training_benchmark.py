from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from transformers import BertConfig

from models.encoder import OnnxEncoder
from models.runtime import choose_runtime
from models.tokenizer import WindowTokenizer
from training.graph import export_floats
from training.memory import measure_many
from training.network import load_base
from training.peaks import encoder_operations
from training.speed_plot import draw_bars
from training.timing import Times, fit_line, in_turns


def test_the_float_graph_computes_what_the_network_computes(tiny_bert: Path, tmp_path: Path) -> None:
    model, tokenizer = load_base(str(tiny_bert))
    export_floats(model.eval(), tmp_path)
    cutter = WindowTokenizer.from_file(tiny_bert / "tokenizer.json", prefix="", most_tokens=64, overlap=8)
    encoder = OnnxEncoder(tmp_path / "encoder.onnx", cutter, choose_runtime(1))
    text = "في الحي ماء جديد قديم مدرسة 1 2 3"
    with torch.inference_mode():
        expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
    np.testing.assert_allclose(encoder.states(encoder.windows(text)[:1])[0], expected, atol=1e-4)


def test_systems_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    found = list(in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2))
    assert order == ["a", "b"] * 3
    assert [name for name, _ in found] == ["a", "b"] * 2


def test_rates_are_those_of_the_median_round() -> None:
    rates = Times((1.0, 4.0, 2.0)).rates(8)
    assert rates == {"median": 4.0, "slowest": 2.0, "fastest": 8.0, "rounds": 3}


def test_a_line_through_linear_times_fits_and_through_square_ones_does_not() -> None:
    sizes = [20, 50, 100, 1000, 5000]
    line = fit_line(sizes, [0.5 + 0.002 * size for size in sizes])
    assert (line.slope, line.start, line.fit) == pytest.approx((0.002, 0.5, 1.0))
    assert fit_line(sizes, [size**2 for size in sizes]).fit < 0.98


def test_operations_of_a_layer_are_counted() -> None:
    config = BertConfig(hidden_size=4, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2)
    assert encoder_operations(config, 2) == 3 * (2 * 2 * (4 * 16 + 2 * 64) + 4 * 2 * 2 * 4)


def test_the_plot_is_xml_whose_longest_bar_is_the_fastest() -> None:
    plot = draw_bars("Texts <mixed>", "texts/s", {"ours": (80.0, 70.0, 90.0), "other & co": (10.0, 9.0, 12.0)})
    root = ElementTree.fromstring(plot)
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if one.get("fill") != "white"]
    assert float(bars[0].get("width", 0)) == pytest.approx(8 * float(bars[1].get("width", 0)), rel=0.01)


def test_many_comments_are_measured_in_a_process_of_their_own(tiny_bundle: Path) -> None:
    found = measure_many(tiny_bundle, ["قال الناس في الحي"], 40)
    assert found["comments"] == 40
    assert len(found["mib"]) == 20
