#include "launch/starter/starter.h"

namespace thaw {

namespace {

constexpr const char* kLanguageConfiguration =
    R"(# A language model learns to answer prompts as the examples of a table do. README.md beside this
# file has the commands, in their order; `@thaw@ train --help-config` tells every option there is.

[model]                               # the architecture is what config.json says it is
weights = "@model@/model.safetensors"
config = "@model@/config.json"
tokenizer = "@model@/tokenizer.json"  # the one that README.md makes the data with

[data]
file = "data.h5"
batch = 16                            # over all ranks together: more ranks do not change the run

[train]
optimizer = "adamw"
weight-decay = 0.01
clip-norm = 1.0

# The last layers first, then further ones before them; what was thawed stays trainable.
# `@thaw@ schedule language.toml` writes these stages out, to be edited.
[schedule]
preset = "top-down"
groups-per-stage = 8
embeddings = "never"                  # these stay as they are
stage-epochs = 1
learning-rate = 2e-4
curve = "linear"                      # falls to 0 within each stage

[output]
run-dir = "run"
)";

constexpr const char* kLanguageReadMe = R"(# A language model that answers

Type these in this folder, in this order.

@no-model?0. A model to begin with: a Hugging Face folder of a language model (`config.json`,
@no-model?   `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`) in `model`, which
@no-model?   `language.toml` names:
@no-model?
@no-model?   ```sh
@no-model?   hf download HuggingFaceTB/SmolLM2-135M-Instruct config.json model.safetensors \
@no-model?       tokenizer.json tokenizer_config.json --local-dir model
@no-model?   ```
@no-model?
1. The data. @data@ is a table (.jsonl, .csv, .tsv) with a column of prompts, here `@text@`, and
   one of what is to be written behind them, here `@label@`. A tenth of it is kept for validation.

   ```sh
   @prepare@ completion --train @data@ --validation-fraction 0.1 \
       --prompt-column @text@ --completion-column @label@ \
       --tokenizer @model@/tokenizer.json --max-tokens 256 --output data.h5
   ```

2. Whether all fits, and what each stage trains and costs:

   ```sh
   @thaw@ check language.toml
   ```

3. Training. Ctrl-C saves and stops; the same command goes on.

   ```sh
   @thaw@ train language.toml
   ```

4. What came of it, and what it writes:

   ```sh
   @thaw@ inspect run
   @thaw@ evaluate run --split validation
   @thaw@ generate run --prompt "a prompt of your own"
   ```
)";

}  // namespace

Starter language_starter() {
  return {
      .name = "language",
      .model_folder = "data/smollm2",
      .data = "train.jsonl",
      .text_column = "prompt",
      .label_column = "completion",
      .configuration = kLanguageConfiguration,
      .read_me = kLanguageReadMe,
  };
}

}  // namespace thaw
