#include "tests/fuzz/odd_hdf5_file.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string_view>
#include <vector>

#include "tests/fuzz/odd_hdf5_types.h"

namespace thaw {
namespace {

/// Beyond this, a dataset is claimed and never written.
constexpr hsize_t kMostBytes = 64 << 10;

/// Fills an element's value in by its index.
using Values = std::function<std::int64_t(hsize_t index)>;

hsize_t bytes_of(hid_t type, const std::vector<hsize_t>& shape) {
  hsize_t bytes = H5Tget_size(type);
  for (const hsize_t dimension : shape) {
    if (dimension != 0 && bytes > std::numeric_limits<hsize_t>::max() / dimension)
      return ~hsize_t{0};
    bytes *= dimension;
  }
  return bytes;
}

std::vector<hsize_t> shape_of(hid_t space) {
  std::vector<hsize_t> shape(H5S_MAX_RANK);
  const int rank = H5Sget_simple_extent_dims(space, shape.data(), nullptr);
  shape.resize(std::max(rank, 0));
  return shape;
}

/// Not nbit and scaleoffset, in which HDF5 itself writes beyond its buffers.
void add_filters(FuzzedDataProvider& choices, hid_t creation) {
  const auto filters = choices.ConsumeIntegralInRange<unsigned>(0, 15);
  if (filters & 1) H5Pset_shuffle(creation);
  if (filters & 2) H5Pset_deflate(creation, 1);
  if (filters & 4) H5Pset_fletcher32(creation);
  if (filters & 8) {  // one that no library knows, so that the chunks lie there without it
    H5Pset_filter(creation, 32015, H5Z_FLAG_OPTIONAL, 0, nullptr);
  }
}

/// In other files, or in another dataset: memory that it takes to read is not bounded by the file's
/// size, so these claim no more than they could hold.
void set_elsewhere(FuzzedDataProvider& choices, hid_t creation, hid_t space, hsize_t bytes) {
  if (bytes > kMostBytes) return;
  if (choices.ConsumeBool()) {
    H5Pset_virtual(creation, space, ".", "/train/labels", space);
    return;
  }
  const char* file = choices.PickValueInArray({"/nonexistent/file", "/dev/null", "/dev/zero"});
  H5Pset_external(creation, file, choices.ConsumeIntegralInRange<int>(0, 100),
                  choices.ConsumeBool() ? H5F_UNLIMITED : bytes);
}

/// How the elements lie in the file. Chunks are of any size that a chunk may have.
void set_layout(FuzzedDataProvider& choices, hid_t creation, std::vector<hsize_t> shape,
                hsize_t bytes) {
  switch (choices.ConsumeIntegralInRange<unsigned>(0, 6)) {
    case 0:
    case 1:
      return;
    case 2:
      H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
      return;
    case 3:
      H5Pset_layout(creation, H5D_COMPACT);
      return;
    default:
      for (hsize_t& dimension : shape) {
        const hsize_t most = odd(choices, 8) ? hsize_t{1} << 31 : std::max<hsize_t>(dimension, 1);
        dimension = choices.ConsumeIntegralInRange<hsize_t>(1, most);
      }
      H5Pset_chunk(creation, static_cast<int>(shape.size()), shape.data());
      add_filters(choices, creation);
  }
}

/// The chunk in bytes, or 0: writing one element would fill all of it.
hsize_t chunk_bytes(hid_t creation, hid_t type) {
  std::vector<hsize_t> chunk(H5S_MAX_RANK);
  if (H5Pget_layout(creation) != H5D_CHUNKED) return 0;
  const int rank = H5Pget_chunk(creation, H5S_MAX_RANK, chunk.data());
  chunk.resize(std::max(rank, 0));
  return bytes_of(type, chunk);
}

void write_values(hid_t dataset, hid_t type, hsize_t bytes, const Values& values) {
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_INTEGER || kind == H5T_FLOAT) {
    std::vector<std::int64_t> numbers(bytes / H5Tget_size(type));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = values(i);
    H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data());
  } else if (kind == H5T_ENUM || kind == H5T_OPAQUE || kind == H5T_BITFIELD ||
             kind == H5T_COMPOUND || kind == H5T_ARRAY ||
             (kind == H5T_STRING && H5Tis_variable_str(type) == 0)) {
    const std::vector<char> raw(bytes, 1);
    H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data());
  }  // of variable length: never written
}

