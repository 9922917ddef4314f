#include "core/data/activations/activation_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/system.h"
#include "core/data/cache/checked_byte_store.h"
#include "core/data/hdf5/hdf5_handle.h"
#include "core/data/hdf5/readable_file.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// Of a file that is handled in pieces.
constexpr std::int64_t kPiece = 64 << 20;
/// Before the values HDF5 keeps what it needs; this is more than that.
constexpr std::int64_t kStructureBytes = 64 << 10;

[[noreturn]] void fail(const std::string& path, const std::string& what, int error) {
  throw InputError(fmt::format("{}: {}: {} (train.prefix-cache-folder names the folder)", path,
                               what, std::strerror(error)));
}

std::string unfinished_ending() {
  return fmt::format("{}{}.", ActivationFile::kUnfinished, host_name());
}

hid_t stored_type(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return H5T_IEEE_F64LE;
    case at::kFloat:
      return H5T_IEEE_F32LE;
    default:
      return H5T_STD_U16LE;  // the bits of bfloat16, which HDF5 does not know
  }
}

/// Room for an array, in one piece, without writing to it. Returns it.
Hdf5Handle make_array(std::int64_t file, const char* name, hid_t type,
                      const std::vector<hsize_t>& shape, const std::string& path) {
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                         H5Sclose, path);
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, path);
  H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  return Hdf5Handle(
      H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Dclose,
      path + ": cannot be made");
}

void write_attribute(std::int64_t file, const char* name, const std::string& text,
                     const std::string& path) {
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, path);
  H5Tset_size(type.get(), std::max<std::size_t>(1, text.size()));
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose, path);
  const Hdf5Handle attribute(
      H5Acreate2(file, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, path);
  if (!text.empty() && H5Awrite(attribute.get(), type.get(), text.data()) < 0) {
    throw Hdf5Error(path + ": cannot be written");
  }
}

/// Where the values and the checks of a file lie.
struct Addresses {
  std::int64_t values = 0, checks = 0;
};

/// HDF5's part of a file, with nothing in the values and checks.
Addresses make_structure(const std::string& path, const ActivationSpec& spec, std::int64_t pieces) {
  const FileUse use("create", path);
  const Hdf5Guard guard;
  const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose, path);
  H5Pset_userblock(creation.get(), ActivationFile::kHeaderBytes);
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), H5P_DEFAULT), H5Fclose,
                  path + ": cannot be created (train.prefix-cache-folder names the folder)");
  write_attribute(file.get(), "what", "activations of " + spec.layout.describe(), path);
  write_attribute(file.get(), "type", at::toString(spec.layout.type), path);
  const std::vector<hsize_t> count{spec.offsets.size()};
  {
    const Hdf5Handle offsets = make_array(file.get(), "offsets", H5T_STD_I64LE, count, path);
    if (H5Dwrite(offsets.get(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                 spec.offsets.data()) < 0) {
      throw Hdf5Error(path + ": cannot be written");
    }
  }
  Addresses addresses;
  const auto address_of = [&](const char* name, hid_t type, const std::vector<hsize_t>& shape) {
    const Hdf5Handle array = make_array(file.get(), name, type, shape, path);
    const haddr_t address = H5Dget_offset(array.get());
    if (address == HADDR_UNDEF) throw Hdf5Error(path + ": HDF5 gave no room");
    return static_cast<std::int64_t>(address);
  };
  std::vector<hsize_t> shape{static_cast<hsize_t>(spec.offsets.back())};
  for (const std::int64_t size : spec.layout.stored_shape()) {
    shape.push_back(static_cast<hsize_t>(size));
  }
  addresses.checks = address_of("checks", H5T_STD_U64LE, {static_cast<hsize_t>(pieces), 2});
  addresses.values = address_of("values", stored_type(spec.layout.type), shape);
  if (H5Fflush(file.get(), H5F_SCOPE_LOCAL) < 0) {
    throw Hdf5Error(path + ": cannot be written (train.prefix-cache-folder names the folder)");
  }
  return addresses;
}

/// All of it now, so that nothing that follows can find the disk full.
void make_room(int file, std::int64_t bytes, const std::string& path) {
  for (std::int64_t first = 0; first < bytes; first += kPiece) {
    const FileUse use("make room for", path);
    if (const int error = ::posix_fallocate(file, first, std::min(kPiece, bytes - first))) {
      fail(path, "has no room", error);
    }
  }
}

int open_to_write(const std::string& path) {
  const FileUse use("open", path);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) fail(path, "cannot be opened", errno);
  return descriptor;
}

