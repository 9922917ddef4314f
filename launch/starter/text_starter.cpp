#include "launch/starter/starter.h"

namespace thaw {

namespace {

constexpr const char* kTextConfiguration =
    R"(# A class for a text, learnt from a table of texts and their classes. README.md beside this file has
# the commands, in their order; `@thaw@ train --help-config` tells every option there is.

[model]                               # the architecture is what config.json says it is
weights = "@model@/model.safetensors"
config = "@model@/config.json"
tokenizer = "@model@/tokenizer.json"  # the one that README.md makes the data with
pooling = "mean"                      # of the tokens' vectors to one for the text; or "cls"
head = "new"                          # random; as many outputs as the data has classes

[data]
file = "data.h5"
batch = 32                            # over all ranks together: more ranks do not change the run

[train]
optimizer = "adamw"
weight-decay = 0.01
clip-norm = 1.0

# The head first, then two more layers a stage, from the last ones down; what was thawed stays
# trainable. `@thaw@ schedule text.toml` writes these stages out, to be edited;
# `@thaw@ compare text.toml --schedules full,head-only,top-down` finds out which serves best.
[schedule]
preset = "top-down"
groups-per-stage = 2
embeddings = "never"                  # these stay as they are
stage-epochs = 1
head-learning-rate = 1e-3
learning-rate = 1e-4

[output]
run-dir = "run"
)";

constexpr const char* kTextReadMe = R"(# A class for a text

Type these in this folder, in this order.

@no-model?0. A model to begin with: a Hugging Face folder of a text encoder (`config.json`,
@no-model?   `model.safetensors`, `tokenizer.json`) in `model`, which `text.toml` names:
@no-model?
@no-model?   ```sh
@no-model?   hf download sentence-transformers/all-MiniLM-L6-v2 config.json model.safetensors \
@no-model?       tokenizer.json --local-dir model
@no-model?   ```
@no-model?
1. The data. @data@ is a table with a head (.csv, .tsv or .jsonl): a column of texts, here
   `@text@`, and one of their classes, here `@label@`. A tenth of it is kept for validation.

   ```sh
   @prepare@ text --train @data@ --validation-fraction 0.1 \
       --text-column @text@ --label-column @label@ \
       --tokenizer @model@/tokenizer.json --max-tokens 64 --output data.h5
   ```

2. Whether all fits, and what each stage trains and costs:

   ```sh
   @thaw@ check text.toml
   ```

3. Training. Ctrl-C saves and stops; the same command goes on.

   ```sh
   @thaw@ train text.toml
   ```

4. What came of it, and what it says of a text:

   ```sh
   @thaw@ inspect run
   @thaw@ evaluate run --split validation
   @thaw@ predict run --text "a text of your own"
   ```
)";

}  // namespace

Starter text_starter() {
  return {
      .name = "text",
      .model_folder = "data/minilm",
      .data = "train.csv",
      .text_column = "text",
      .label_column = "label",
      .configuration = kTextConfiguration,
      .read_me = kTextReadMe,
  };
}

}  // namespace thaw
