#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace thaw {

class BatchUpload;
struct DeviceRows;
struct ImageScale;
struct SizeClass;

/// Some samples of one split, as a model takes them. On the host.
///
/// Text: `inputs` int64 [T], the tokens of all samples one after another, without padding;
/// `offsets` int64 [n + 1], the first token of each; of pairs also `types` int64 [T]. Images:
/// `inputs` float32 [n, C, H, W], normalised and augmented, channels-last in memory; `offsets`
/// undefined. For a GPU images are uint8 where the file's are, as it has them, to be normalised
/// there by `scale`.
///
/// `offsets` and `bytes` stay on the host when the rest goes to a GPU.
struct Batch {
  at::Tensor inputs;
  at::Tensor offsets;
  at::Tensor types;                   ///< of pairs' tokens: 0 in the first text, 1 in the second
  at::Tensor labels;                  ///< int64 [n]; uint8 [n, C]; float32 [n, K]: see Labels
  bool labels_of_tokens = false;      ///< then `labels` are int64 [T]: of each token
  bool labels_of_prompts = false;     ///< then they are the lengths of prompts: see CountedRows
  at::Tensor bytes;                   ///< of text that tells them: see Split::bytes; int64 [n]
  std::vector<std::int64_t> samples;  ///< index in the split of each, [n]
  std::int64_t epoch = 0;
  /// Of text that is filled up (Note [Size classes]), else null: its last `fillers` samples are
  /// nobody's, and labels know nothing of them.
  std::shared_ptr<const SizeClass> size_class;

  std::shared_ptr<const ImageScale> scale;    ///< of images that are bytes; else null
  std::shared_ptr<const BatchUpload> upload;  ///< of the whole batch, where one was started
  /// Of a batch on a GPU: what kernels read of its rows. Null where it did not come in one upload.
  std::shared_ptr<const DeviceRows> rows;

  std::int64_t size() const { return static_cast<std::int64_t>(samples.size()); }
  /// Samples that are somebody's.
  std::int64_t counted() const;
  /// Samples [first, last) of this batch; tensors are views (offsets are rebased), and travel
  /// by themselves.
  Batch slice(std::int64_t first, std::int64_t last) const;
};

}  // namespace thaw
