"""What fuzzing starts from: for each target a few inputs, and words that its inputs are made of.

Both are taken from the project's own texts, so that a new option or a new dtype is among them.
"""

import json
import pathlib
import re
import struct

ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUIRED = 'model.architecture = "bert"\ndata.file = "a.h5"\n'


def read(pattern):
    return "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern)))


def literals(pattern):
    """Strings of C++ sources that look like a name or a value."""
    return sorted(set(re.findall(r'"([A-Za-z_][\w./-]{0,40})"', read(pattern))))


def configuration():
    texts = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("configs/*.toml"))]
    texts += re.findall(r"```toml\n(.*?)```", read("README.md"), re.DOTALL)
    for folder in ("config", "schedule"):  # what the unit tests read, sound and unsound
        texts += re.findall(r'R"\((.*?)\)"', read(f"tests/core/{folder}/*.cpp"), re.DOTALL)
    inputs = [text if "architecture" in text else REQUIRED + text for text in texts]
    inputs.append(REQUIRED + 'schedule.preset = "top-down"\nschedule.learning-rate = 1e-3\n'
                  "\x01--train.optimizer=sgd\n--data.batch\n8\n"
                  "--schedule.stage.head.until.epochs=2\n--schedule.learning-rate=1e-2")
    inputs.append(REQUIRED + "mod\u00e9l = 1\n")
    syntax = ["[[schedule.stage]]", "\n", " = ", "{ ", " }", "[", "]", '"', '"""', "'''", "\\u0000",
              "1e-3", "1e308", "nan", "inf", "-1", "9223372036854775807", "0x7f", "true",
              "1979-05-27", "#", "\x01--"]
    words = literals("core/config/*.cpp") + literals("core/schedule/*.cpp") + syntax
    return [text.encode() for text in inputs], words


def safetensors():
    header = {"__metadata__": {"format": "pt"},
              "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
              "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
              "c": {"dtype": "I64", "shape": [0, 7], "data_offsets": [26, 26]}}
    text = json.dumps(header).encode()
    bare = json.dumps({"a": {"dtype": "U8", "shape": [300], "data_offsets": [0, 300]}}).encode()
    inputs = [struct.pack("<Q", len(text)) + text + bytes(26),
              b"\x01" + struct.pack("<H", 26) + text, b"\x01" + struct.pack("<H", 300) + bare,
              b"\x01\0\0{}", struct.pack("<Q", 1 << 63) + b"{"]
    return inputs, literals("core/models/weights/safetensors_header.cpp") + [
        '":{"', '"},"', "[", "]", "0", "18446744073709551615", "9223372036854775807", "-1", "1e9"]


def manifest():
    files = ["state.json", "config.resolved.toml", "shard-0-of-2.safetensors",
             "shard-1-of-2.safetensors"]
    body = {"format": "thaw checkpoint", "version": 1, "step": 500, "transition": True,
            "epoch": 0.5, "stage": "upper", "evaluation_loss": 0.25, "ranks": 2,
            "written": "2026-01-01T00:00:00Z", "thaw": "0.1.0",
            "files": [{"name": name, "bytes": 17, "checksum": "a" * 32} for name in files],
            "checksum": "0" * 32}
    one = dict(body, ranks=1, files=[{"name": name, "bytes": 1, "checksum": ""} for name in
                                     (*files[:2], "shard-0-of-1.safetensors")])
    del one["evaluation_loss"]
    inputs = [(json.dumps(each, indent=1) + "\n").encode() for each in (body, one)]
    return inputs, literals("core/checkpoint/manifest.cpp") + files + [
        "1048576", "2147483648", "-1", "1e400", "null", "true", "[]", "{}", "\\ud800", "../"]


def dataset():
    """Choices of tests/fuzz/odd_hdf5_file.cpp: bytes without a form."""
    return [bytes((7 * i * k + i) % 256 for i in range(200)) for k in range(1, 9)], []


