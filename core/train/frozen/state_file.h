#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

namespace thaw {

/// A file's bytes in this process's memory as far as they are read, and only then. The file lasts
/// as long as this does.
class StateMapping {
 public:
  /// Throws RunError, naming the file.
  StateMapping(const std::filesystem::path& path, std::size_t size);
  ~StateMapping();
  StateMapping(const StateMapping&) = delete;
  StateMapping& operator=(const StateMapping&) = delete;

  char* at(std::size_t offset) const { return static_cast<char*>(bytes_) + offset; }
  bool holds(const void* place) const {
    return place >= bytes_ && place < static_cast<const char*>(bytes_) + size_;
  }
  /// Lets go of memory that holds what was read; who reads again reads the file.
  void let_go();

 private:
  void* bytes_ = nullptr;
  std::size_t size_ = 0;
};

/// Tensors that lie in a file, not to be written to; they keep it.
struct FileTensors {
  std::vector<at::Tensor> tensors;  ///< on the host
  std::shared_ptr<StateMapping> mapping;
};

/// Writes `tensors` (of at least one byte together, wherever they lie) to a file in `folder` that
/// has no name as soon as this returns, so that nothing is left behind however the process ends.
/// Throws RunError, naming the file, the system's reason, and what to do where that is known.
FileTensors written_to_file(const std::filesystem::path& folder,
                            const std::vector<at::Tensor>& tensors);

}  // namespace thaw
