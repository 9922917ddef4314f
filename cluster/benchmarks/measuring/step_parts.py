"""Where the time of a step went, from what the program step_parts wrote on each rank."""

from __future__ import annotations

import glob
import json

# Of a step, in seconds; together they are `step`.
PARTS = ("products", "attention", "element-wise", "optimizer", "communication", "idle")


def read(prefix: str) -> list[dict]:
    """What each rank wrote, in their order."""
    answers = []
    for path in glob.glob(glob.escape(prefix) + ".*.json"):
        with open(path) as stream:
            answers.append(json.load(stream))
    answers.sort(key=lambda answer: answer["rank"])
    ranks = [answer["rank"] for answer in answers]
    if not answers or ranks != list(range(answers[0]["ranks"])):
        raise SystemExit(f"{prefix}: ranks {ranks} left their times, and no others")
    return answers


def parts_of_step(ranks: list[dict]) -> dict[str, float]:
    """One step as each rank saw it, means over them.

    Communication is the least that a rank spent in it: who was longer there waited for the others,
    which is idle, as is waiting for data and what lies between the phases.
    """
    count = len(ranks)
    sums = {key: sum(rank[key] for rank in ranks) / count for key in ranks[0]}
    parts = {key: sums[key] for key in ("products", "attention", "optimizer")}
    computed = sums["forward"] + sums["backward"]
    parts["element-wise"] = computed - parts["products"] - parts["attention"]
    parts["communication"] = min(rank["reduction"] for rank in ranks)
    parts["idle"] = sums["seconds"] - sum(parts.values())
    return {"step": sums["seconds"], "limit": sums["limit"], **parts}


def parts_of(answers: list[dict], warm_up: int) -> dict[str, float]:
    """Means over the middle half of the measured steps by length, so that the parts add up and a
    disturbed step does not count."""
    measured = zip(*(answer["steps"][warm_up:] for answer in answers))
    steps = [parts_of_step(list(ranks)) for ranks in measured]
    steps.sort(key=lambda step: step["step"])
    quarter = len(steps) // 4
    middle = steps[quarter : len(steps) - quarter]
    return {key: sum(step[key] for step in middle) / len(middle) for key in middle[0]}


def operations_per_second(answers: list[dict]) -> float:
    """Of the limit, over all ranks."""
    rates = []
    for answer in answers:
        alone = sum(shape["times"] * shape["seconds_alone"] for shape in answer["shapes"])
        count = sum(shape["times"] * shape["operations"] for shape in answer["shapes"])
        rates.append(count / alone if alone else 0.0)
    return sum(rates)


def slowest(answers: list[dict], most: int) -> list[dict]:
    """Shapes of rank 0 that lose most time beside the limit: `shape`, `share` of the limit's rate,
    and `lost` of all that is lost."""

    def loss(shape: dict) -> float:
        return shape["seconds"] - shape["times"] * shape["seconds_alone"]

    shapes = sorted(answers[0]["shapes"], key=loss, reverse=True)
    total = sum(max(loss(shape), 0.0) for shape in shapes)
    return [
        {
            "shape": shape["shape"],
            "share": shape["times"] * shape["seconds_alone"] / shape["seconds"],
            "lost": loss(shape) / total,
        }
        for shape in shapes[:most]
        if loss(shape) > 0
    ]
