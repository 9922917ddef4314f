#include "core/base/file_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using testing::HasSubstr;
using namespace std::string_literals;

TEST(FileKind, IsToldByTheFirstBytes) {
  EXPECT_THAT(kind_of_bytes("\x89HDF\r\n\x1a\n\0\0"s), HasSubstr("an HDF5 file"));
  EXPECT_THAT(kind_of_bytes("\x40\0\0\0\0\0\0\0{\"a\""s), HasSubstr("a safetensors file"));
  EXPECT_THAT(kind_of_bytes("PK\x03\x04\0"s), HasSubstr("safetensors.torch.save_file"));
  EXPECT_THAT(kind_of_bytes("\x80\x02}q"s), HasSubstr("a Python pickle"));
  EXPECT_THAT(kind_of_bytes("\x80\x04\x95"s), HasSubstr("a Python pickle"));
  EXPECT_THAT(kind_of_bytes("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("lfs pull"));
  EXPECT_THAT(kind_of_bytes("\n <!DocType HTML>"), HasSubstr("a web page"));
  EXPECT_THAT(kind_of_bytes("\x1f\x8b\x08"), HasSubstr("gzip"));
  EXPECT_THAT(kind_of_bytes(std::string(257, 'a') + "ustar"), HasSubstr("tar"));
  EXPECT_EQ(kind_of_bytes(""), "empty");
  for (const std::string& other : {"text,label\n"s, "{\"a\": 1}"s, "\0\0\0\0"s, "<a>"s, "P"s}) {
    EXPECT_EQ(kind_of_bytes(other), "") << other;
  }
}

TEST(FileKind, OfTextIsToldWhereNoneWasWanted) {
  EXPECT_EQ(clause_of_bytes("text,label\n\xc3"), "; it is a text file");
  EXPECT_EQ(clause_of_bytes("{\"a\": 1}"), "; it is JSON");
  EXPECT_EQ(clause_of_bytes("GGUF"), "; it is a GGUF model");
  for (const std::string& other : {"a\0"s, "\x80"s, "\x80\x80\x80\x80"s, "\x1b[2J"s}) {
    EXPECT_EQ(clause_of_bytes(other), "") << other;
  }
}

TEST(FileKind, OfAPath) {
  const TemporaryFolder folder;
  EXPECT_EQ(kind_clause(folder.path()), "; it is a folder");
  EXPECT_EQ(kind_clause(folder / "absent"), "");
  std::ofstream(folder / "short") << "GGUF";
  EXPECT_EQ(kind_clause(folder / "short"), "; it is a GGUF model");
  std::ofstream(folder / "nothing") << "";
  EXPECT_EQ(kind_clause(folder / "nothing"), "; it is empty");
}

}  // namespace
}  // namespace thaw
