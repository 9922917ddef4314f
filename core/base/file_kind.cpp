#include "core/base/file_kind.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>

#include "core/base/text_bytes.h"

namespace thaw {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view bytes;
  const char* kind;
};

// The first that fits.
constexpr std::array kMagics = {
    Magic{
        "\x89HDF\r\n\x1a\n"sv,
        "an HDF5 file: data.file takes data; Keras' weights are to be saved as safetensors first"},
    Magic{"version https://git-lfs"sv,
          "a Git LFS pointer: fetch the file itself with `git lfs pull`"},
    Magic{
        "PK\x03\x04"sv,
        "a zip archive, as torch.save (a pickle within it) and numpy.savez write: convert weights "
        "with Python's safetensors.torch.save_file"},
    Magic{"\x80\x02"sv,
          "a Python pickle (.bin, .pt, .pkl): convert weights with Python's "
          "safetensors.torch.save_file"},
    Magic{"\x80\x03"sv, "a Python pickle"},
    Magic{"\x80\x04"sv, "a Python pickle"},
    Magic{"\x80\x05"sv, "a Python pickle"},
    Magic{"\x93NUMPY"sv, "an array of numpy (.npy)"},
    Magic{"GGUF"sv, "a GGUF model"},
    Magic{"\x1f\x8b"sv, "compressed by gzip: unpack it first"},
    Magic{"BZh"sv, "compressed by bzip2: unpack it first"},
    Magic{"\xfd"
          "7zXZ\0"sv,
          "compressed by xz: unpack it first"},
    Magic{"\x28\xb5\x2f\xfd"sv, "compressed by zstd: unpack it first"},
    Magic{"PAR1"sv, "a Parquet table"},
    Magic{"ARROW1"sv, "an Arrow table"},
    Magic{"\x89PNG"sv, "a PNG image"},
    Magic{"\xff\xd8\xff"sv, "a JPEG image"},
    Magic{"GIF8"sv, "a GIF image"},
    Magic{"II*\0"sv, "a TIFF image"},
    Magic{"MM\0*"sv, "a TIFF image"},
    Magic{"%PDF"sv, "a PDF"},
    Magic{"\xff\xfe"sv, "text in UTF-16: save it as UTF-8"},
    Magic{"\xfe\xff"sv, "text in UTF-16: save it as UTF-8"},
    Magic{"SQLite format 3\0"sv, "a database of SQLite"},
    Magic{"\xd0\xcf\x11\xe0"sv, "a document of an old Office: save it as CSV"},
    Magic{"\x7f"
          "ELF"sv,
          "a program"},
};

/// A safetensors file begins with the length of its header, 8 bytes, and the header with a brace.
bool is_safetensors(std::string_view bytes) {
  constexpr std::size_t kLengthBytes = 8;
  return bytes.size() > kLengthBytes && bytes[kLengthBytes] == '{' && bytes[6] == 0 &&
         bytes[7] == 0;
}

bool is_page(std::string_view bytes) {
  std::string text(bytes);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return false;
  const std::string_view rest = std::string_view(text).substr(first);
  return rest.starts_with("<!doctype html") || rest.starts_with("<html") ||
         rest.starts_with("<head");
}

/// Whether it may be the beginning of text, of which the last character may be cut.
bool is_text(std::string_view bytes) {
  for (int cut = 0; cut < 3 && !bytes.empty() && !is_utf8(bytes); ++cut) bytes.remove_suffix(1);
  constexpr std::string_view kSpaces = "\t\n\r\f";
  return !bytes.empty() && is_utf8(bytes) && std::all_of(bytes.begin(), bytes.end(), [&](char c) {
    return std::iscntrl(static_cast<unsigned char>(c)) == 0 || kSpaces.find(c) != kSpaces.npos;
  });
}

}  // namespace

std::string kind_of_bytes(std::string_view beginning) {
  if (beginning.empty()) return "empty";
  for (const Magic& magic : kMagics) {
    if (beginning.starts_with(magic.bytes)) return magic.kind;
  }
  if (is_safetensors(beginning)) return "a safetensors file: weights, or a checkpoint's part";
  if (is_page(beginning)) return "a web page (HTML), perhaps an error of the site it came from";
  // tar has its mark behind the first member's name and properties.
  constexpr std::size_t kTarMark = 257;
  if (beginning.size() > kTarMark && beginning.substr(kTarMark).starts_with("ustar")) {
    return "a tar archive: unpack it first";
  }
  return "";
}

std::string clause_of_bytes(std::string_view beginning) {
  const std::string kind = kind_of_bytes(beginning);
  if (!kind.empty()) return "; it is " + kind;
  if (!is_text(beginning)) return "";
  return beginning.starts_with('{') ? "; it is JSON" : "; it is a text file";
}

std::string kind_clause(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status)) return "; it is a folder";
  if (!std::filesystem::is_regular_file(status)) return "";  // a pipe would block
  std::ifstream file(path, std::ios::binary);
  std::array<char, kKindBytes> bytes{};
  file.read(bytes.data(), bytes.size());
  if (!file && !file.eof()) return "";
  return clause_of_bytes({bytes.data(), static_cast<std::size_t>(file.gcount())});
}

}  // namespace thaw