void write_dataset(FuzzedDataProvider& choices, hid_t group, const char* name, hid_t usual_type,
                   const std::vector<hsize_t>& usual_shape, const Values& values) {
  const OddId type = odd_type(choices, usual_type);
  const OddId space = odd_space(choices, usual_shape);
  const std::vector<hsize_t> shape = shape_of(space.get());
  const OddId creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const hsize_t bytes = bytes_of(type.get(), shape);
  set_layout(choices, creation.get(), shape, bytes);
  const bool plain = H5Pget_layout(creation.get()) == H5D_CONTIGUOUS && !shape.empty() && bytes > 0;
  if (plain && std::string_view(name) != "labels" && odd(choices, 8)) {
    set_elsewhere(choices, creation.get(), space.get(), bytes);
  }
  if (H5Pget_layout(creation.get()) == H5D_CHUNKED && !shape.empty()) {
    const std::vector<hsize_t> limits(shape.size(), H5S_UNLIMITED);
    H5Sset_extent_simple(space.get(), static_cast<int>(shape.size()), shape.data(), limits.data());
  }
  if (bytes > kMostBytes) H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_LATE);
  const OddId dataset(
      H5Dcreate2(group, name, type.get(), space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
      H5Dclose);
  if (dataset.get() < 0 || bytes > kMostBytes || odd(choices, 16)) return;
  if (chunk_bytes(creation.get(), type.get()) > kMostBytes) return;
  if (H5Pget_external_count(creation.get()) > 0) return;
  if (H5Pget_layout(creation.get()) == H5D_VIRTUAL) return;
  write_values(dataset.get(), type.get(), bytes, values);
}

