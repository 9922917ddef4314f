"""`thaw check --ranks N` tells what a run then takes: never less than the peak that it reports, and
not much more, for an encoder, a ResNet and a decoder, whole and sharded. And what ragged batches take
of it."""

import json
import pathlib
import re
import unittest

from command_fixture import CommandTest, h5py, np, require

RANKS = 2
SHARDING = ("none", "gradients")
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
COLUMNS = ("program", "weights", "gradients", "state", "activations", "buffers", "sum")
VOCABULARY = 8000


def stages(upper, everything):
    return "".join(f"""
[[schedule.stage]]
name = "{name}"
groups = {json.dumps(groups)}
learning-rate = 1e-4
until = {{ steps = 12 }}
""" for name, groups in (("upper", upper), ("all", everything)))


def has_avx2():
    try:
        return " avx2" in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


class Memory(CommandTest):
    # Told to taken. Runs of the same command differ by 1 or 2 % of the whole, trials do too, and what
    # is told of texts has room for that (kRoomOfRanks); activations told twice are far more.
    most = 1.2

    def told(self, *flags, ranks=RANKS):
        """Stage -> column -> bytes."""
        text = self.thaw("check", self.config, "--ranks", ranks, *flags).stdout
        rows = {}
        for line in text.splitlines():
            cells = re.split(r"\s{2,}", line.strip())
            parts = [cell.split() for cell in cells[1:]]
            if len(parts) == len(COLUMNS) and all(p[-1] in UNITS for p in parts):
                rows[cells[0]] = dict(zip(COLUMNS, (float(number) * UNITS[unit]
                                                    for number, unit in parts), strict=True))
        self.assertEqual(set(rows), {"upper", "all"}, text)
        table, _, notes = text.partition("of memory on each of")
        for line in [*table.splitlines()[-4:], *notes.splitlines()[1:-1]]:
            self.assertLessEqual(len(line), 80, line)
        return rows

    def assert_told(self):
        for sharding in SHARDING:
            flags = ("--distributed.sharding", sharding)
            told = self.told(*flags)
            self.thaw("train", self.config, "--run-dir", sharding, *flags, ranks=RANKS)
            for row in self.summary(sharding)["stages"]:
                stage, peak = row["name"], row["peak_memory_bytes"]
                expected = told[stage]["sum"]
                place = f"{stage}, {sharding}: told {expected:.0f}, took {peak}"
                self.assertGreaterEqual(expected * 1.0005, peak, place)  # but for its digits
                self.assertLessEqual(expected, self.most * peak, place)
        whole, shared = (self.told("--distributed.sharding", sharding) for sharding in SHARDING)
        self.assertLess(shared["all"]["state"], 0.6 * whole["all"]["state"])

    def test_of_an_encoder(self):
        self.texts(train=200, vocabulary=VOCABULARY)
        self.write("config.json", json.dumps({
            "model_type": "bert", "hidden_size": 256, "num_hidden_layers": 4,
            "num_attention_heads": 8, "intermediate_size": 1024, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
            "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
            "initializer_range": 0.02, "vocab_size": VOCABULARY, "pad_token_id": 0}))
        self.config = self.bert_config(
            schedule=stages(["encoder.[23]", "head"], ["*"]), extra="threads = 1")
        self.assert_told()

    def buffers_told(self, *flags):
        """Of a single rank, which has no room for what a trial does not show: the same each time."""
        return {stage: row["buffers"] for stage, row in self.told(*flags, ranks=1).items()}

    def test_checkpoints_within_a_stage_hold_its_own_state(self):
        self.config = self.decoder(100, VOCABULARY, 8, stages(["layers.[23]", "norm"], ["*"]),
                                   hidden_size=128, num_hidden_layers=4, intermediate_size=384)
        state = {stage: row["state"] for stage, row in self.told(ranks=1).items()}
        weights = self.told(ranks=1)["all"]["weights"]
        none, between, within = (self.buffers_told("--checkpoint.every-steps", every)
                                 for every in (-1, 0, 5))
        digits = 0.3e6
        self.assertAlmostEqual(between["upper"], none["upper"], delta=digits)
        self.assertAlmostEqual(between["all"] - none["all"], weights + state["upper"], delta=digits)
        for stage in none:
            self.assertAlmostEqual(within[stage] - none[stage], weights + state[stage],
                                   delta=digits, msg=stage)
        self.assertGreater(state["all"], state["upper"] + 4 * digits)

    def test_a_source_task_takes_its_network_and_the_start_weights(self):
        self.config = self.decoder(100, VOCABULARY, 8, stages(["layers.[23]", "norm"], ["*"]),
                                   hidden_size=128, num_hidden_layers=4, intermediate_size=384)
        without = self.buffers_told()
        row = self.told("--retention.data", "prompts.h5", "--retention.weights", "w", ranks=1)
        for stage, buffers in without.items():
            self.assertAlmostEqual(row[stage]["buffers"] - buffers, 2 * row[stage]["weights"],
                                   delta=0.3e6, msg=stage)

    def test_of_a_resnet(self):
        self.most = 1.15  # images are of one size: there is no such room
        self.images(train=100, size=32)
        self.config = self.resnet_config(
            stages=stages(["layer3", "head"], ["*"]), extra="threads = 1")
        self.assert_told()

    def decoder(self, train, vocabulary, batch, stages_text, **config):
        """Prompts of 20 to 59 tokens and a decoder from scratch; the name of its configuration."""
        generator = np.random.default_rng(1)
        with h5py.File(self.folder / "prompts.h5", "w") as file:
            for split, count in (("train", train), ("validation", 20)):
                lengths = generator.integers(20, 60, count)
                group = file.create_group(split)
                group["tokens"] = generator.integers(0, vocabulary, lengths.sum()).astype(np.int32)
                group["offsets"] = np.cumsum([0, *lengths]).astype(np.int64)
                group["prompt_lengths"] = generator.integers(1, 9, count).astype(np.int32)
        self.write("config.json", json.dumps({
            "model_type": "llama", "vocab_size": vocabulary, "num_attention_heads": 8,
            "num_key_value_heads": 4, "max_position_embeddings": 64, "tie_word_embeddings": True,
            **config}))
        return self.write("decoder.toml", f"""
[model]
config = "config.json"
weights = ""
[data]
file = "prompts.h5"
batch = {batch}
[train]
threads = 1
{stages_text}
""").name

    def test_of_a_decoder(self):
        self.config = self.decoder(100, VOCABULARY, 16, stages(["layers.[23]", "norm"], ["*"]),
                                   hidden_size=256, num_hidden_layers=4, intermediate_size=768)
        self.assert_told()

    @unittest.skipUnless(has_avx2(), "without AVX2 oneDNN writes other code")
    def test_numbers_of_rows_that_do_not_come_again_take_none(self):
        every = """
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-4
until = { steps = 60 }
"""
        config = self.decoder(240, 300, 4, every,
                              hidden_size=384, num_hidden_layers=1, intermediate_size=768)
        found = {}
        for capacity in ("", "1024"):  # "": what the program bounds it to; oneDNN's own
            environment = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": capacity} if capacity else {}
            run = f"run-{capacity}"
            self.thaw("train", config, "--run-dir", run, environment=environment)
            (row,) = self.summary(run)["stages"]
            found[capacity] = row["peak_memory_bytes"], [step["loss"] for step in self.metrics(run)]
        (bounded, losses), (unbounded, same) = found.values()
        self.assertEqual(losses, same)
        self.assertLess(bounded + (30 << 20), unbounded)

if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
