#pragma once

#include <hdf5.h>

#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/data/hdf5/hdf5_handle.h"
#include "tests/support/temporary_folder.h"

namespace thaw {

/// How a dataset of a test is laid out in its file.
struct TestLayout {
  std::vector<hsize_t> chunk = {};  ///< empty: contiguous
  int gzip = 0;                     ///< level
  bool shuffle = false;
  bool compact = false;
  std::vector<hsize_t> max_shape = {};
};

template <typename T>
hid_t hdf5_type();
template <>
inline hid_t hdf5_type<std::uint8_t>() {
  return H5T_STD_U8LE;
}
template <>
inline hid_t hdf5_type<std::int32_t>() {
  return H5T_STD_I32LE;
}
template <>
inline hid_t hdf5_type<std::int64_t>() {
  return H5T_STD_I64LE;
}
template <>
inline hid_t hdf5_type<float>() {
  return H5T_IEEE_F32LE;
}
template <>
inline hid_t hdf5_type<double>() {
  return H5T_IEEE_F64LE;
}

/// Writes HDF5 files for tests with the C library, not with what is tested.
class Hdf5Writer {
 public:
  explicit Hdf5Writer(const std::string& path)
      : path_(path),
        file_(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT))) {}
  ~Hdf5Writer() { H5Fclose(file_); }
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  const std::string& path() const { return path_; }
  hid_t id() const { return file_; }

  template <typename T>
  Hdf5Writer& write(const std::string& name, const std::vector<hsize_t>& shape,
                    const std::vector<T>& values, const TestLayout& layout = {}) {
    return write_as(hdf5_type<T>(), name, shape, values.data(), layout);
  }

  /// `values` null: nothing is written.
  Hdf5Writer& write_as(hid_t type, const std::string& name, const std::vector<hsize_t>& shape,
                       const void* values, const TestLayout& layout = {}) {
    const hid_t links = check(H5Pcreate(H5P_LINK_CREATE));
    H5Pset_create_intermediate_group(links, 1);
    const hid_t creation = check(H5Pcreate(H5P_DATASET_CREATE));
    if (layout.compact) H5Pset_layout(creation, H5D_COMPACT);
    if (!layout.chunk.empty()) {
      H5Pset_chunk(creation, static_cast<int>(layout.chunk.size()), layout.chunk.data());
    }
    if (layout.shuffle) H5Pset_shuffle(creation);
    if (layout.gzip > 0) H5Pset_deflate(creation, layout.gzip);
    const hid_t space =
        check(H5Screate_simple(static_cast<int>(shape.size()), shape.data(),
                               layout.max_shape.empty() ? nullptr : layout.max_shape.data()));
    const hid_t dataset =
        check(H5Dcreate2(file_, name.c_str(), type, space, links, creation, H5P_DEFAULT));
    if (values != nullptr) check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(creation);
    H5Pclose(links);
    return *this;
  }

  Hdf5Writer& group(const std::string& name) {
    H5Gclose(check(H5Gcreate2(file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)));
    return *this;
  }

  Hdf5Writer& numbers(const std::string& attribute, const std::vector<double>& values) {
    return raw_attribute(attribute, H5T_IEEE_F64LE, values.size(), values.data());
  }

  /// Strings of variable length, as h5py writes them.
  Hdf5Writer& strings(const std::string& attribute, const std::vector<std::string>& values) {
    std::vector<const char*> pointers;
    pointers.reserve(values.size());
    for (const std::string& value : values) pointers.push_back(value.c_str());
    const hid_t type = check(H5Tcopy(H5T_C_S1));
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    raw_attribute(attribute, type, values.size(), pointers.data());
    H5Tclose(type);
    return *this;
  }

  /// Strings of `length` bytes, as of a numpy array of dtype S<length>.
  Hdf5Writer& fixed_strings(const std::string& attribute, const std::vector<std::string>& values,
                            std::size_t length, H5T_str_t padding = H5T_STR_NULLPAD) {
    std::string bytes;
    for (std::string value : values) {
      value.resize(length, padding == H5T_STR_SPACEPAD ? ' ' : '\0');
      bytes += value;
    }
    const hid_t type = check(H5Tcopy(H5T_C_S1));
    H5Tset_size(type, length);
    H5Tset_strpad(type, padding);
    raw_attribute(attribute, type, values.size(), bytes.data());
    H5Tclose(type);
    return *this;
  }

  Hdf5Writer& raw_attribute(const std::string& name, hid_t type, hsize_t count,
                            const void* values) {
    const hid_t space = check(H5Screate_simple(1, &count, nullptr));
    const hid_t attribute =
        check(H5Acreate2(file_, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT));
    if (count > 0) check(H5Awrite(attribute, type, values));
    H5Aclose(attribute);
    H5Sclose(space);
    return *this;
  }

 private:
  static hid_t check(hid_t id) {
    if (id < 0) throw std::runtime_error("the test's HDF5 file cannot be written");
    return id;
  }

  std::string path_;
  hid_t file_;
};

/// Tokens of a text sample of the tests, a function of what identifies it.
inline std::vector<std::int32_t> test_tokens(std::int64_t sample, std::int64_t salt = 0) {
  std::vector<std::int32_t> tokens(1 + (sample * 7 + salt) % 5);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(sample * 10 + salt * 100000 + i);
  }
  return tokens;
}

/// Writes a text split of `samples` samples: `test_tokens`, label sample % classes.
inline void write_text(Hdf5Writer& file, const std::string& split, std::int64_t samples,
                       std::int64_t classes = 3, const TestLayout& tokens_layout = {},
                       std::int64_t salt = 0) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets = {0};
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < samples; ++i) {
    for (const std::int32_t token : test_tokens(i, salt)) tokens.push_back(token);
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
    labels.push_back(i % classes);
  }
  file.write("/" + split + "/tokens", {tokens.size()}, tokens, tokens_layout);
  file.write("/" + split + "/offsets", {offsets.size()}, offsets);
  file.write("/" + split + "/labels", {labels.size()}, labels);
}

/// The byte of an image of the tests at [channel, y, x].
inline std::uint8_t test_pixel(std::int64_t sample, std::int64_t channel, std::int64_t y,
                               std::int64_t x) {
  return static_cast<std::uint8_t>(sample * 101 + channel * 53 + y * 17 + x * 3 + 1);
}

inline std::vector<std::uint8_t> test_images(std::int64_t samples, std::int64_t channels,
                                             std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> images;
  images.reserve(samples * channels * height * width);
  for (std::int64_t i = 0; i < samples; ++i)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t x = 0; x < width; ++x) images.push_back(test_pixel(i, c, y, x));
  return images;
}

/// Writes an image split of uint8 `test_images`, label sample % classes.
inline void write_images(Hdf5Writer& file, const std::string& split, std::int64_t samples,
                         std::int64_t channels, std::int64_t height, std::int64_t width,
                         std::int64_t classes = 3, const TestLayout& layout = {}) {
  std::vector<std::int64_t> labels(samples);
  std::iota(labels.begin(), labels.end(), 0);
  for (std::int64_t& label : labels) label %= classes;
  file.write("/" + split + "/inputs",
             {static_cast<hsize_t>(samples), static_cast<hsize_t>(channels),
              static_cast<hsize_t>(height), static_cast<hsize_t>(width)},
             test_images(samples, channels, height, width), layout);
  file.write("/" + split + "/labels", {labels.size()}, labels);
}

/// The message of the `Failure` that `call` throws, or a text that says it threw none.
template <typename Failure, typename Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Failure& error) {
    return error.what();
  }
  return "(nothing was thrown)";
}

}  // namespace thaw
