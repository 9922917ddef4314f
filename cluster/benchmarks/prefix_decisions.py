#!/usr/bin/env python3
"""Whether `train.prefix-cache = "auto"` decides right, over a grid of cases that are measured.

A case is a family (a small and a MiniLM-sized encoder, a CIFAR ResNet, a small Llama, from scratch
on random data), the groups that one stage trains, and its epochs: many passes over a deep prefix,
where a cache wins, few passes or a prefix of next to nothing, where it loses, and those between.
Each is run with "off", "on" and "auto", each time from an empty folder, so that seconds have in
them what finding out and making the files takes; sides take turns at going first. "auto" is right
where it chose the faster way, or where both are as good as equal. Cases whose two ways are close
are run again, all three sides, and judged by medians.

In float32 on a CPU "auto" never reads files, since bits would change (whatever they spare): such
cases are told of and not counted. What there is so far is written after each case.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import case_series, datasets, options, report, thaw_command  # noqa: E402
from measuring.processes import RunFailed  # noqa: E402
from measuring.rounds import note  # noqa: E402

OFF, ON, AUTO = "off", "on", "auto"
SIDES = (OFF, ON, AUTO)
LAYERS = 6
VOCABULARY = 4096
EQUAL = 0.02  # ways that differ by less, of the faster one, are as good
CLOSE = 0.1  # those that differ by less are run again
WANTED = 0.95  # share of cases that are to be right


def encoder(width: int, heads: int) -> dict:
    return {
        "model_type": "bert", "hidden_size": width, "num_hidden_layers": LAYERS,
        "num_attention_heads": heads, "intermediate_size": 4 * width, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "initializer_range": 0.02, "vocab_size": VOCABULARY, "pad_token_id": 0,
    }


LLAMA = {
    "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 128,
    "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 384, "max_position_embeddings": 256, "tie_word_embeddings": False,
}
# Architecture, its options, its config.json, its data, lengths of texts, samples of a batch.
FAMILIES = {
    "bert": ("bert", {"pooling": "mean"}, encoder(128, 4), "texts", (16, 64), 16),
    "resnet": ("resnet-cifar", {"depth": 20}, None, "images-32", (0, 0), 16),
    "llama": ("llama", {}, LLAMA, "language", (24, 96), 8),
    "minilm": ("bert", {"pooling": "mean"}, encoder(384, 12), "texts", (8, 32), 16),
}
HEAD, UPPER, HALF, REST = "head", "upper", "half", "all but the first"
# Of a family, in an order in which any first so many have some of everything. One pass is not even
# looked at, so it is there only where a cache would cost little and where it would cost much.
KINDS = [(HEAD, 4), (REST, 2), (HALF, 2), (UPPER, 4), (HEAD, 1), (HALF, 4), (REST, 4), (UPPER, 2),
         (HEAD, 2), (HALF, 1)]  # fmt: skip
NUMBERS = re.compile(r"samples to come: ([\d.e+-]+ \w+) without, ([\d.e+-]+ \w+) with\b")


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "prefix-decisions.json")
    add = parser.add_argument
    add("--families", type=options.listed, default=",".join(FAMILIES))
    add("--cases", type=int, default=40, help="of the grid, at most")
    add("--steps", type=int, default=56, help="of an epoch; auto looks at runs of 100 and more")
    add("--again", type=int, default=2, help="more rounds of cases whose two ways are close")
    add("--minutes", type=float, default=0, help="after which no case is begun; 0: no limit")
    add("--precision", default="bfloat16", help="in which auto may read files on a CPU")
    given = options.settle(parser.parse_args())
    if unknown := set(given.families) - set(FAMILIES):
        raise SystemExit(f"--families: {', '.join(sorted(unknown))} is none of "
                         f"{', '.join(FAMILIES)}")
    if given.quick:
        given.cases, given.again = 3, 0
    return given


def grid(given: argparse.Namespace) -> list[dict]:
    """Families take turns, and each begins elsewhere among the kinds."""
    cases = []
    for turn in range(len(KINDS)):
        for place, family in enumerate(given.families):
            trained, epochs = KINDS[(turn + 3 * place) % len(KINDS)]
            cases.append({"family": family, "trained": trained, "epochs": epochs})
    return cases[: given.cases]


def name_of(case: dict) -> str:
    return f"{case['family']}, {case['trained']}, {case['epochs']}"


def groups_of(case: dict) -> list[str]:
    """What the stage trains; all before it is the frozen prefix."""
    kind = {HEAD: 0, UPPER: 1, HALF: 2, REST: 3}[case["trained"]]
    if case["family"] == "resnet":
        layers, end = ["layer1", "layer2", "layer3"], ["head"]
        count = kind
    else:
        name = "layers" if case["family"] == "llama" else "encoder"
        layers = [f"{name}.{i}" for i in range(LAYERS)]
        end = ["norm", "head"] if case["family"] == "llama" and kind else ["head"]
        count = (0, 2, 3, LAYERS)[kind]
    return [*layers[len(layers) - count :], *end]


def configure(case: dict, side: str, given: argparse.Namespace) -> tuple[str, str]:
    """An empty folder for a run, and its configuration."""
    architecture, model, description, data, lengths, batch = FAMILIES[case["family"]]
    named = re.sub(r"\W+", "-", name_of(case))
    folder = os.path.join(given.work, "prefix-decisions", f"{named}-{side}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    samples = given.steps * batch
    file = os.path.join(given.work, "data", f"decisions-{case['family']}-{samples}.h5")
    sections = {
        "model": {"architecture": architecture, "weights": "", **model},
        "data": {
            # Without a validation split there is one decision a stage, and no evaluation.
            "file": datasets.random_file(file, data, {"train": samples}, lengths, VOCABULARY),
            "batch": batch,
        },
        "train": {
            "precision": given.precision,
            "threads": given.threads,
            "prefix-cache": side,
            "prefix-cache-folder": os.path.join(folder, "cache"),
        },
        "checkpoint": {"every-steps": -1},
    }
    if description is not None:
        path = os.path.join(folder, "config.json")
        with open(path, "w") as stream:
            json.dump(description, stream)
        sections["model"]["config"] = path
    stage = {"name": "stage", "groups": groups_of(case), "learning-rate": 1e-4,
             "until": {"epochs": case["epochs"]}}  # fmt: skip
    return folder, thaw_command.write_configuration(folder, sections, [stage])


def seconds_in(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]


def decision(lines: list[dict]) -> dict:
    """What the log's lines on the training split come to: the way that was chosen, None where it
    was not chosen by cost, what was said, and seconds of the prefix as told without and with."""
    lines = [line for line in lines if line["split"] == "train"]
    if not lines:
        return {"chosen": OFF, "said": "not looked at: too few steps or passes"}
    (line,) = lines
    told = {}
    if match := NUMBERS.search(line["text"]):
        told = {"told": [seconds_in(each) for each in match.groups()]}
    if line["used"]:
        return {"chosen": ON, "said": line["text"], **told}
    by_cost = "it would not pay" in line["text"]
    return {"chosen": OFF if by_cost else None, "said": line["text"], **told}


def run(case: dict, side: str, given: argparse.Namespace) -> dict:
    """Seconds of the stage, all that it begins with included, and what was decided."""
    folder, config = configure(case, side, given)
    trained = thaw_command.train(options.command(given), config, folder,
                                 {"OMP_NUM_THREADS": str(given.threads)}, given.timeout)
    (stage,) = trained["summary"]["stages"]
    found = decision(thaw_command.events(trained["run_folder"], "prefix-cache"))
    shutil.rmtree(os.path.join(folder, "cache"), ignore_errors=True)
    if side != AUTO and found["chosen"] != side:
        raise RunFailed(f"{name_of(case)}: \"{side}\" was not kept: {found['said']}")
    return {"seconds": stage["seconds"], **found}


def add_round(case: dict, first: int, given: argparse.Namespace) -> None:
    """One more run of each side, beginning with the one at `first`."""
    first %= len(SIDES)
    for side in SIDES[first:] + SIDES[:first]:
        case["runs"][side].append(run(case, side, given))
    case.update(judged(case["runs"]))


def judged(runs: dict[str, list[dict]]) -> dict:
    """By medians; what most of auto's runs chose counts as its choice."""
    off, on, auto = (statistics.median(one["seconds"] for one in runs[side]) for side in SIDES)
    chosen = statistics.mode(one["chosen"] for one in runs[AUTO])
    apart = max(off, on) / min(off, on) - 1
    faster = ON if on < off else OFF
    return {
        "seconds": {OFF: off, ON: on, AUTO: auto},
        "chosen": chosen,
        "faster": faster,
        "apart": apart,
        "right": None if chosen is None else chosen == faster or apart < EQUAL,
        "cost": auto / off - 1,
    }


