#include "launch/starter/starter.h"

namespace thaw {

namespace {

constexpr const char* kImagesConfiguration =
    R"(# A class for an image, learnt from a folder of images a class. README.md beside this file has the
# commands, in their order; `@thaw@ train --help-config` tells every option there is.

[model]
@model?weights = "@model@/model.safetensors" # the architecture is what config.json says it is
@model?config = "@model@/config.json"
@model?head = "new"                          # random; as many outputs as the data has classes
@no-model?architecture = "resnet-cifar"         # a small ResNet, for images of some 32 pixels a side
@no-model?depth = 20
@no-model?weights = ""                          # from scratch. Pre-trained ones serve better:
@no-model?                                      # `@thaw@ new images DIR --model FOLDER` takes a
@no-model?                                      # Hugging Face folder of a ResNet or a ViT

[data]
file = "data.h5"
batch = 32                            # over all ranks together: more ranks do not change the run
horizontal-flip = true                # half of the images, drawn anew each epoch

[train]
optimizer = "adamw"
weight-decay = 0.01

@model?# The head first, then the layers before it, a group a stage. `@thaw@ schedule images.toml` writes
@model?# these stages out, to be edited; `@thaw@ compare images.toml --schedules full,head-only,top-down`
@model?# finds out which schedule serves best.
@no-model?# Nothing is known before, so nothing is frozen. With pre-trained weights, preset = "top-down" thaws
@no-model?# the head first and then what lies before it.
[schedule]
@model?preset = "top-down"
@model?stage-epochs = 2
@model?head-learning-rate = 1e-3
@model?learning-rate = 1e-4
@no-model?preset = "full"
@no-model?total-epochs = 20
@no-model?learning-rate = 1e-3
curve = "cosine"                      # within each stage

[output]
run-dir = "run"
)";

constexpr const char* kImagesReadMe = R"(# A class for an image

Type these in this folder, in this order.

1. The data. @data@ is a folder with a folder of images for each class; a tenth of them is kept for
   validation. Every image is scaled to a shorter side of SIZE and cropped to a square.

   ```sh
@model?   @prepare@ images --train @data@ --validation-fraction 0.1 --size 224 \
@no-model?   @prepare@ images --train @data@ --validation-fraction 0.1 --size 32 \
       --rgb --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --output data.h5
   ```

2. Whether all fits, and what each stage trains and costs:

   ```sh
   @thaw@ check images.toml
   ```

3. Training. Ctrl-C saves and stops; the same command goes on.

   ```sh
   @thaw@ train images.toml
   ```

4. What came of it, and what it says of images:

   ```sh
   @thaw@ inspect run
   @thaw@ evaluate run --split validation
   @thaw@ predict run --images @data@
   ```
)";

}  // namespace

Starter images_starter() {
  return {
      .name = "images",
      .model_folder = "",
      .data = "images",
      .text_column = "",
      .label_column = "",
      .configuration = kImagesConfiguration,
      .read_me = kImagesReadMe,
  };
}

}  // namespace thaw
