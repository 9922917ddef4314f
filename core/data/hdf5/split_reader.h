#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/data/hdf5/hdf5_file.h"
#include "core/data/split.h"

namespace thaw {

class ReadableFile;

/// One split of one file, validated.
struct FileSplit {
  SampleFormat format;
  Split::Part part;
  Labels labels;
  std::vector<std::int64_t> offsets;  ///< text: first token of each sample and the end
  std::vector<std::int8_t> types;     ///< text pairs: of each token
  std::vector<std::int32_t> bytes;    ///< text that tells them: see Split::bytes
};

/// Reads and validates the splits of one HDF5 file.
///
/// Checked: which arrays there are, dtypes, shapes, sizes against file and memory before any memory
/// is taken, offsets, labels as Labels::objection has it, types, bytes. Not checked: labels against
/// the classes (they may be named by another file), and what is in the samples. Everything wrong is
/// an `InputError`.
class SplitReader {
 public:
  explicit SplitReader(const Hdf5File& file) : file_(file) {}

  /// Names of the HDF5 groups that are splits: train, validation, test, what else means one of
  /// them (see `split_meant`), and others with labels, of any kind, or text. Two that mean the same
  /// are an error.
  std::vector<std::string> names() const;
  FileSplit read(const std::string& name);

 private:
  Labels read_labels(const std::string& name) const;
  Labels read_text_labels(const std::string& name, const std::vector<std::int64_t>& offsets) const;
  std::vector<std::int8_t> read_types(const std::string& name, std::int64_t tokens) const;
  std::vector<std::int32_t> read_bytes(const std::string& name, std::int64_t samples) const;
  /// Of one each: numbers int32, `count` of them.
  std::vector<std::int32_t> read_column(const std::string& name, std::int64_t count,
                                        const char* one) const;
  void read_text(const std::string& name, FileSplit& split);
  void read_images(const std::string& name, FileSplit& split);
  void set_values(Hdf5Dataset values, Split::Part& part);

  const Hdf5File& file_;
  std::map<std::string, std::shared_ptr<const ReadableFile>> files_;  // one descriptor a file
};

}  // namespace thaw