std::string hash_of(std::span<const Fingerprint> checks) {
  return fingerprint(checks.data(), checks.size_bytes()).hex();
}

/// The two addresses that a header tells; nothing where it is none.
std::optional<Addresses> addresses_in(const std::string& header) {
  const std::size_t line = header.find("\naddresses ");
  Addresses addresses;
  if (line == std::string::npos || std::sscanf(header.c_str() + line, "\naddresses %ld %ld\n",
                                               &addresses.values, &addresses.checks) != 2) {
    return std::nullopt;
  }
  return addresses;
}

/// What `header` says of its checks' own fingerprint.
constexpr std::size_t kHashDigits = 32;

}  // namespace

ActivationFile::ActivationFile(std::string folder, ActivationSpec spec)
    : spec_(std::move(spec)), fingerprint_(thaw::fingerprint(spec_.key).hex()) {
  path_ = (fs::path(folder) / fmt::format("{}.{}{}", spec_.name, fingerprint_, kEnding)).string();
}

std::string ActivationFile::header(std::int64_t values, std::int64_t checks,
                                   const std::string& checked) const {
  std::string text = fmt::format(
      "thaw activations 1\nfingerprint {}\nbytes {}\nlayout {}\naddresses {} {}\nchecked {}\n"
      "An HDF5 file follows. It may be deleted at any time.\n",
      fingerprint_, spec_.value_bytes(), spec_.layout.describe(), values, checks, checked);
  text.resize(static_cast<std::size_t>(kHeaderBytes), '\n');
  return text;
}

std::int64_t ActivationFile::file_bytes() const {
  return kHeaderBytes + kStructureBytes + spec_.value_bytes() +
         static_cast<std::int64_t>(spec_.offsets.size() * sizeof(std::int64_t)) +
         checked_pieces(spec_.value_bytes()) * static_cast<std::int64_t>(sizeof(Fingerprint));
}

std::optional<ActivationFile::Opened> ActivationFile::open() const {
  {
    const FileUse use("look into", path_);
    std::error_code error;
    if (!fs::exists(path_, error)) return std::nullopt;
  }
  Opened opened;
  auto file = std::make_shared<const ReadableFile>(path_);
  if (file->size() < kHeaderBytes) return std::nullopt;
  std::string found(static_cast<std::size_t>(kHeaderBytes), '\0');
  file->read(0, kHeaderBytes, reinterpret_cast<std::byte*>(found.data()));
  const std::optional<Addresses> addresses = addresses_in(found);
  if (!addresses) return std::nullopt;
  opened.checks.resize(static_cast<std::size_t>(checked_pieces(spec_.value_bytes())));
  const auto check_bytes = static_cast<std::int64_t>(opened.checks.size() * sizeof(Fingerprint));
  const auto lies_within = [&](std::int64_t address, std::int64_t bytes) {
    return address >= kHeaderBytes && address <= file->size() && bytes <= file->size() - address;
  };
  if (!lies_within(addresses->values, spec_.value_bytes()) ||
      !lies_within(addresses->checks, check_bytes)) {
    return std::nullopt;
  }
  file->read(addresses->checks, check_bytes, reinterpret_cast<std::byte*>(opened.checks.data()));
  if (found != header(addresses->values, addresses->checks, hash_of(opened.checks))) {
    return std::nullopt;
  }
  // Whoever makes room removes the file that was used longest ago.
  ::utimensat(AT_FDCWD, path_.c_str(), nullptr, 0);
  opened.file = std::move(file);
  opened.address = addresses->values;
  return opened;
}

