"""From a finished run to a bundle: export, calibrate on what will be served, measure, seal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import nlp
from models.bundle import Manifest, replace_folder, sha256_of, write_json, write_manifest
from models.calibration import Calibration, Thresholds, Weights
from models.encoder import OnnxEncoder
from models.heads import AttentionHead
from models.pooling import pooled_scores
from models.tagger import Tagger
from models.tokenizer import WindowTokenizer
from nlp.normalise import find_recipe
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy, load_taxonomy
from training.card import model_card
from training.corpus import sample_groups
from training.evaluation import answer
from training.fitting import fit_calibration, fit_thresholds
from training.graph import export_encoder
from training.lexicon import fit_lexicon
from training.report import system_figures
from training.runs import Run, load_network

# What a BertModel of the same shape is made from.
_NETWORK_SETTINGS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
)


def build_bundle(run: Run, target: Path, *, name: str = "musannif-default") -> Manifest:
    """Build the bundle of a run.

    Calibration and thresholds are fitted on the validation part, with the exported 8-bit encoder, so that they
    belong to what is served. The test part is measured once, at the end.

    Args:
        run: a finished run.
        target: the bundle's folder; an older bundle there is replaced when the new one is complete.
        name: of the bundle.
    """
    taxonomy = load_taxonomy(run.taxonomy)
    splits, added = run.splits(taxonomy), run.added(taxonomy)
    staging = target.with_name(target.name + ".partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    # The lexicon is fitted anew, on everything: it costs a minute.
    texts = (*(splits.train if run.config.added else sample_groups(splits.train, run.config.share)), *added)
    raw = _export(run, taxonomy, staging, texts)
    fitted = fit(raw, splits.validation)
    metrics = {
        part: system_figures(taxonomy, answer(fitted, texts, name), texts, run.config.seed).to_dict()
        for part, texts in (("validation", splits.validation), ("test", splits.test))
        if texts
    }
    write_json(staging / "calibration.json", fitted.calibration.to_dict())
    write_json(staging / "thresholds.json", fitted.thresholds.to_dict(taxonomy))
    write_json(staging / "metrics.json", metrics)
    (staging / "README.md").write_text(model_card(name, run, metrics), encoding="utf-8")
    manifest = write_manifest(
        staging,
        name=name,
        version=nlp.__version__,
        versions={
            "taxonomy": f"{taxonomy.version}+{taxonomy.fingerprint[:12]}",
            "recipe": f"{raw.recipe.name}+{raw.recipe.fingerprint[:12]}",
            "thresholds": sha256_of(staging / "thresholds.json")[:12],
        },
        # Where the added texts lie concerns nobody who has the bundle.
        training={
            **run.provenance,
            "config": run.config.model_dump() | {"added": [Path(file).name for file in run.config.added]},
        },
    )
    replace_folder(staging, target)
    return manifest


def fit(tagger: Tagger, held_out: tuple[LabelledText, ...]) -> Tagger:
    """The same tagger with calibration and thresholds fitted on held-out texts."""
    logits = tagger.logits([text.text for text in held_out])
    calibration = fit_calibration(tagger.taxonomy, logits, held_out)
    scores = pooled_scores(tagger.taxonomy, calibration, logits)
    return replace(tagger, calibration=calibration, thresholds=fit_thresholds(tagger.taxonomy, scores, held_out))


def _export(run: Run, taxonomy: Taxonomy, folder: Path, texts: Sequence[LabelledText]) -> Tagger:
    """Write encoder, tokenizer, heads, lexicon, taxonomy and recipes; gives the tagger they make, not yet fitted."""
    network = load_network(run, taxonomy)
    config = run.config
    export_encoder(network.encoder, folder)
    shutil.copyfile(run.folder / "network" / "tokenizer.json", folder / "tokenizer.json")
    tensors = {name: value.numpy() for name, value in network.folded_heads().items()}
    heads = {
        level.name: AttentionHead(*(tensors[f"{level.name}.{part}"] for part in ("weight", "bias", "query")))
        for level in taxonomy.levels
    }
    save_file(tensors, folder / "heads.safetensors")
    write_json(folder / "taxonomy.json", taxonomy.source)
    recipe = find_recipe(config.recipe)
    lexicon = fit_lexicon(texts, taxonomy, find_recipe(config.lexicon.recipe), config.lexicon)
    save_file(lexicon.to_tensors(), folder / "lexicon.safetensors")
    write_json(folder / "normaliser.json", {"encoder": recipe.to_dict(), "lexicon": lexicon.recipe.to_dict()})
    window = min(config.window, network.encoder.config.max_position_embeddings)
    settings = {
        "prefix": config.prefix,
        "window": window,
        "overlap": config.overlap,
        "dimension": network.encoder.config.hidden_size,
        "pad_token": json.loads((run.folder / "network" / "tokenizer_config.json").read_text("utf-8"))["pad_token"],
        "network": {name: getattr(network.encoder.config, name) for name in _NETWORK_SETTINGS},
    }
    write_json(folder / "encoder.json", settings)
    tokenizer = WindowTokenizer.from_file(
        folder / "tokenizer.json", prefix=config.prefix, most_tokens=window, overlap=config.overlap
    )
    return Tagger(
        name="unfitted",
        taxonomy=taxonomy,
        recipe=recipe,
        encoder=OnnxEncoder(folder / "encoder.onnx", tokenizer),
        heads=heads,
        lexicon=lexicon,
        calibration=Calibration({level.name: Weights(1.0, 0.0, 0.0) for level in taxonomy.levels}),
        thresholds=Thresholds(
            {level.name: np.full(len(level.labels), 0.5, np.float32) for level in taxonomy.levels},
            taxonomy.levels[0].name,
            0.0,
        ),
    )
