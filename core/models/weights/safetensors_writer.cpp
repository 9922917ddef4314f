#include <ATen/core/grad_mode.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/models/weights/safetensors.h"

namespace thaw {
namespace {

/// A file written under a temporary name beside its place and renamed at the end. Without
/// `commit` the destructor removes it.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path) : path_(path) {
    // Unique among the processes of all hosts that share the folder; O_EXCL makes sure.
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    temporary_ = fmt::format("{}.{}-{:x}.tmp", path, ::getpid(), now);
    file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) {
      const int error = errno;
      throw RunError(fmt::format("{}: cannot write: {}", temporary_, std::strerror(error)));
    }
  }
  ~AtomicFile() {
    if (file_ >= 0) {
      ::close(file_);
    }
    if (!committed_) {
      ::unlink(temporary_.c_str());
    }
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t size) {
    const char* at = static_cast<const char*>(bytes);
    while (size > 0) {
      const ssize_t written = ::write(file_, at, size);
      if (written < 0 && errno == EINTR) {
        continue;
      }
      check(written > 0, "write");
      at += written;
      size -= static_cast<std::size_t>(written);
    }
  }

  void commit() {
    check(::fsync(file_) == 0, "flush");
    const int closed = ::close(std::exchange(file_, -1));
    check(closed == 0, "close");
    check(::rename(temporary_.c_str(), path_.c_str()) == 0, "rename");
    committed_ = true;
    flush_folder();
  }

 private:
  void check(bool good, const char* action) const {
    if (!good) {
      const int error = errno;
      throw RunError(fmt::format("{}: cannot {}: {}", path_, action, std::strerror(error)));
    }
  }

  /// Makes the rename itself survive a power cut; a file system that cannot is no error.
  void flush_folder() const {
    std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    const int opened =
        ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened >= 0) {
      ::fsync(opened);
      ::close(opened);
    }
  }

  std::string path_;
  std::string temporary_;
  int file_ = -1;
  bool committed_ = false;
};

at::ScalarType stored_dtype(const SafetensorsItem& item) {
  return item.stored_as.value_or(item.tensor.scalar_type());
}

std::vector<const SafetensorsItem*> in_order(const std::vector<SafetensorsItem>& items) {
  std::vector<const SafetensorsItem*> order;
  std::set<std::string> names;
  for (const SafetensorsItem& item : items) {
    if (item.name == "__metadata__" || !names.insert(item.name).second) {
      throw InputError(fmt::format("cannot store two tensors as \"{}\"", item.name));
    }
    if (safetensors_dtype(stored_dtype(item)).empty()) {
      throw InputError(fmt::format("cannot store tensor \"{}\": safetensors has no dtype {}",
                                   item.name, c10::toString(stored_dtype(item))));
    }
    order.push_back(&item);
  }
  // Larger elements first, as the reference does: every tensor is then aligned to its elements.
  std::sort(order.begin(), order.end(), [](const SafetensorsItem* a, const SafetensorsItem* b) {
    const auto size_a = c10::elementSize(stored_dtype(*a));
    const auto size_b = c10::elementSize(stored_dtype(*b));
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  return order;
}

std::string header_text(const std::vector<const SafetensorsItem*>& order,
                        const SafetensorsFile::Metadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header["__metadata__"] = metadata;
  }
  std::uint64_t offset = 0;
  for (const SafetensorsItem* item : order) {
    const at::ScalarType dtype = stored_dtype(*item);
    const std::uint64_t end =
        offset + static_cast<std::uint64_t>(item->tensor.numel()) * c10::elementSize(dtype);
    header[item->name] = {{"dtype", safetensors_dtype(dtype)},
                          {"shape", item->tensor.sizes().vec()},
                          {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::function<void(const void*, std::size_t)>& sink,
                       const std::vector<SafetensorsItem>& items,
                       const SafetensorsFile::Metadata& metadata) {
  const at::NoGradGuard no_grad;
  const std::vector<const SafetensorsItem*> order = in_order(items);
  const std::string header = header_text(order, metadata);
  const std::uint64_t length = header.size();
  sink(&length, sizeof(length));
  sink(header.data(), header.size());
  for (const SafetensorsItem* item : order) {
    const at::Tensor plain = item->tensor.detach().to(at::kCPU, stored_dtype(*item)).contiguous();
    sink(plain.const_data_ptr(), plain.nbytes());
  }
}

void write_safetensors(const std::string& path, const std::vector<SafetensorsItem>& items,
                       const SafetensorsFile::Metadata& metadata) {
  in_order(items);  // what cannot be stored is refused before there is a file
  AtomicFile file(path);
  write_safetensors([&](const void* bytes, std::size_t size) { file.write(bytes, size); }, items,
                    metadata);
  file.commit();
}

}  // namespace thaw