def json_files():
    """As tests/fuzz/json_fuzz.cpp takes them apart: a byte for the reader, and the file's text."""
    config = {"model_type": "bert", "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2,
              "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 40,
              "type_vocab_size": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12,
              "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "classifier_dropout": None}
    index = {"metadata": {"total_size": 12},
             "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (state,) = re.findall(r'R"\((.*?)\)"', read("tests/core/train/training_state_test.cpp"),
                          re.DOTALL)
    evaluation = {"event": "evaluation", "step": 12, "epoch": 1.0, "stage": "head",
                  "split": "validation", "loss": 0.5, "accuracy": 0.75, "samples": 8,
                  "trained_samples": 96, "training_seconds": 1.5, "training_flops": 1e9}
    log = [{"event": "transition", "step": 0, "epoch": 0.0, "stage": "head", "stage_index": 0,
            "curve_steps": 12, "groups": {"head": {"parameters": 10, "learning_rate": 0.1}}},
           {"event": "step", "step": 1, "epoch": 0.1, "stage": "head", "loss": 1.25},
           {"event": "skipped", "step": 2, "epoch": 0.2, "stage": "head", "loss": None},
           evaluation, {"event": "checkpoint", "step": 12}, dict(evaluation, step=24),
           {"event": "end", "step": 24}]
    metrics = "".join(json.dumps(line) + "\n" for line in log)
    summary = json.dumps({"stages": [{"samples": 96, "training_seconds": 1.5, "flops": 1e9}],
                          "retention": {"forgetting": 0.1, "before": {"accuracy": 0.5}}})
    tokenizer = json.dumps({"version": "1.0", "truncation": {"direction": "Left"}, "padding": None,
                            "model": {"vocab": [["\u2581a", -9.8], ["b", 1e-7]], "unk_id": 0}})
    llama = {"model_type": "qwen2", "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
             "use_sliding_window": True, "sliding_window": 8,
             "layer_types": ["full_attention", "sliding_attention"],
             "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                              "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}
    gpt2 = {"model_type": "gpt2", "vocab_size": 400, "n_embd": 32, "n_layer": 2, "n_head": 4,
            "n_positions": 64, "n_inner": None, "activation_function": "gelu_new"}
    roberta = dict(config, model_type="roberta", pad_token_id=1)
    distilbert = {"model_type": "distilbert", "vocab_size": 400, "dim": 32, "n_layers": 2,
                  "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 40,
                  "activation": "gelu", "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False}
    modernbert = {"model_type": "modernbert", "vocab_size": 400, "hidden_size": 32,
                  "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
                  "pad_token_id": 3, "local_attention": 8, "global_attn_every_n_layers": 2,
                  "layer_types": ["full_attention", "sliding_attention"],
                  "rope_parameters": {"full_attention": {"rope_type": "default",
                                                         "rope_theta": 160000.0},
                                      "sliding_attention": {"rope_theta": 10000.0}}}
    vit = {"model_type": "dinov2_with_registers", "hidden_size": 32, "num_hidden_layers": 2,
           "num_attention_heads": 4, "mlp_ratio": 4, "use_swiglu_ffn": True, "image_size": [28, 42],
           "patch_size": 14, "num_channels": 3, "num_register_tokens": 4, "hidden_act": "gelu"}
    convnext = {"model_type": "convnext", "hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2,
                "patch_size": 4, "layer_scale_init_value": 1e-6, "drop_path_rate": 0.1}
    description = {"version": "0.1.0", "architecture": "bert", "options": {"pooling": "cls"},
                   "settings": {"hidden_act": "gelu"}, "task": "classification",
                   "classes": ["a", "b"], "one_class_a_sample": True, "outputs": 2,
                   "tokens": {"max_tokens": "32"}, "mean": [0.5], "std": [0.25]}
    seconds = {"total": 0.5, "data": 0.1, "compute": 0.3, "communication": 0.1}
    story = "".join(json.dumps(line) + "\n" for line in [
        *log[:1], dict(log[1], seconds=seconds, samples=8, bytes_reduced=40,
                       learning_rates={"head": 0.1}),
        {"event": "resume", "step": 1, "epoch": 0.1, "stage": "head", "ranks": 2, "path": "a"},
        {"event": "checkpoint", "step": 1, "epoch": 0.1, "stage": "head", "bytes": 100},
        evaluation, {"event": "end", "step": 24, "epoch": 2.0, "seconds": 3.5}])
    lease = ("thaw-lease 1\ncount 00000000000000000007\nstate held\nowner 0123\nhost node\n"
             "system boot\nprocess 12\nstarted 34\njob 5\n")
    texts = [json.dumps(config), json.dumps(index), state, metrics, metrics,
             metrics + "\x01" + summary, tokenizer, json.dumps(llama), json.dumps(gpt2), json.dumps(roberta),
             json.dumps(distilbert), json.dumps(modernbert), json.dumps(vit),
             json.dumps(convnext), json.dumps(description), story, lease, "PAR1"]
    inputs = [bytes([kind]) + text.encode() for kind, text in enumerate(texts)]
    return inputs, literals("core/models/*/*_config.cpp") + literals(
        "core/models/weights/model_description.cpp") + literals(
        "launch/kept_run/run_story.cpp") + literals(
        "core/models/huggingface/*.cpp") + literals(
        "core/record/run_*.cpp") + literals("core/train/training_state.cpp") + literals(
        "core/schedule/schedule_state_json.cpp") + literals("core/record/report_json.cpp") + [
        "weight_map", "null", "true", "-1", "1e400", "9223372036854775808", "[", "]", "{}", "\n",
        "\\ud800", "../"]


SUBJECTS = {"configuration": configuration, "safetensors": safetensors, "manifest": manifest,
            "json": json_files, "dataset": dataset}


def write(subject, corpus, dictionary):
    """Puts the subject's inputs into the folder `corpus`, its words into the file `dictionary`."""
    inputs, words = SUBJECTS[subject]()
    for number, data in enumerate(inputs):
        (corpus / f"start-{number:03}").write_bytes(data)
    quoted = ["".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words]
    dictionary.write_text("".join(f'"{word}"\n' for word in quoted), encoding="utf-8")
