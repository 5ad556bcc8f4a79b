"""What each file of a run folder must hold, as shapes that `shapes.find_misfits` compares with."""

from typing import Any

from speechkit.report.shapes import AMOUNT, COUNT, LOSSY, NUMBER, MapOf, Row

SCHEMA = 1

_SKIPPED_STEPS = {"steps_nonfinite?": COUNT, "utterances?": MapOf(COUNT)}
_METRIC = {
    "value": (NUMBER, None),  # null: there was nothing to measure
    "ci95": ([NUMBER], None),  # null: the sample tells nothing of the spread
    "n": COUNT,
    "unit": str,
    "ci95_speakers?": ([NUMBER], None),
    "n_speakers?": COUNT,
}
_SUBSET = {"metrics": MapOf(_METRIC), "skipped": MapOf(COUNT), "n": COUNT, "seconds": AMOUNT}
_COMMIT = ({"hash": (str, None), "dirty": (bool, None)}, None)
_VERSIONS = MapOf((str, None))
# What an evaluation of a run's weights, later or on other data, has that the run has not.
_EVALUATION = {
    "name": str,
    "checkpoint": str,
    "weights_sha256": str,
    "recipe_changed": MapOf((bool, None)),
    "commit": _COMMIT,
    "versions": _VERSIONS,
    "device": str,
    "started": (str, NUMBER),
    "overrides": dict,
    "tuned?": {
        "weights": MapOf(NUMBER),
        "valid": {"n_utterances": COUNT, "ids_sha256": str, "commit": _COMMIT},
    },
}
# The numbers of each kernel of a layer of spectro-temporal filters; null: not finite.
_STRF = {name: [(NUMBER, None)] for name in ("direction", "modulation", "width_f", "width_t")}
_FILTERS = {
    "name": str,
    "n": COUNT,
    "trainable": bool,
    "moved_percent": {"median": (NUMBER, None), "largest": (NUMBER, None)},
    "correlation": {"median": (NUMBER, None), "smallest": (NUMBER, None)},
}
# How texts were found and scored.
_DECODING = {"normalization": str, "search": str, "tokenizer_sha256": (str, None)}