def measure(given: argparse.Namespace, keep) -> tuple[list[dict], list[dict]]:
    """The cases, close ones once more, and those that failed, as far as time goes; `keep` is called
    after each with both."""
    done, failed = [], []
    ends = time.monotonic() + 60 * given.minutes if given.minutes > 0 else float("inf")

    def attempt(case: dict, number: int) -> bool:
        try:
            add_round(case, number, given)
        except (RunFailed, OSError, ValueError, KeyError) as error:
            failed.append({**case, "error": f"{type(error).__name__}: {error}"})
            note(f"{name_of(case):<32} FAILED: {error}")
            return False
        seconds = case["seconds"]
        note(f"{name_of(case):<32} " + "  ".join(f"{side} {seconds[side]:6.2f}" for side in SIDES)
             + f" s  chose {case['chosen']}" + (": WRONG" if case["right"] is False else ""))
        return True

    def time_is_up() -> bool:
        return time.monotonic() > ends

    for number, case in enumerate(grid(given)):
        if time_is_up():
            break
        case["runs"] = {side: [] for side in SIDES}
        if attempt(case, number):
            done.append(case)
        keep(done, failed)
    for again in range(given.again):
        for number, case in enumerate(list(done)):
            if case["apart"] >= CLOSE or time_is_up():
                continue
            if not attempt(case, number + 1 + again):
                done.remove(case)
            keep(done, failed)
    if time_is_up():
        note(f"{given.minutes:g} minutes are up")
    return done, failed


