#include "core/train/frozen/state_file.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/whole_file.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

// Note [State in files without names]
// The file is written and flushed by calls that tell of a full disk, and then mapped: a write
// through the mapping could only tell by killing the process. It loses its name right after, so its
// room is free again when the last tensor that lies in it is gone, at the latest when the process
// is, however that ends. A checkpoint has all state of its own; nobody goes on from these files.

/// Tensors begin at multiples of it.
constexpr std::size_t kAlignment = 64;

const char* remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "; free space there, or set distributed.frozen-state to \"host\" or \"device\"";
    case EROFS:
    case EACCES:
    case EPERM:
    case ENOENT:
      return "; make the run folder writable for this user, or set distributed.frozen-state to "
             "\"host\" or \"device\"";
    default:
      return "";
  }
}

std::size_t padded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// A name that is gone with the instance, whatever happens.
class PassingName {
 public:
  explicit PassingName(const fs::path& folder)
      : path_(folder / fmt::format("frozen-state.{}-{:x}.tmp", ::getpid(),
                                   std::chrono::steady_clock::now().time_since_epoch().count())) {}
  ~PassingName() { ::unlink(path_.c_str()); }
  PassingName(const PassingName&) = delete;
  PassingName& operator=(const PassingName&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

at::Tensor dense(const at::Tensor& tensor) {
  return tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous();
}

}  // namespace

StateMapping::StateMapping(const fs::path& path, std::size_t size) : size_(size) {
  const FileUse use("read", path.native());
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file >= 0) bytes_ = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  const int error = errno;
  if (file >= 0) ::close(file);
  if (file >= 0 && bytes_ != MAP_FAILED) return;
  throw RunError(
      fmt::format("{}: cannot read it: {}{}", path.string(), std::strerror(error), remedy(error)));
}

StateMapping::~StateMapping() { ::munmap(bytes_, size_); }

void StateMapping::let_go() { ::madvise(bytes_, size_, MADV_DONTNEED); }

FileTensors written_to_file(const fs::path& folder, const std::vector<at::Tensor>& tensors) {
  const c10::AutoGradMode no_grad(false);
  const PassingName name(folder);
  OutputFile file(name.path(), O_EXCL, remedy);
  constexpr std::array<char, kAlignment> kPadding{};
  std::size_t size = 0;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor host = dense(tensor).cpu();
    file.write(host.const_data_ptr(), host.nbytes());
    file.write(kPadding.data(), padded(host.nbytes()) - host.nbytes());
    size += padded(host.nbytes());
  }
  file.finish();
  FileTensors result{{}, std::make_shared<StateMapping>(name.path(), size)};
  std::size_t offset = 0;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor like = dense(tensor);
    result.tensors.push_back(at::from_blob(
        result.mapping->at(offset), like.sizes(), like.strides(),
        [mapping = result.mapping](void*) {}, at::dtype(like.scalar_type())));
    offset += padded(like.nbytes());
  }
  return result;
}

}  // namespace thaw
