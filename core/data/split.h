#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/data/labels.h"

namespace thaw {

class ByteStore;
class Hdf5Dataset;
struct SampleSource;

enum class DataKind { kText, kImages };

/// What all samples of a dataset have in common.
struct SampleFormat {
  DataKind kind = DataKind::kText;
  std::int64_t channels = 0;  ///< images
  std::int64_t height = 0;    ///< images
  std::int64_t width = 0;     ///< images
  bool bytes = false;         ///< images: uint8, else float32
  bool pairs = false;         ///< text: of which each token has a type, as in pairs of texts
  bool counts_bytes = false;  ///< text: that tells the bytes behind what counts: Split::bytes
  friend bool operator==(const SampleFormat&, const SampleFormat&) = default;

  /// Bytes of an element in the file: 4 (tokens, float32) or 1.
  std::int64_t element_bytes() const { return kind == DataKind::kImages && bytes ? 1 : 4; }
  /// Elements of an image.
  std::int64_t image_elements() const { return channels * height * width; }
  /// Whether images have more likely their channels behind height and width, as most programs hold
  /// them, than so many channels of so few columns.
  bool looks_channels_last() const;
  /// `text`, `text pairs`, `text with bytes`, `images of 3 x 32 x 32 bytes`, …
  std::string describe() const;
};

/// Called now and then while chunked data is decoded: what (file and HDF5 dataset), bytes done,
/// bytes in all; at the start and at the end too. On the thread that decodes, with HDF5's lock
/// free.
using DecodeProgress =
    std::function<void(const std::string& what, std::int64_t done, std::int64_t total)>;

/// Where chunked data goes when it has been decoded: see Note [Chunked data].
struct DataCacheOptions {
  /// `auto`: memory where that is cheap, else a file in a folder of this user's below $TMPDIR;
  /// `memory`; `off`: decode whole chunks again and again; anything else: files in that folder.
  std::string mode = "auto";
  /// Processes of this host that open the same data.
  int local_processes = 1;
  DecodeProgress progress = nullptr;
};

/// One split (`train`, `validation`, `test`) of a dataset: the samples of all its files, in order.
///
/// Labels, the lengths of samples, token types and bytes are in memory; what is in the samples is
/// read on demand, after `prepare`. Reading is thread-safe; `prepare` is not.
class Split {
 public:
  /// The split's samples in one file. Exactly one of `store` and `chunked` is given.
  struct Part {
    std::string name;    ///< of file and HDF5 dataset, for people: `a.h5: /train/tokens`
    std::string layout;  ///< likewise: `contiguous`, `chunks of 64 x 3 x 8 x 8, gzip`
    std::int64_t samples = 0;
    std::shared_ptr<const ByteStore> store;           ///< reads them; of chunked data once prepared
    std::shared_ptr<const Hdf5Dataset> chunked;       ///< what `prepare` has to make readable
    std::shared_ptr<const SampleSource> source = {};  ///< null: in several files, or in none
  };

  /// `labels`, `offsets` (text: first token of each sample and the end, N + 1; images: empty),
  /// `types` (pairs: of each token) and `bytes` (see there) are those of all parts joined.
  Split(std::string name, SampleFormat format, std::vector<Part> parts, Labels labels,
        std::vector<std::int64_t> offsets, std::vector<std::int8_t> types = {},
        std::vector<std::int32_t> bytes = {});
  ~Split();
  Split(const Split&) = delete;
  Split& operator=(const Split&) = delete;

  const std::string& name() const { return name_; }
  const SampleFormat& format() const { return format_; }

  /// Samples; > 0.
  std::int64_t size() const { return labels_.size(); }
  const Labels& labels() const { return labels_; }
  /// Text: first token of each sample and the end, [N + 1]. Images: empty.
  std::span<const std::int64_t> offsets() const { return offsets_; }
  /// Pairs: the type of each token of all samples: 0 in the first text, 1 in the second. Else
  /// empty.
  std::span<const std::int8_t> types() const { return types_; }
  /// Text whose file tells them: the UTF-8 bytes of the text behind each sample's counted tokens
  /// (Note [Counted tokens]), for bits a byte. Else empty.
  std::span<const std::int32_t> bytes() const { return bytes_; }
  /// Elements (tokens, or the values of an image) of sample `index`.
  std::int64_t elements(std::int64_t index) const {
    return first_element(index + 1) - first_element(index);
  }
  /// Elements of the longest sample: what a text model's positions must hold.
  std::int64_t longest() const;
  /// Text whose samples differ in length.
  bool is_ragged() const;
  /// Text: the largest token of all samples: what a vocabulary must hold. Reads all samples (about
  /// a second a gigabyte), so ask on one rank. Throws `InputError` for a negative token. Needs
  /// `prepare`.
  std::int64_t largest_token() const;

  /// Other labels for the same samples.
  void relabel(Labels labels) { labels_ = std::move(labels); }

  /// Makes samples readable. Contiguous data is at once; chunked data is decoded as `cache` says.
  /// A second call does nothing. Throws `InputError` where that is impossible.
  void prepare(const DataCacheOptions& cache);
  bool prepared() const;

  /// Copies the elements of `samples`, one sample after another as they lie in the file (int32
  /// tokens; uint8 or float32 images, CHW), to `memory`, which must hold them. Needs `prepare`.
  /// Throws `RunError`.
  void read(std::span<const std::int64_t> samples, std::byte* memory) const;

  /// Where samples of one block are cheap to read together, because the data is decoded again and
  /// again (cache off): the first sample of each block, and size(). Empty where any order of
  /// reading costs the same. Known after `prepare`.
  const std::vector<std::int64_t>& blocks() const { return blocks_; }

  /// Where the samples come from, a source a file; nothing where a stamp of files does not tell
  /// that they are the same as before: they lie in memory, or elsewhere than in the file itself.
  std::optional<std::vector<SampleSource>> sources() const;

  /// The split that these samples were chosen from (see narrow_split); itself, where all were.
  const Split& whole() const { return whole_ ? whole_->whole() : *this; }
  /// Says so.
  void chosen_from(std::shared_ptr<const Split> whole) { whole_ = std::move(whole); }

  /// One line for people: size, layouts, and after `prepare` how they are read.
  std::string describe() const;

 private:
  std::int64_t first_element(std::int64_t sample) const {
    return offsets_.empty() ? sample * image_elements_ : offsets_[sample];
  }
  std::size_t part_of(std::int64_t sample) const;
  std::vector<std::int64_t> find_blocks() const;
  void append_blocks(std::size_t part, std::vector<std::int64_t>& blocks) const;

  std::string name_;
  SampleFormat format_;
  std::int64_t image_elements_;
  std::vector<Part> parts_;
  std::vector<std::int64_t> part_first_;  // first sample of each part, and size()
  Labels labels_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int8_t> types_;
  std::vector<std::int32_t> bytes_;
  std::vector<std::int64_t> blocks_;
  std::shared_ptr<const Split> whole_;
};

}  // namespace thaw
