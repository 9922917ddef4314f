#include "core/data/hdf5/hdf5_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hdf5.h>

#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "core/base/file_use.h"
#include "core/data/hdf5/stored_elsewhere.h"

namespace thaw {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

/// What claims more was made to exhaust memory: deflate stores no less than a 1,032th.
constexpr std::int64_t kMostDeflated = 1100;
/// Of other filters, and of deflate applied twice.
constexpr std::int64_t kMostFiltered = 16384;

/// Of a chunk, which holds less than 2^32 elements.
constexpr std::int64_t kMostChunkBytes = std::int64_t{1} << 48;

/// A name that can stand in "dtype is …".
std::string type_name(hid_t type) {
  const std::array<std::pair<hid_t, const char*>, 19> known = {
      {{H5T_STD_I8LE, "int8"},
       {H5T_STD_I16LE, "int16"},
       {H5T_STD_I32LE, "int32"},
       {H5T_STD_I64LE, "int64"},
       {H5T_STD_U8LE, "uint8"},
       {H5T_STD_U16LE, "uint16"},
       {H5T_STD_U32LE, "uint32"},
       {H5T_STD_U64LE, "uint64"},
       {H5T_IEEE_F32LE, "float32"},
       {H5T_IEEE_F64LE, "float64"},
       {H5T_STD_I8BE, "int8"},
       {H5T_STD_U8BE, "uint8"},
       {H5T_STD_I16BE, "big-endian int16"},
       {H5T_STD_I32BE, "big-endian int32"},
       {H5T_STD_I64BE, "big-endian int64"},
       {H5T_STD_U32BE, "big-endian uint32"},
       {H5T_STD_U64BE, "big-endian uint64"},
       {H5T_IEEE_F32BE, "big-endian float32"},
       {H5T_IEEE_F64BE, "big-endian float64"}}};
  for (const auto& [id, name] : known) {
    if (H5Tequal(type, id) > 0) return name;
  }
  const std::size_t bits = H5Tget_size(type) * 8;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return fmt::format("an unusual integer of {} bits", bits);
    case H5T_FLOAT:
      return bits == 16 ? "float16" : fmt::format("an unusual float of {} bits", bits);
    case H5T_STRING:
      return "strings";
    case H5T_VLEN:
      return "variable-length arrays";
    case H5T_ENUM:
      return "an enumeration (numpy's bool is one)";
    case H5T_COMPOUND:
      return "records";
    case H5T_ARRAY:
      return "arrays";
    default:
      return "no numbers";
  }
}

/// A filter as its users know it; one of a plugin by the name that it gave itself.
std::string filter_name(H5Z_filter_t id, const char* name) {
  switch (id) {
    case H5Z_FILTER_DEFLATE:
      return "gzip";
    case H5Z_FILTER_SHUFFLE:
      return "shuffle";
    case H5Z_FILTER_FLETCHER32:
      return "fletcher32";
    case H5Z_FILTER_SZIP:
      return "szip";
    default:
      return *name != '\0' ? name : fmt::format("filter {}", id);
  }
}

/// Of the file that holds `object`.
std::int64_t size_of_file(hid_t object, const std::string& where) {
  const Hdf5Guard guard;
  const Hdf5Handle file(H5Iget_file_id(object), H5Fclose, where + ": its file is gone");
  hsize_t bytes = 0;
  if (H5Fget_filesize(file.get(), &bytes) < 0) throw Hdf5Error(where + ": its file has no size");
  return static_cast<std::int64_t>(bytes);
}

/// HDF5 reads zeros in the place of chunks that were never written.
void require_all_chunks(hid_t dataset, const std::vector<std::int64_t>& shape,
                        const std::vector<std::int64_t>& chunk, const std::string& where) {
#if H5_VERSION_GE(1, 10, 5)
  const Hdf5Guard guard;
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose, where + ": no shape");
  hsize_t written = 0;
  if (H5Dget_num_chunks(dataset, space.get(), &written) < 0) {
    throw Hdf5Error(where + ": its chunks cannot be counted");
  }
  hsize_t wanted = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    wanted *= static_cast<hsize_t>(shape[i] / chunk[i] + (shape[i] % chunk[i] != 0 ? 1 : 0));
  }
  if (written < wanted) {
    throw InputError(fmt::format(
        "{}: {} of its {} chunks were never written; HDF5 would read zeros in their place", where,
        wanted - written, wanted));
  }
#endif
}

