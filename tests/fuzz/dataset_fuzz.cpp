// Data files: valid HDF5 in which anything may be odd (odd_hdf5_file.h). Thaw opens and reads it
// all, or says what is wrong; and what it took for a data set keeps the promises of its interface.

#include <hdf5.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/counted_tokens.h"
#include "core/data/dataset.h"
#include "core/data/hdf5/trial_reading.h"
#include "tests/fuzz/odd_hdf5_file.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

/// The path of a file of this process's own, in memory where that can be; the same for all inputs.
/// (A memfd will not do: HDF5 asks for its real path.)
const std::string& scratch_file() {
  static const std::string path = [] {
    const char* folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    return std::string(folder) + "/thaw-dataset-fuzz-" + std::to_string(getpid()) + ".h5";
  }();
  static const int registered = std::atexit([] { unlink(path.c_str()); });
  require(registered == 0);
  return path;
}

void read_all(const thaw::Split& split) {
  std::vector<std::byte> memory;
  require(split.size() > 0);
  for (std::int64_t sample = 0; sample < split.size(); ++sample) {
    require(split.elements(sample) > 0);
    require(split.elements(sample) <= split.longest());
    memory.resize(split.elements(sample) * split.format().element_bytes());
    split.read(std::vector<std::int64_t>{sample}, memory.data());
  }
}

void read_dataset(const std::string& path, const char* cache) {
  thaw::Dataset dataset({path});
  for (const std::string& name : dataset.split_names()) {
    thaw::Split& split = dataset.split(name);
    split.prepare({.mode = cache});
    require(split.prepared());
    require(split.labels().size() == split.size() &&
            split.labels().objection(split.offsets()).empty());
    if (split.labels().type() == thaw::LabelType::kClass) {
      for (const std::int64_t label : split.labels().classes()) {
        require(label < static_cast<std::int64_t>(dataset.classes().size()));
      }
    }
    if (split.labels().type() == thaw::LabelType::kTokens) {
      require(std::ssize(split.labels().tokens().classes) == split.offsets().back());
      for (const std::int32_t label : split.labels().tokens().classes) {
        require(label < static_cast<std::int32_t>(dataset.classes().size()));
      }
    }
    require(split.bytes().empty() || std::ssize(split.bytes()) == split.size());
    if (thaw::counted_tokens(split).tokens == 0) {
      require(split.labels().type() < thaw::LabelType::kPrompts);
    }
    read_all(split);
    if (split.format().kind == thaw::DataKind::kText) split.largest_token();
  }
  require(!dataset.describe().empty());
  dataset.fingerprint();
}

enum class Verdict { kAccepted, kRefused, kUnreadable };

/// What `body` makes of the file: only the two errors of Thaw's own may leave it.
template <class Body>
Verdict verdict_of(const Body& body) {
  try {
    body();
    return Verdict::kAccepted;
  } catch (const thaw::InputError& error) {
    require(*error.what() != '\0');
    return Verdict::kRefused;
  } catch (const thaw::RunError&) {
    return Verdict::kUnreadable;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string& path = scratch_file();
  thaw::write_odd_hdf5_file(path, data, size);
  const Verdict trial = verdict_of([&] { thaw::read_on_trial(path, [](const std::string&) {}); });
  require(trial != Verdict::kUnreadable);
  // Decoded again and again, what cannot be read shows only then.
  const bool decoded_at_once = size % 2 == 0;
  const Verdict reading =
      verdict_of([&] { read_dataset(path, decoded_at_once ? "memory" : "off"); });
  require(!decoded_at_once || reading != Verdict::kUnreadable);
  // Nobody accepts what the trial refused; what it let pass can be read, if Thaw wants it.
  require(reading != (trial == Verdict::kRefused ? Verdict::kAccepted : Verdict::kUnreadable));
  require(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0);
  return 0;
}
