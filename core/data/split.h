#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/data/data_cache.h"

namespace thaw {

class ByteStore;
class Hdf5Dataset;

enum class DataKind { kText, kImages };

/// What all samples of a dataset have in common.
struct SampleFormat {
  DataKind kind = DataKind::kText;
  std::int64_t channels = 0;  ///< images
  std::int64_t height = 0;    ///< images
  std::int64_t width = 0;     ///< images
  bool bytes = false;         ///< images: uint8, else float32
  friend bool operator==(const SampleFormat&, const SampleFormat&) = default;

  /// Bytes of an element in the file: 4 (tokens, float32) or 1.
  std::int64_t element_bytes() const { return kind == DataKind::kImages && bytes ? 1 : 4; }
  /// Elements of an image.
  std::int64_t image_elements() const { return channels * height * width; }
};

/// One split (`train`, `validation`, `test`) of a dataset: the samples of all its files, in order.
///
/// Labels and the lengths of samples are in memory; what is in the samples is read on demand, after
/// `prepare`. Reading is thread-safe; `prepare` is not.
class Split {
 public:
  /// The split's samples in one file.
  struct Part {
    std::string file;
    std::string values;        ///< name of the dataset that holds the samples: /train/tokens
    std::string layout;        ///< for people: `contiguous`, `chunks of 64 x 3 x 8 x 8, gzip`
    bool contiguous = false;   ///< readable where it lies in the file
    std::int64_t address = 0;  ///< contiguous: where in the file the first sample begins
    std::int64_t samples = 0;
    std::int64_t elements = 0;    ///< of all samples
    std::int64_t block_rows = 0;  ///< chunked: rows of a row of chunks (a row is a token, an image)
    std::int64_t file_bytes = 0;  ///< size of the file when it was opened
    std::int64_t modified = 0;    ///< its time of modification when it was opened, nanoseconds
  };

  /// `labels` and `offsets` (text: first element of each sample and the end, N + 1; images: empty)
  /// are those of all parts joined.
  Split(std::string name, SampleFormat format, std::vector<Part> parts,
        std::vector<std::int64_t> labels, std::vector<std::int64_t> offsets);
  ~Split();
  Split(const Split&) = delete;
  Split& operator=(const Split&) = delete;

  const std::string& name() const { return name_; }
  const SampleFormat& format() const { return format_; }
  const std::vector<Part>& parts() const { return parts_; }

  /// Samples; > 0.
  std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }
  std::span<const std::int64_t> labels() const { return labels_; }
  /// Elements (tokens, or the values of an image) of sample `index`.
  std::int64_t elements(std::int64_t index) const;
  /// Elements of the longest sample: what a text model's positions must hold.
  std::int64_t longest() const;
  /// Largest token of all samples: what a text model's vocabulary must hold. Reads all samples the
  /// first time (about a second a gigabyte), so ask on one rank. Throws `InputError` for a negative
  /// token. Needs `prepare`.
  std::int64_t largest_token() const;

  /// Makes samples readable. Contiguous data is at once; chunked data is decoded as `cache` says.
  /// A second call does nothing. Throws `InputError` where that is impossible.
  void prepare(const DataCacheOptions& cache);
  bool prepared() const { return !stores_.empty(); }

  /// Copies the elements of `samples`, one sample after another as they lie in the file (int32
  /// tokens; uint8 or float32 images, CHW), to `memory`, which must hold them. Needs `prepare`.
  void read(std::span<const std::int64_t> samples, std::byte* memory) const;

  /// Samples that are cheap to read together, where the data is decoded again and again
  /// (cache off): the first sample of each block, and size(). Empty where any order costs the same.
  const std::vector<std::int64_t>& blocks() const { return blocks_; }

  /// One line: samples, layout, and after `prepare` how they are read.
  std::string describe() const;

 private:
  std::int64_t first_byte(std::int64_t sample) const;
  std::size_t part_of(std::int64_t sample) const;
  void make_blocks();

  std::string name_;
  SampleFormat format_;
  std::vector<Part> parts_;
  std::vector<std::int64_t> labels_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int64_t> part_first_sample_;  // of each part, and size()
  std::vector<std::int64_t> part_first_byte_;    // of each part
  std::vector<std::unique_ptr<ByteStore>> stores_;
  std::vector<std::int64_t> blocks_;
  mutable std::int64_t largest_token_ = -1;
};

}  // namespace thaw