/// The file that an object lies in, which may be another than the one opened: links lead elsewhere.
std::string name_of_file(hid_t object) {
  const ssize_t length = H5Fget_name(object, nullptr, 0);
  if (length < 0) throw Hdf5Error("HDF5 does not know the name of an open file");
  std::string name(static_cast<std::size_t>(length) + 1, '\0');
  H5Fget_name(object, name.data(), name.size());
  name.resize(length);
  return name;
}

}  // namespace

Hdf5Dataset::Hdf5Dataset(std::int64_t file, const std::string& path, const std::string& name)
    : file_(path), name_(name) {
  const Hdf5Guard guard;
  const FileUse use("read", path);  // not file_, which changes
  handle_ = Hdf5Handle(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose,
                       where() + ": cannot be opened as an HDF5 dataset");
  file_ = name_of_file(handle_.get());
  find_shape();
  find_type();
  find_storage();
}

/// Nothing is believed of a shape: products of dimensions must not overflow, whatever they claim.
void Hdf5Dataset::find_shape() {
  const Hdf5Handle space(H5Dget_space(handle_.get()), H5Sclose, where() + ": no shape");
  const H5S_class_t kind = H5Sget_simple_extent_type(space.get());
  if (kind == H5S_NULL) throw InputError(where() + ": holds nothing (an empty dataspace)");
  std::array<hsize_t, H5S_MAX_RANK> dimensions{};
  const int rank = H5Sget_simple_extent_dims(space.get(), dimensions.data(), nullptr);
  if (rank < 0) throw Hdf5Error(where() + ": no shape");
  // A limit that leaves room for any element size.
  constexpr auto kLimit = static_cast<hsize_t>(std::numeric_limits<std::int64_t>::max() >> 16);
  for (int i = 0; i < rank; ++i) {
    if (dimensions[i] > kLimit ||
        (dimensions[i] != 0 && static_cast<hsize_t>(elements_) > kLimit / dimensions[i])) {
      throw InputError(where() + ": its shape is impossibly large; the file is damaged");
    }
    shape_.push_back(static_cast<std::int64_t>(dimensions[i]));
    elements_ *= shape_.back();
  }
}

/// Numbers are read as they lie, so the type must be one that this machine has.
void Hdf5Dataset::find_type() {
  file_type_ = Hdf5Handle(H5Dget_type(handle_.get()), H5Tclose, where() + ": no dtype");
  type_ = type_name(file_type_.get());
  const std::size_t size = H5Tget_size(file_type_.get());
  if (size == 0 || size > (1U << 16)) {
    throw InputError(fmt::format("{}: elements of {} bytes; the file is damaged", where(), size));
  }
  element_bytes_ = static_cast<std::int64_t>(size);
}

/// Where the bytes lie, which decides how they are read: at one address by pread, in chunks by the
/// library; external, compact and virtual ones by the library too, if at all.
void Hdf5Dataset::find_storage() {
  const Hdf5Handle creation(H5Dget_create_plist(handle_.get()), H5Pclose, where() + ": no layout");
  stored_bytes_ = static_cast<std::int64_t>(H5Dget_storage_size(handle_.get()));
  switch (H5Pget_layout(creation.get())) {
    case H5D_CONTIGUOUS: {
      storage_ = H5Pget_external_count(creation.get()) > 0 ? "external" : "contiguous";
      // Counts from the file's beginning, a user block included.
      const haddr_t address = H5Dget_offset(handle_.get());
      if (address == HADDR_UNDEF || storage_ == "external") break;
      if (address > static_cast<haddr_t>(std::numeric_limits<std::int64_t>::max())) {
        throw InputError(where() + ": lies beyond the end of any file; the file is damaged");
      }
      address_ = static_cast<std::int64_t>(address);
      break;
    }
    case H5D_CHUNKED: {
      storage_ = "chunked";
      std::array<hsize_t, H5S_MAX_RANK> dimensions{};
      const int rank = H5Pget_chunk(creation.get(), H5S_MAX_RANK, dimensions.data());
      if (rank != static_cast<int>(shape_.size())) throw Hdf5Error(where() + ": no chunk shape");
      chunk_.assign(dimensions.begin(), dimensions.begin() + rank);
      chunk_bytes_ = element_bytes_;
      for (const std::int64_t dimension : chunk_) {
        if (dimension <= 0 || dimension > kMostChunkBytes / chunk_bytes_) {
          throw InputError(where() + ": its chunks have an impossible size; the file is damaged");
        }
        chunk_bytes_ *= dimension;
      }
      find_filters(creation.get());
      break;
    }
    case H5D_COMPACT:
      storage_ = "compact";
      break;
    case H5D_VIRTUAL:
      storage_ = "virtual";
      break;
    default:
      throw Hdf5Error(where() + ": a layout that is not known");
  }
}

