"""The trainings of runs_test.py: families of models with sizes that train in milliseconds, what is learnt,
and a row for each training."""

import dataclasses

import numpy as np

STAGES = {
    "bert": ("head", "encoder.1,head", "*"),
    "roberta": ("head", "encoder.1,head", "*"),
    "modernbert": ("head", "encoder.1,head", "*"),
    "resnet-cifar": ("head", "layer3,head", "*"),
    "resnet": ("head", "layer4,head", "*"),
    "vit": ("head", "encoder.1,head", "*"),
    "dinov2": ("head", "encoder.1,head", "*"),
    "convnext": ("head", "stages.1.*,head", "*"),
    "efficientnet-lite0": ("head", "blocks.15,head", "*"),
    "distilbert": ("head", "*", "*"),
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "vocab_size": 300, "max_position_embeddings": 40,
         "pad_token_id": 1}
TEXTS = {  # by family, besides BERT its config.json
    "bert": None,
    "roberta": dict(SIZES, model_type="roberta", type_vocab_size=1),
    "modernbert": dict(SIZES, model_type="modernbert", local_attention=8, mlp_dropout=0.1,
                       attention_dropout=0.1, global_attn_every_n_layers=2),
    "distilbert": {"model_type": "distilbert", "dim": 32, "n_layers": 2, "n_heads": 4,
                   "hidden_dim": 64, "vocab_size": 300, "max_position_embeddings": 40,
                   "pad_token_id": 0},
}
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
       "patch_size": 8, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
VISION = {  # the same; None: it has one form
    "vit": VIT | {"model_type": "vit", "intermediate_size": 64, "num_channels": 3,
                  "hidden_act": "gelu", "layer_norm_eps": 1e-12},
    "dinov2": VIT | {"model_type": "dinov2_with_registers", "mlp_ratio": 2,
                     "num_register_tokens": 2, "drop_path_rate": 0.1},
    "convnext": {"model_type": "convnext", "hidden_sizes": [8, 12], "depths": [1, 2],
                 "patch_size": 2, "drop_path_rate": 0.1, "layer_scale_init_value": 0.5},
    "efficientnet-lite0": None,
}
CLASSES = ("labels", lambda n: n.astype(np.int64))
SEVERAL = ("multi-label", lambda n: np.stack([n % 2, n > 2, n == 5], 1).astype(np.uint8))
NUMBERS = ("regression", lambda n: np.stack([n - 2.5, 9 - n * n], 1).astype(np.float32))
TAGS = ("token-classification", None)  # a class of four a token, but of each text's first


@dataclasses.dataclass(frozen=True)
class Row:
    """What is trained how; `ranks` says on how many GPUs, `every` on which it can be, `target` what is
    learnt."""

    name: str
    family: str
    flags: tuple = ()
    ranks: tuple = (2,)
    target: tuple = CLASSES
    preset: str = ""
    every: tuple = (1, 2, 4)