std::string ActivationFile::begin() const {
  {
    const fs::path folder = fs::path(path_).parent_path();
    const FileUse use("look into", folder.native());
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(folder, "cannot be made", error.value());
  }
  const std::string path = fmt::format("{}{}{}", path_, unfinished_ending(), ::getpid());
  try {
    const Addresses addresses = make_structure(path, spec_, checked_pieces(spec_.value_bytes()));
    const int descriptor = open_to_write(path);
    struct Closer {
      int descriptor;
      ~Closer() { ::close(descriptor); }
    } const closer{descriptor};
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) fail(path, "cannot be examined", errno);
    const std::int64_t end =
        std::max<std::int64_t>(status.st_size, addresses.values + spec_.value_bytes());
    make_room(descriptor, end, path);
    const std::string text =
        header(addresses.values, addresses.checks, std::string(kHashDigits, '-'));
    if (::pwrite(descriptor, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      fail(path, "cannot be written", errno);
    }
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
  return path;
}

UnfinishedActivations::UnfinishedActivations(const ActivationFile& file, std::string path)
    : file_(file), path_(std::move(path)), descriptor_(open_to_write(path_)) {
  std::string text(static_cast<std::size_t>(ActivationFile::kHeaderBytes), '\0');
  const FileUse use("read", path_);
  const ssize_t count = ::pread(descriptor_, text.data(), text.size(), 0);
  const std::optional<Addresses> addresses =
      count == static_cast<ssize_t>(text.size()) ? addresses_in(text) : std::nullopt;
  if (!addresses) {
    ::close(descriptor_);
    throw InputError(path_ + ": is not the file that was begun");
  }
  values_ = addresses->values;
  checks_ = addresses->checks;
}

UnfinishedActivations::~UnfinishedActivations() { ::close(descriptor_); }

void UnfinishedActivations::write_bytes(std::int64_t at, const void* bytes,
                                        std::size_t size) const {
  const auto* from = static_cast<const std::byte*>(bytes);
  for (std::size_t done = 0; done < size;) {
    const FileUse use("write", path_);
    const std::size_t piece = std::min<std::size_t>(kPiece, size - done);
    const ssize_t count =
        ::pwrite(descriptor_, from + done, piece, at + static_cast<std::int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail(path_, "cannot be written", count < 0 ? errno : ENOSPC);
    done += static_cast<std::size_t>(count);
  }
}

void UnfinishedActivations::write(std::int64_t first, const at::Tensor& rows) const {
  const ActivationSpec& spec = file_.spec();
  const std::int64_t at = spec.offsets[static_cast<std::size_t>(first)] * spec.layout.row_bytes();
  write_bytes(values_ + at, rows.const_data_ptr(), rows.nbytes());
}

std::int64_t UnfinishedActivations::pieces() const {
  return checked_pieces(file_.spec().value_bytes());
}

std::vector<Fingerprint> UnfinishedActivations::checks(std::int64_t first,
                                                       std::int64_t last) const {
  std::vector<Fingerprint> checks;
  std::vector<std::byte> bytes(static_cast<std::size_t>(kCheckedPieceBytes));
  for (std::int64_t piece = first; piece < last; ++piece) {
    const FileUse use("read", path_);
    const std::int64_t offset = piece * kCheckedPieceBytes;
    const auto size =
        static_cast<std::size_t>(std::min(kCheckedPieceBytes, file_.spec().value_bytes() - offset));
    for (std::size_t done = 0; done < size;) {
      const ssize_t count = ::pread(descriptor_, bytes.data() + done, size - done,
                                    values_ + offset + static_cast<std::int64_t>(done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail(path_, "cannot be read back", count < 0 ? errno : EIO);
      done += static_cast<std::size_t>(count);
    }
    checks.push_back(fingerprint(bytes.data(), size));
  }
  return checks;
}

void UnfinishedActivations::finish(std::span<const Fingerprint> checks) const {
  write_bytes(checks_, checks.data(), checks.size_bytes());
  const std::string text = file_.header(values_, checks_, hash_of(checks));
  write_bytes(0, text.data(), text.size());
  {
    // Before the name is there: after a crash a complete name must not hold zeros.
    const FileUse use("flush", path_);
    if (::fsync(descriptor_) != 0) fail(path_, "cannot be written", errno);
  }
  const FileUse use("rename", path_);
  if (::rename(path_.c_str(), file_.path().c_str()) != 0) {
    fail(path_, "cannot be renamed", errno);
  }
}

bool is_forgotten(const std::string& path) {
  constexpr std::chrono::hours kDay{24};
  std::error_code error;
  const fs::file_time_type written = fs::last_write_time(path, error);
  return !error && fs::file_time_type::clock::now() - written > kDay;
}

void remove_unfinished(const ActivationFile& file) {
  const fs::path path(file.path());
  const std::string any_host = path.filename().string() + ActivationFile::kUnfinished;
  const std::string this_host = path.filename().string() + unfinished_ending();
  const FileUse use("look into", file.path());
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path.parent_path(), error)) {
    std::error_code unneeded;  // nobody reads it: that it stays does no harm
    const std::string name = entry.path().filename().string();
    if (name.starts_with(this_host) ||
        (name.starts_with(any_host) && is_forgotten(entry.path().string()))) {
      fs::remove(entry.path(), unneeded);
    }
  }
}

}  // namespace thaw