FORMATS: dict[str, Any] = {
    "run": {
        "schema": SCHEMA,
        "task": str,
        "dataset": (str, None),
        "recipe": (str, None),
        "seed": (COUNT, None),
        "hparams_sha256": str,
        "fingerprint": str,
        "commit": _COMMIT,
        "versions": _VERSIONS,
        "parameters": COUNT,
        "device": str,
        "started": (str, NUMBER),
        "overrides": dict,
        "recipe_sha256?": (MapOf((str, None)), None),
        "recipe_signature?": (str, None),
        "init_from?": ({"path": str, "checkpoint": str, "sha256": str}, None),
        "evaluation?": _EVALUATION,
        # Of the training, where it is speech; seconds in all, the longest, and what one in a hundred exceeds.
        "utterances?": ({"n": COUNT, "seconds": AMOUNT, "longest": AMOUNT, "percentile_99": AMOUNT}, None),
    },
    "step": {
        "kind": "step",
        "step": COUNT,
        "epoch": COUNT,
        "loss?": (LOSSY, None),  # none where every step since the last line was not finite
        "learning_rate": MapOf((NUMBER, None)),
        "gradient_norm?": (LOSSY, MapOf((LOSSY, None)), None),
        "time?": NUMBER,
    },
    "epoch": {
        "kind": "epoch",
        "epoch": COUNT,
        "step": COUNT,
        "train": MapOf((LOSSY, None)),
        "valid?": (MapOf((LOSSY, None)), None),
        "learning_rate": MapOf((NUMBER, None)),
        "best": bool,
        "skipped?": _SKIPPED_STEPS,
        "train_seconds": AMOUNT,
        "valid_seconds?": (AMOUNT, None),
        "time?": NUMBER,
    },
    "event": {"event": str, "time?": (NUMBER, str)},
    "model": {
        "schema": SCHEMA,
        "modules": [
            {
                "name": str,
                "class": str,
                "parameters": COUNT,
                "trainable": COUNT,
                "output_shape": (list, None),
                "multiply_adds": (COUNT, None),
                "input_shape?": (list, None),
                "hop_seconds?": AMOUNT,  # of modules that make frames
            }
        ],
        "parameters": COUNT,
        "trainable": COUNT,
        "multiply_adds": (COUNT, None),
        "input": ({"seconds": AMOUNT}, {"tokens": COUNT}),  # of speech, of text
    },
    "filters": {
        "schema": SCHEMA,
        "layers": [
            {
                "name": str,
                "kind": "strf",
                "kernel_size": {"bands": COUNT, "frames": COUNT},
                "carrier": ("cos", "sin", "both"),
                "trainable": bool,
                "start": _STRF,
                "end": _STRF,
            }
        ],
    },
    "record": {
        "id": str,
        "speaker?": (str, None),
        "group?": (str, None),
        "seconds": (AMOUNT, None),
        "audio?": (str, None),
        "reference": (str, None),
        "hypothesis": (str, None),
        "counts": (MapOf(NUMBER), None),
        "scores": (
            {
                **dict.fromkeys(("loss?", "probability?", "attention_loss?", "ctc_loss?"), (NUMBER, None)),
                "top?": ([list], None),
            },
            None,
        ),
        "skipped": (str, None),
    },
    "decoding": {"schema": SCHEMA, **_DECODING},
    "alignment": {
        "id": str,
        "kind": ("ctc", "attention"),
        "tokens": [str],
        "frame_seconds": AMOUNT,
        "largest": AMOUNT,
        "rows": [str],
        "spans?": ([Row((AMOUNT, AMOUNT))], None),  # of the tokens, in seconds
    },
    "clips": {
        "schema": SCHEMA,
        "clips": [
            {
                "subset": str,
                "id": str,
                "path": str,
                "sample_rate": COUNT,
                "seconds": AMOUNT,
                "part?": str,  # which of an utterance's signals: "mixture", "estimate 1", "reference 1"
            }
        ],
    },
    "report": {
        "schema": SCHEMA,
        "task": str,
        "dataset": (str, None),
        "subset": (str, None),
        "metrics": MapOf(_METRIC),
        "skipped": MapOf(COUNT),
        "subsets": MapOf(_SUBSET),
        "skipped_in_training": {"steps_nonfinite": COUNT, "utterances": MapOf(COUNT)},
        "parameters": COUNT,
        "trainable": (COUNT, None),
        "multiply_adds": (COUNT, None),
        "seconds": AMOUNT,
        "seconds_per_epoch": (AMOUNT, None),
        "n_epochs": COUNT,
        "best_epoch": (COUNT, None),
        "seed": (COUNT, None),
        "hparams_sha256": str,
        "fingerprint": str,
        "commit": _COMMIT,
        "versions": _VERSIONS,
        "device": str,
        "started": (str, NUMBER),
        "overrides": dict,
        "init_from?": {"checkpoint": str, "sha256": str},
        "evaluation?": _EVALUATION,
        "filters?": [_FILTERS],
        "decoding?": _DECODING,
    },
}

FORMATS["tuning"] = {
    "schema": SCHEMA,
    "subset": str,
    "checkpoint": str,
    "weights_sha256": str,
    "search_class": str,
    "search": str,  # as it was before
    "tuned_search": str,  # and by the best weights
    "normalization": (str, None),
    "overrides": dict,
    "commit": _COMMIT,
    "n_utterances": COUNT,
    "ids_sha256": str,
    "skipped": MapOf(COUNT),
    "n_words": COUNT,
    "best": MapOf(NUMBER),
    "trials": [{"weights": MapOf(NUMBER), "errors": COUNT, "character_errors": COUNT}],
}

_DIFFERENCE = {
    "value": (NUMBER, None),
    "ci95": ([NUMBER], None),
    "p_value": (NUMBER, None),
    "n": COUNT,
    "unit": str,
    "ci95_speakers?": ([NUMBER], None),
    "p_value_speakers?": (NUMBER, None),
    "n_speakers?": COUNT,
}
_SEEDS = {"value": (NUMBER, None), "ci95": ([NUMBER], None), "p_value": (NUMBER, None), "n": [COUNT]}
FORMATS["comparison"] = {
    "schema": SCHEMA,
    "task": str,
    "metric": (str, None),  # what is tested; null: no run has a figure
    "subset": (str, None),
    "baseline": str,
    "runs": [  # best first
        {
            "name": str,
            "settings": (MapOf((str, None)), None),  # of `keys`; null: no YAML is known
            **{key: FORMATS["report"][key] for key in ("dataset", "subset", "metrics", "parameters")},
            **{key: FORMATS["report"][key] for key in ("multiply_adds", "seconds", "n_epochs", "best_epoch")},
            **{key: FORMATS["report"][key] for key in ("seed", "commit", "device")},
            "n": COUNT,
        }
    ],
    "groups": [  # runs that differ in nothing but the seed, or one alone; best first
        {
            "name": str,
            "runs": [str],
            "metrics": MapOf(
                {
                    "mean": NUMBER,
                    "deviation": (NUMBER, None),
                    "ci95": ([NUMBER], None),
                    "n": COUNT,
                    "unit": str,
                }
            ),
            "parameters": COUNT,
            "seconds": AMOUNT,
        }
    ],
    "keys": [str],  # of the YAMLs, in which runs differ
    "differences": [
        {
            "name": str,
            "baseline": str,
            "difference": (_DIFFERENCE, None),
            "seeds": (_SEEDS, None),
            "matched_pairs": ({"n": COUNT, "p_value": (NUMBER, None)}, None),
            "verdict": ("better", "worse", "not shown", "not compared"),
            "note": (str, None),  # why not compared
        }
    ],
    "front": MapOf([str]),  # names of groups that none beats in both, by "parameters" and by "seconds"
}