def told_and_found(case: dict) -> str:
    """Seconds that the cache was to spare, and those that it did."""
    told = [one["told"] for one in case["runs"][AUTO] if "told" in one]
    found = case["seconds"][OFF] - case["seconds"][ON]
    if not told:
        return f"- / {found:+.2f}"
    return f"{statistics.median(one[0] - one[1] for one in told):+.2f} / {found:+.2f}"


def table(cases: list[dict]) -> str:
    rows = []
    for case in cases:
        seconds = case["seconds"]
        rows.append([
            name_of(case), str(len(case["runs"][OFF])), *(f"{seconds[side]:.2f}" for side in SIDES),
            told_and_found(case), case["chosen"] or "-", f"{100 * case['cost']:+.1f}",
            {True: "yes", False: "NO", None: "-"}[case["right"]],
        ])
    return report.markdown_table(
        ["family, trained, epochs", "rounds", *(f"{side} s" for side in SIDES),
         "spares s, told / found", "chosen", "auto costs %", "right"], rows)


def verdict(cases: list[dict]) -> str:
    counted = [case for case in cases if case["right"] is not None]
    lines = []
    if counted:
        right = [case for case in counted if case["right"]]
        apart = [case for case in counted if case["apart"] >= EQUAL]
        clear = [case for case in apart if case["right"]]
        holds = "yes" if len(right) >= WANTED * len(counted) else "NO"
        reads = sum(case["faster"] == ON for case in apart)
        lines.append(
            f"right in {len(right)} of {len(counted)} cases, "
            f"{100 * len(right) / len(counted):.0f} % (wanted {100 * WANTED:.0f} %: {holds}); "
            f"of the {len(apart)} whose two ways differ by "
            f"{100 * EQUAL:.0f} % or more in {len(clear)}: reading is faster in {reads} of them, "
            f"running the prefix in {len(apart) - reads}")
        cost = [case["cost"] for case in counted]
        worst = max(counted, key=lambda case: case["cost"])
        lines.append(
            f"auto beside off: median {100 * statistics.median(cost):+.1f} %, worst "
            f"{100 * worst['cost']:+.1f} % ({name_of(worst)}); "
            f"more than {100 * EQUAL:.0f} % slower in {sum(one > EQUAL for one in cost)}")
    if others := [case for case in cases if case["right"] is None]:
        lines.append(f"{len(others)} were not decided by cost, and are not counted: "
                     f"{others[0]['runs'][AUTO][0]['said']}")
    for case in counted:
        if case["right"]:
            continue
        lines.append(f"wrong: {name_of(case)}: chose {case['chosen']}; off "
                     f"{case['seconds'][OFF]:.2f} s, on {case['seconds'][ON]:.2f} s; "
                     f"{case['runs'][AUTO][-1]['said']}")
    return "\n".join(lines)


def main() -> None:
    given = parse()
    title = f"# Decisions of train.prefix-cache = \"auto\", {given.precision}"
    case_series.run(title, given, measure, (table, verdict), name_of)


if __name__ == "__main__":
    main()