EACH = (1, 2, 4)
LOCAL = ("--train.batch-norm", "local")
ROWS = (
    Row("float32", "bert", ranks=EACH),
    Row("bfloat16", "bert", ("--train.precision", "bfloat16"), EACH),
    Row("float64", "bert", ("--train.precision", "float64")),
    Row("float32", "resnet-cifar", LOCAL, EACH),
    Row("bfloat16", "resnet-cifar", (*LOCAL, "--train.precision", "bfloat16")),
    Row("float64", "resnet-cifar", (*LOCAL, "--train.precision", "float64")),
    Row("float32", "resnet", LOCAL),
    Row("bfloat16", "roberta", ("--train.precision", "bfloat16", "--model.pooling", "cls")),
    Row("float32", "modernbert"),
    Row("bfloat16", "modernbert", ("--train.precision", "bfloat16")),
    Row("bfloat16", "distilbert", ("--train.precision", "bfloat16")),
    Row("bfloat16", "vit", ("--train.precision", "bfloat16")),
    Row("float32", "dinov2"),
    Row("bfloat16", "dinov2", ("--train.precision", "bfloat16")),
    Row("bfloat16", "convnext", ("--train.precision", "bfloat16")),
    Row("bfloat16, synchronized statistics", "efficientnet-lite0",
        ("--train.precision", "bfloat16")),
    Row("synchronized statistics", "resnet-cifar", ranks=EACH),
    Row("synchronized statistics, bfloat16", "resnet-cifar", ("--train.precision", "bfloat16")),
    Row("augmentation", "resnet-cifar", (*LOCAL, "--data.crop-padding", "2",
                                         "--data.horizontal-flip", "true")),
    Row("running statistics of frozen layers", "resnet-cifar",
        (*LOCAL, "--train.frozen-batch-norm", "update"), ranks=(1,), every=(1,)),
    # What is learnt.
    Row("several classes", "bert", target=SEVERAL),
    Row("numbers", "bert", target=NUMBERS, ranks=(1,)),
    Row("numbers of images", "resnet-cifar", LOCAL, target=NUMBERS),
    Row("tags", "bert", ("--train.precision", "bfloat16"), target=TAGS),
    # How.
    Row("sgd", "bert", ("--train.optimizer", "sgd", "--train.nesterov", "true")),
    Row("lion", "bert", ("--train.optimizer", "lion"), ranks=(1,)),
    Row("clipping", "bert", ("--train.clip-norm", "1"), EACH),
    Row("micro-batches", "bert", ("--train.micro-batch", "3")),
    Row("recomputation", "bert", ("--train.gradient-checkpointing", "true")),
    Row("skipped steps", "bert", ("--train.not-finite", "skip", "--train.clip-norm", "1")),
    Row("no dropout", "bert", ("--model.dropout", "0", "--model.attention-dropout", "0"), (1,)),
    Row("dropout of frozen layers", "bert", ("--train.frozen-dropout", "on"), (1,)),
    Row("no dropout, bfloat16", "bert", ("--train.precision", "bfloat16", "--model.dropout", "0",
                                         "--model.attention-dropout", "0"), (1,)),
    Row("fast draws of attention", "bert", ("--train.precision", "bfloat16",
                                            "--train.attention-dropout-draws", "fast"), EACH),
    Row("first token", "bert", ("--model.pooling", "cls", "--train.label-smoothing", "0.1")),
    Row("no overlap", "bert", ("--distributed.overlap", "off")),
    Row("overlap", "bert", ("--distributed.overlap", "on", "--distributed.bucket-bytes", "4096"),
        (2, 4), every=(2, 4)),
    Row("rounded gradients", "bert", ("--distributed.wire", "bfloat16"), EACH),
    Row("fast convolutions", "resnet-cifar", ("--train.tf32", "true",
                                              "--train.cudnn-benchmark", "true")),
    Row("dense gradients of embeddings", "bert", ("--distributed.embedding-rows", "off")),
    Row("sharded optimizer state", "bert", ("--distributed.sharding", "optimizer",
                                            "--train.clip-norm", "1"), (2, 4), every=(2, 4)),
    Row("sharded gradients", "bert", ("--distributed.sharding", "gradients",
                                      "--distributed.bucket-bytes", "4096",
                                      "--checkpoint.every-steps", "1",
                                      "--distributed.audit-every", "1"), (2, 4), every=(2, 4)),
    Row("sharded state, skipped steps", "bert", ("--distributed.sharding", "optimizer",
                                                 "--train.not-finite", "skip"), every=(2, 4)),
    Row("deterministic", "bert", ("--train.deterministic", "true")),
    # In which order.
    Row("bottom-up", "bert", preset="bottom-up", ranks=(1,)),
    Row("chain-thaw", "bert", preset="chain-thaw", ranks=(1,)),
    Row("freeze-out", "bert", ("--schedule.total-steps", "8"), preset="freeze-out"),
    Row("random", "bert", ("--schedule.policy-every-steps", "2", "--schedule.total-steps", "6"),
        preset="random"),
    Row("auto-freeze", "bert", ("--schedule.policy-every-steps", "2", "--schedule.total-steps", "6"),
        preset="auto-freeze"),
    Row("auto-rgn", "bert", ("--schedule.policy-every-steps", "2", "--schedule.total-steps", "6"),
        preset="auto-rgn"),
    Row("gradient-guided", "bert", ("--schedule.policy-every-steps", "2",
                                    "--schedule.total-steps", "6"), preset="gradient-guided"),
    # What is kept.
    Row("checkpoints at each step", "bert", ("--checkpoint.every-steps", "1",
                                             "--distributed.audit-every", "1"), EACH),
    Row("checkpoints while training waits", "resnet-cifar",
        (*LOCAL, "--checkpoint.every-steps", "1", "--checkpoint.asynchronous", "false")),
)