FORMATS["folds"] = {
    "schema": SCHEMA,
    "task": str,
    "dataset": (str, None),
    "subset": str,
    "key": str,
    "runs": [
        {
            "name": str,
            "n": COUNT,
            "metrics": MapOf(_METRIC),
            **{
                key: FORMATS["report"][key]
                for key in ("parameters", "seconds", "n_epochs", "best_epoch", "seed", "commit", "skipped")
            },
            "hparams_sha256": str,
        }
    ],
    "failed": [str],
    "metrics": MapOf(
        {"unit": str, "mean": (NUMBER, None), "deviation": (NUMBER, None), "pooled": (_METRIC, None)}
    ),
    "seconds": AMOUNT,
    "versions": _VERSIONS,
    "device": str,
}

FORMATS["find_lr"] = {
    "schema": SCHEMA,
    "task": str,
    "dataset": (str, None),
    "n_steps": COUNT,  # asked for
    "rates": [AMOUNT],  # of the first optimizer, at each step taken
    "losses": [(NUMBER, None)],  # before the step; null: not finite
    "smoothed": [NUMBER],
    "ceiling": (NUMBER, None),  # losses above it count as that much
    "stopped": ("diverged", "not finite", "interrupted", None),
    "suggestion": (AMOUNT, None),  # where the smoothed loss falls fastest
    "tenth_of_lowest": (AMOUNT, None),  # a tenth of the rate where it is lowest
    "notes": [str],
    # By name: the rate of the YAML, and that one times the factor of the suggestion.
    "optimizers": MapOf({"given": AMOUNT, "suggestion": (AMOUNT, None)}),
    "hparams": str,
    **{key: FORMATS["run"][key] for key in ("seed", "hparams_sha256", "commit", "versions", "device")},
    "overrides": dict,
}

# Decibels of a mixture, means over its sources, and of one source; null: not defined, as for silence.
_DECIBELS = {
    **dict.fromkeys(("si_snr", "si_snri"), (NUMBER, None)),
    **dict.fromkeys(("sdr?", "sdri?", "pesq?", "stoi?"), (NUMBER, None)),
}
_EDITS = dict.fromkeys(("correct", "substitutions", "deletions", "insertions"), COUNT)

# What a task's records hold besides, where the utterance was not skipped.
TASK_RECORDS: dict[str, Any] = {
    "classification": {
        "reference": str,
        "hypothesis": str,
        "counts": {"correct": COUNT, "total": COUNT},
        "scores": {"top?": ([[(str, NUMBER, None)]], None)},
    },
    "asr": {
        "reference": str,
        "hypothesis": str,
        "alignment": [
            Row((("C", "S", "D", "I"), (str, None), (str, None)))
        ],  # of the reference, of the hypothesis
        "counts": (
            {**_EDITS, "words": COUNT, "characters": COUNT, "character_errors": COUNT},
            {**_EDITS, "phones": COUNT},
        ),
        "scores": {"loss?": (NUMBER, None)},
        "n_best?": [{"hypothesis": str, "score": (NUMBER, None)}],  # where a search has several results
        "words?": (
            [Row((str, AMOUNT, AMOUNT, (NUMBER, None)))],
            None,
        ),  # with their seconds and log-probability
    },
    "lm": {
        "reference": str,
        "counts": {"tokens": COUNT, "words": COUNT, "characters": COUNT},  # each with the end
        "scores": {"log_probability": (NUMBER, None)},
        "surprise": [Row((str, (NUMBER, None)))],  # bits of each word, and of the end
    },
    "separation": {
        "group?": (str, None),  # "same gender", "mixed gender"
        "counts": {"sources": COUNT},
        "scores": {**_DECIBELS, "input_si_snr?": (NUMBER, None)},
        "sources": [  # in the references' order, each with the number of its estimate, from 0
            {"speaker?": (str, None), "gender?": (str, None), "estimate": (COUNT, None), **_DECIBELS}
        ],
    },
}
