#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "core/data/activations/activation_file.h"
#include "core/step/prefix/prefix_source.h"

namespace thaw {

class CheckedByteStore;
class PrefixRunner;

// Note [Bits of cached activations]
// What a network computes for a sample may depend on the others in its batch: how a matrix product
// adds up follows from the number of its rows. Measured on a Zen processor with the products that
// Thaw uses (LibTorch 2.11, 384 to 1,536 columns, 1 to 3,000 rows): in bfloat16 a row always has
// the same bits; in float32 oneDNN's depends on the number of rows (on its remainder by six; with
// 1,536 columns on nearly every number below 1,000), and MKL's on fewer than a dozen rows. oneDNN's
// convolutions give an image the same bits in any batch of two or more. So a cache cannot have the
// bits of a run without one everywhere, since a batch is composed anew in each epoch.
//   What is cached is therefore computed in blocks of the split, in the split's order (see
// PrefixRunner): the same bits whatever the batches, the number of ranks, the seed or the schedule,
// and the same again where a damaged piece, or the whole file, is made anew. So two runs with the
// cache on agree to the bit, a resumed one too, and `train.reduction = "canonical"` keeps its
// promise.
//   Whether they are the bits of a run without a cache is found out before: forwards of other
// compositions are compared with a block's rows, bit by bit (probe_prefix). `auto` uses a cache
// only where all are equal, so that its clock never decides about bits. `on` also where they are
// equal to rounding alone, and says so. For images the numbers that forwards have are known and
// few, and all are compared; for texts they are samples of many.
// Threads, instructions, kinds of processor and device, LibTorch and program are part of the key.

/// Outputs of frozen groups from a file; see Note [Bits of cached activations]. A piece that is not
/// as it was written is computed again.
class CachedPrefix final : public PrefixSource {
 public:
  /// `runner` is borrowed. The file is one that `spec` describes.
  CachedPrefix(std::size_t boundary, ActivationSpec spec, const ActivationFile::Opened& opened,
               const PrefixRunner& runner);
  ~CachedPrefix() override;

  std::size_t boundary() const override { return boundary_; }
  at::Tensor hidden(const Batch& batch) const override;
  /// Of these samples, one after another.
  at::Tensor read(const std::vector<std::int64_t>& samples) const;

 private:
  void compute(std::int64_t offset, std::int64_t size, std::byte* memory) const;

  std::size_t boundary_;
  ActivationSpec spec_;
  const PrefixRunner& runner_;
  std::unique_ptr<CheckedByteStore> store_;
};

}  // namespace thaw
