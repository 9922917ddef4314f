#!/usr/bin/env python3
"""Stands in for `thaw` in the benchmarks' tests: reads a configuration and leaves the files that a
run leaves, with figures that tests can recompute. THAW_FAKE=fail makes it fail."""

import json
import os
import sys
import tomllib


def train(config: str, run_dir: str) -> None:
    with open(config, "rb") as stream:
        parsed = tomllib.load(stream)
    (stage,) = parsed["schedule"]["stage"]
    os.makedirs(run_dir)
    count = stage["until"]["steps"]
    with open(os.path.join(run_dir, "metrics.jsonl"), "w") as stream:
        print(json.dumps({"event": "transition", "step": 0, "stage": stage["name"]}), file=stream)
        for step in range(1, count + 1):
            seconds = {"total": step / 1000, "data": 0, "compute": 1, "communication": 0}
            line = {"event": "step", "step": step, "loss": 4.0, "seconds": seconds}
            print(json.dumps(line), file=stream, flush=True)
    summary = {"steps": count, "seconds": 1.5, "stages": []}
    flops = {"forward": 1.0, "input_gradients": 1.0, "weight_gradients": 1.0}
    stage = {"peak_memory_bytes": 1 << 20, "transition_seconds": 0.01, "flops_per_sample": flops}
    summary["stages"].append(stage)
    with open(os.path.join(run_dir, "summary.json"), "w") as stream:
        json.dump(summary, stream)


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print("thaw of the tests")
    elif os.environ.get("THAW_FAKE") == "fail":
        sys.exit("thaw: this one fails")
    elif sys.argv[1] == "train":
        train(sys.argv[2], sys.argv[4])
    else:
        print(json.dumps({"split": sys.argv[-1], "loss": 0.5, "accuracy": 0.75}))


if __name__ == "__main__":
    main()