void Hdf5Dataset::find_filters(std::int64_t creation) {
  const int count = H5Pget_nfilters(creation);
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0;
    unsigned configuration = 0;
    std::size_t values = 0;
    std::array<char, 64> name{};
    const H5Z_filter_t id = H5Pget_filter2(creation, i, &flags, &values, nullptr, name.size(),
                                           name.data(), &configuration);
    if (id < 0) throw Hdf5Error(where() + ": its filters cannot be read");
    name.back() = '\0';
    filters_.push_back(filter_name(id, name.data()));
    if (H5Zfilter_avail(id) <= 0) missing_filter_ = fmt::format("{} ({})", filters_.back(), id);
  }
}

std::string Hdf5Dataset::layout() const {
  std::string text = storage_;
  if (!chunk_.empty()) text = fmt::format("chunks of {}", fmt::join(chunk_, " x "));
  for (const std::string& filter : filters_) text += ", " + filter;
  return text;
}

/// By how much the filters can have shrunk what they were given, at most.
std::int64_t Hdf5Dataset::most_compression() const {
  int deflated = 0;
  for (const std::string& filter : filters_) {
    if (filter == "shuffle" || filter == "fletcher32") continue;
    deflated += filter == "gzip" ? 1 : 2;
  }
  return deflated > 1 ? kMostFiltered : kMostDeflated;
}

void Hdf5Dataset::require_credible() const {
  const FileUse use("read", file_);
  if (!missing_filter_.empty()) {
    throw InputError(fmt::format(
        "{}: was written with {}, which this HDF5 cannot undo; write it with gzip or without "
        "compression, or name the filter's plugin folder in HDF5_PLUGIN_PATH",
        where(), missing_filter_));
  }
  if (storage_ == "external" || storage_ == "virtual") {  // stored_bytes_ says nothing here
    require_sources(handle_.get(), where(), file_);
    return;
  }
  if (address_ && stored_bytes_ != bytes()) {
    throw InputError(fmt::format("{}: needs {} bytes, holds {}; the file is damaged", where(),
                                 bytes(), stored_bytes_));
  }
  // The size of each chunk stands in the index, which may be as wrong as the shape.
  const std::int64_t file_bytes = size_of_file(handle_.get(), where());
  if (storage_ == "chunked" && (stored_bytes_ < 0 || stored_bytes_ > file_bytes)) {
    throw InputError(
        fmt::format("{}: claims {} bytes of chunks in a file of {}; the file is damaged", where(),
                    stored_bytes_, file_bytes));
  }
  const std::int64_t most = most_compression();
  // Whatever is read of a chunk, HDF5 takes memory for all of it.
  if (stored_bytes_ > 0 && chunk_bytes_ / most > stored_bytes_ + 1) {
    throw InputError(
        fmt::format("{}: claims chunks of {} bytes, but only {} are stored; the file is damaged",
                    where(), chunk_bytes_, stored_bytes_));
  }
  if (bytes() / most > stored_bytes_ + 1) {
    throw InputError(
        fmt::format("{}: claims {} bytes but only {} are stored; the file is damaged or was not "
                    "written to its end",
                    where(), bytes(), stored_bytes_));
  }
  if (storage_ == "contiguous" && !address_ && elements_ > 0) {
    throw InputError(where() + ": was never written; HDF5 would read zeros in its place");
  }
  if (storage_ == "chunked") {
    require_all_chunks(handle_.get(), shape_, chunk_, where());
  }
}

void Hdf5Dataset::read_rows(std::int64_t first, std::int64_t last, std::byte* memory) const {
  if (first == last || elements_ == 0) return;
  const Hdf5Guard guard;
  const FileUse use("read", file_);
  const std::string context =
      fmt::format("{}: rows {} to {} cannot be read", where(), first, last - 1);
  std::vector<hsize_t> start(shape_.size(), 0);
  std::vector<hsize_t> count(shape_.begin(), shape_.end());
  if (start.empty()) throw InputError(where() + ": is a scalar, has no rows");
  start[0] = first;
  count[0] = last - first;
  // One block of whole rows. Unions of several (OR-ed hyperslabs) are 10 to 1000 times slower.
  const Hdf5Handle from(H5Dget_space(handle_.get()), H5Sclose, context);
  if (H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                          nullptr) < 0) {
    throw Hdf5Error(context);
  }
  const Hdf5Handle to(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr),
                      H5Sclose, context);
  // The file's type is the memory's: types that need conversion are refused before.
  if (H5Dread(handle_.get(), file_type_.get(), to.get(), from.get(), H5P_DEFAULT, memory) < 0) {
    throw Hdf5Error(context);
  }
}

}  // namespace thaw