/// Whatever may stand where a dataset should: a group, a link to another dataset, to itself, to
/// nothing, into another file.
void write_other(FuzzedDataProvider& choices, hid_t group, const char* name) {
  switch (choices.ConsumeIntegralInRange<unsigned>(0, 5)) {
    case 0:
      return;
    case 1:
      H5Gclose(H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
      return;
    case 2:
      H5Lcreate_soft(name, group, name, H5P_DEFAULT, H5P_DEFAULT);
      return;
    case 3:
      H5Lcreate_soft("/train/labels", group, name, H5P_DEFAULT, H5P_DEFAULT);
      return;
    case 4:
      H5Lcreate_external("/nonexistent.h5", "/x", group, name, H5P_DEFAULT, H5P_DEFAULT);
      return;
    default:
      H5Lcreate_hard(group, "labels", group, name, H5P_DEFAULT, H5P_DEFAULT);
  }
}

void write_array(FuzzedDataProvider& choices, hid_t group, const char* name, hid_t type,
                 const std::vector<hsize_t>& shape, const Values& values) {
  if (odd(choices, 16)) {
    write_other(choices, group, name);
  } else {
    write_dataset(choices, group, name, type, shape, values);
  }
}

/// `usual`, but for one element, which may be anything.
Values but_for_one(FuzzedDataProvider& choices, hsize_t count, Values usual) {
  if (!odd(choices, 4)) return usual;
  const auto place = choices.ConsumeIntegralInRange<hsize_t>(0, count);
  const auto value = choices.ConsumeIntegral<std::int64_t>();
  return [=](hsize_t i) { return i == place ? value : usual(i); };
}

void write_split(FuzzedDataProvider& choices, hid_t file, const char* name) {
  const OddId group(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  const hsize_t samples = choices.ConsumeIntegralInRange<hsize_t>(0, 30) ^ 4;
  const hsize_t length = choices.ConsumeIntegralInRange<hsize_t>(0, 3) ^ 2;
  const hid_t at = group.get();
  const auto labels = choices.ConsumeIntegralInRange<unsigned>(0, 7);
  if (labels < 5) {
    write_array(choices, at, "labels", H5T_STD_I64LE, {samples},
                but_for_one(choices, samples, [](hsize_t i) { return i % 3; }));
  }
  if (labels == 4 || labels == 5) {
    write_array(choices, at, "prompt_lengths", H5T_STD_I32LE, {samples},
                but_for_one(choices, samples, [=](hsize_t i) { return i % (length + 1); }));
    write_array(choices, at, "bytes", H5T_STD_I32LE, {samples},
                but_for_one(choices, samples, [](hsize_t i) { return i + 1; }));
  }
  if (labels == 6) {
    write_array(choices, at, "token_labels", H5T_STD_I32LE, {samples * length},
                but_for_one(choices, samples, [](hsize_t i) { return i % 2 == 0 ? 1 : -100; }));
  }
  const auto kind = choices.ConsumeIntegralInRange<unsigned>(0, 15);
  if (kind < 9 || kind == 15) {
    write_array(choices, at, "tokens", H5T_STD_I32LE, {samples * length},
                but_for_one(choices, samples, [](hsize_t i) { return i * 7; }));
    write_array(choices, at, "offsets", H5T_STD_I64LE, {samples + 1},
                but_for_one(choices, samples, [=](hsize_t i) { return i * length; }));
  }
  if (kind >= 9 && kind < 15) {
    const hsize_t size = choices.ConsumeIntegralInRange<hsize_t>(0, 5);
    write_array(choices, at, "inputs", choices.ConsumeBool() ? H5T_IEEE_F32LE : H5T_STD_U8LE,
                {samples, length, size, size}, [](hsize_t i) { return i % 200; });
  }
}

/// Strings of any bytes, some of them null; HDF5 copies them.
void write_strings(FuzzedDataProvider& choices, hid_t attribute, hid_t type, hsize_t count) {
  std::vector<std::string> texts(count);
  std::vector<const char*> pointers(count, nullptr);
  for (hsize_t i = 0; i < count; ++i) {
    texts[i] = choices.ConsumeRandomLengthString(20);
    if (!odd(choices, 16)) pointers[i] = texts[i].c_str();
  }
  H5Awrite(attribute, type, pointers.data());
}

void write_attribute(FuzzedDataProvider& choices, hid_t file) {
  const char* name = choices.PickValueInArray({"classes", "mean", "std", "made_by", "remark"});
  OddId text(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(text.get(), H5T_VARIABLE);
  const OddId type = odd_type(choices, choices.ConsumeBool() ? H5T_IEEE_F64LE : text.get());
  const hsize_t usual = choices.ConsumeIntegralInRange<hsize_t>(0, 4);
  const OddId space = odd_space(choices, {usual});
  const hsize_t bytes = bytes_of(type.get(), shape_of(space.get()));
  if (bytes > kMostBytes) return;  // HDF5 stores it whole, so it must be there
  const OddId attribute(H5Acreate2(file, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
                        H5Aclose);
  if (attribute.get() < 0 || odd(choices, 16)) return;
  const hsize_t count = bytes / std::max<hsize_t>(1, H5Tget_size(type.get()));
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_STRING && H5Tis_variable_str(type.get()) > 0) {
    write_strings(choices, attribute.get(), type.get(), count);
  } else if (kind != H5T_VLEN) {
    std::vector<std::uint8_t> raw = choices.ConsumeBytes<std::uint8_t>(bytes);
    raw.resize(bytes);
    H5Awrite(attribute.get(), type.get(), raw.data());
  }
}

OddId create(FuzzedDataProvider& choices, const std::string& path) {
  const OddId creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  const OddId access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (odd(choices, 4)) H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  if (odd(choices, 8)) H5Pset_userblock(creation.get(), 512);
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose};
}

}  // namespace

void write_odd_hdf5_file(const std::string& path, const std::uint8_t* bytes, std::size_t size) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // much of what is tried HDF5 refuses to write
  FuzzedDataProvider choices(bytes, size);
  const OddId file = create(choices, path);
  if (file.get() < 0) return;
  const auto splits = choices.ConsumeIntegralInRange<unsigned>(0, 7);
  write_split(choices, file.get(), "train");
  if (splits & 1) write_split(choices, file.get(), "validation");
  if (splits & 2) write_split(choices, file.get(), "other");
  if (splits & 4) write_other(choices, file.get(), "test");
  const auto attributes = choices.ConsumeIntegralInRange<unsigned>(0, 5);
  for (unsigned i = 0; i < attributes; ++i) write_attribute(choices, file.get());
}

}  // namespace thaw
