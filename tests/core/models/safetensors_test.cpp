#include "core/models/weights/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "tests/core/models/python_reader.h"
#include "tests/support/paths.h"

namespace thaw {
namespace {

using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("thaw_safetensors_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name = "a.safetensors") const { return folder_ / name; }

  static std::string framed(const std::string& header, std::size_t data_bytes) {
    const std::uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header +
           std::string(data_bytes, '\1');
  }

  void write_bytes(const std::string& bytes) const {
    std::ofstream(path(), std::ios::binary) << bytes;
  }

  /// The message with which a file of these bytes is refused; "" if it is not.
  std::string refusal(const std::string& bytes) const {
    write_bytes(bytes);
    try {
      SafetensorsFile file(path());
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(path() + ":"));
      return error.what();
    }
    return "";
  }
  std::string refusal(const std::string& header, std::size_t data_bytes) const {
    return refusal(framed(header, data_bytes));
  }

  std::vector<std::string> left_in_folder() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  std::filesystem::path folder_;
};

const std::vector<at::ScalarType> kDtypes = {at::kDouble, at::kFloat, at::kHalf,  at::kBFloat16,
                                             at::kLong,   at::kInt,   at::kShort, at::kChar,
                                             at::kByte,   at::kBool};

TEST_F(Safetensors, ReadsBackWhatItWrote) {
  std::vector<SafetensorsItem> items;
  for (const at::ScalarType dtype : kDtypes) {
    items.push_back({"t." + safetensors_dtype(dtype), at::arange(6).view({2, 3}).to(dtype), {}});
  }
  items.push_back({"empty", at::zeros({3, 0, 2}), {}});
  items.push_back({"scalar", at::zeros({}, at::kLong).fill_(7), {}});
  items.push_back({"transposed", at::arange(6).view({2, 3}).to(at::kFloat).t(), {}});
  items.push_back(
      {"last",
       at::arange(24).view({1, 2, 3, 4}).to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast),
       {}});
  items.push_back({"narrowed", at::arange(3).to(at::kDouble), at::kFloat});
  items.push_back({"quo\"te\n", at::zeros({1}), {}});
  write_safetensors(path(), items, {{"format", "pt"}, {"k", "v\"\n"}});

  const SafetensorsFile file(path());
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("k"), "v\"\n");
  ASSERT_EQ(file.entries().size(), items.size());
  for (const SafetensorsItem& item : items) {
    const SafetensorsEntry* entry = file.find(item.name);
    ASSERT_NE(entry, nullptr) << item.name;
    EXPECT_EQ(entry->dtype, item.stored_as.value_or(item.tensor.scalar_type()));
    const at::Tensor wanted = item.tensor.to(entry->dtype);
    EXPECT_TRUE(at::equal(file.view(*entry), wanted)) << item.name;
    EXPECT_TRUE(at::equal(file.copy(*entry), wanted)) << item.name;
  }
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_THAT(left_in_folder(), testing::ElementsAre("a.safetensors"));
}

TEST_F(Safetensors, ViewsShareTheMappingAndOutliveTheFile) {
  write_safetensors(path(), {{"a", at::arange(5), {}}});
  at::Tensor view, copy;
  {
    const SafetensorsFile file(path());
    view = file.view(*file.find("a"));
    EXPECT_EQ(view.const_data_ptr(), file.view(*file.find("a")).const_data_ptr());
    copy = file.copy(*file.find("a"));
    EXPECT_NE(view.const_data_ptr(), copy.const_data_ptr());
  }
  write_safetensors(path(), {{"b", at::zeros({1}), {}}});  // replaces the name, not the bytes
  EXPECT_TRUE(at::equal(view, at::arange(5)));
  copy.add_(1);
  EXPECT_EQ(copy[0].item().toLong(), 1);
}

TEST_F(Safetensors, WritesTheSameBytesInAnyOrder) {
  const SafetensorsItem a = {"a", at::arange(3).to(at::kByte), {}};
  const SafetensorsItem b = {"b", at::arange(3).to(at::kFloat), {}};
  const SafetensorsItem c = {"c", at::arange(3).to(at::kFloat), {}};
  const auto bytes = [&](const std::vector<SafetensorsItem>& items) {
    write_safetensors(path(), items);
    std::ifstream file(path(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string first = bytes({a, b, c});
  EXPECT_EQ(first, bytes({c, a, b}));
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), sizeof(length));
  EXPECT_EQ(length % 8, 0U);
  const SafetensorsFile file(path());
  EXPECT_EQ(file.entries().front().name, "b");
  EXPECT_EQ(file.entries().back().name, "a");
}

TEST_F(Safetensors, AFailedWriteLeavesNothingBehind) {
  EXPECT_THROW(write_safetensors(path("no/such/folder"), {}), RunError);
  EXPECT_THROW(write_safetensors(path(), {{"a", at::zeros({1}), {}}, {"a", at::zeros({1}), {}}}),
               InputError);
  EXPECT_THROW(write_safetensors(path(), {{"__metadata__", at::zeros({1}), {}}}), InputError);
  EXPECT_THROW(write_safetensors(path(), {{"a", at::zeros({1}, at::kComplexFloat), {}}}),
               InputError);
  EXPECT_TRUE(left_in_folder().empty());
}

TEST_F(Safetensors, ReadsMisalignedData) {
  write_bytes(framed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}} )",
                     5));
  const SafetensorsFile file(path());
  EXPECT_EQ(file.view(*file.find("b")).view(at::kInt).item().toLong(), 0x01010101);
}

TEST_F(Safetensors, TellsWhatAFileIsNot) {
  EXPECT_THAT(refusal(""), HasSubstr("it has 0 bytes"));
  EXPECT_THAT(refusal("abc"), HasSubstr("it has 3 bytes"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(refusal(std::string("PK\x03\x04", 4) + std::string(100, '\0')), HasSubstr("pickle"));
  EXPECT_THAT(refusal("\x89HDF\r\n\x1a\n" + std::string(100, '\0')), HasSubstr("an HDF5 file"));
  EXPECT_THAT(refusal("<!DOCTYPE html>\n<title>Not found</title>"), HasSubstr("a web page"));
  EXPECT_THAT(refusal("\x1f\x8b\x08"), HasSubstr("compressed by gzip"));
  EXPECT_THAT(
      refusal(std::string("\xff\0\0\0\0\0\0\0{", 9)),
      testing::AllOf(HasSubstr("cut short"), testing::Not(HasSubstr("it is a safetensors"))));
  EXPECT_THROW(SafetensorsFile("/no/such/file"), InputError);
  EXPECT_THROW(SafetensorsFile{folder_.string()}, InputError);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(SafetensorsFile{path("pipe")}, InputError);
}

TEST_F(Safetensors, RefusesHeadersThatAreNone) {
  std::string oversized = framed("{}", 0);
  const std::uint64_t length = 100'000'001;
  std::memcpy(oversized.data(), &length, sizeof(length));
  EXPECT_THAT(refusal(oversized), HasSubstr("a header of 100000001 bytes in a file of 10"));
  EXPECT_THAT(refusal("\xff\xff\xff\xff\xff\xff\xff\xff{}"), HasSubstr("header of 1844"));
  EXPECT_THAT(refusal("", 0), HasSubstr("does not begin with"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("does not begin with"));
  EXPECT_THAT(refusal(" {}", 0), HasSubstr("does not begin with"));
  EXPECT_THAT(refusal("{", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{}x", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{\"a\xff\":1}", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{" + std::string(1'000'000, '['), 0), HasSubstr("not JSON"));
  EXPECT_EQ(refusal("{}      ", 0), "");
}

TEST_F(Safetensors, RefusesFormsThatLie) {
  const auto tensor = [](const std::string& fields) { return "{\"a\":{" + fields + "}}"; };
  const std::string dtype = R"("dtype":"F32")", shape = R"("shape":[2])",
                    offsets = R"("data_offsets":[0,8])";
  const std::string good = dtype + "," + shape + "," + offsets;
  EXPECT_EQ(refusal(tensor(good), 8), "");
  EXPECT_THAT(refusal("{\"a\":{" + good + "},\"a\":{" + good + "}}", 8),
              HasSubstr("names \"a\" twice"));
  EXPECT_THAT(refusal(tensor(good + "," + shape), 8), HasSubstr("its shape is given twice"));
  EXPECT_THAT(refusal(tensor(dtype + "," + shape), 8), HasSubstr("lacks"));
  EXPECT_THAT(refusal(tensor(good + R"(,"more":1)"), 8), HasSubstr("unknown field \"more\""));
  EXPECT_THAT(refusal(tensor(R"("dtype":"F8_E4M3",)" + shape + "," + offsets), 8),
              HasSubstr("tensor \"a\": its dtype \"F8_E4M3\" is not one of"));
  EXPECT_THAT(refusal(tensor(R"("dtype":4,)" + shape + "," + offsets), 8),
              HasSubstr("the number 4"));
  EXPECT_THAT(refusal(tensor(dtype + R"(,"shape":[-2],)" + offsets), 8),
              HasSubstr("negative number -2"));
  EXPECT_THAT(refusal(tensor(dtype + R"(,"shape":[2.0],)" + offsets), 8), HasSubstr("2.0"));
  EXPECT_THAT(refusal(tensor(dtype + R"(,"shape":[[2]],)" + offsets), 8), HasSubstr("an array"));
  EXPECT_THAT(refusal(tensor(dtype + R"(,"shape":2,)" + offsets), 8), HasSubstr("the number 2"));
  EXPECT_THAT(refusal(tensor(dtype + "," + shape + R"(,"data_offsets":[0])"), 8),
              HasSubstr("not two numbers"));
  EXPECT_THAT(refusal(tensor(dtype + "," + shape + R"(,"data_offsets":[0,8,9])"), 8),
              HasSubstr("the number 9"));
  EXPECT_THAT(refusal(R"({"a":null})", 0), HasSubstr("null"));
  EXPECT_THAT(refusal(R"({"a":{"b":{}}})", 0), HasSubstr("unknown field"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":1}})", 0), HasSubstr("where a string must be"));
  EXPECT_THAT(refusal(R"({"__metadata__":[]})", 0), HasSubstr("where a string must be"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":"v","k":"w"}})", 0), HasSubstr("\"k\" twice"));
  EXPECT_THAT(refusal("{\"\\u001b[31m\":null}", 0), HasSubstr("\\x1b[31m"));
}

TEST_F(Safetensors, RefusesSizesThatLie) {
  const auto tensor = [](const char* name, const char* dtype, const char* shape,
                         const char* offsets) {
    return std::string("\"") + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape +
           R"(],"data_offsets":[)" + offsets + "]}";
  };
  const auto header = [](const std::string& a, const std::string& b = "") {
    return "{" + a + (b.empty() ? "" : "," + b) + "}";
  };
  EXPECT_THAT(refusal(header(tensor("a", "F32", "2", "0,4")), 4),
              HasSubstr("shape and dtype need 8 bytes, its data_offsets span 4"));
  EXPECT_THAT(refusal(header(tensor("a", "F32", "2", "8,0")), 8), HasSubstr("before it begins"));
  EXPECT_THAT(refusal(header(tensor("a", "F32", "2", "0,8")), 7), HasSubstr("cut short"));
  EXPECT_THAT(refusal(header(tensor("a", "F32", "2", "0,8")), 9),
              HasSubstr("1 bytes at its end belong to no tensor"));
  EXPECT_THAT(refusal("{}", 1), HasSubstr("1 bytes at its end"));
  EXPECT_THAT(refusal(header(tensor("a", "U8", "4", "0,4"), tensor("b", "U8", "4", "3,7")), 7),
              HasSubstr("tensor \"b\": its data overlaps that of tensor \"a\""));
  EXPECT_THAT(refusal(header(tensor("a", "U8", "4", "0,4"), tensor("b", "U8", "4", "0,4")), 4),
              HasSubstr("overlaps"));
  EXPECT_THAT(refusal(header(tensor("a", "U8", "4", "0,4"), tensor("b", "U8", "4", "5,9")), 9),
              HasSubstr("tensor \"b\": 1 bytes before its data"));
  const char* huge = "larger than any memory";
  EXPECT_THAT(refusal(header(tensor("a", "F32", "4294967296,4294967296", "0,0")), 0),
              HasSubstr(huge));
  EXPECT_THAT(refusal(header(tensor("a", "F32", "4294967296,4294967296,0", "0,0")), 0),
              HasSubstr(huge));
  EXPECT_THAT(refusal(header(tensor("a", "F32", "18446744073709551615", "0,0")), 0),
              HasSubstr(huge));
  EXPECT_THAT(refusal(header(tensor("a", "F32", "99999999999999999999999", "0,0")), 0),
              HasSubstr("number"));
  EXPECT_THAT(refusal(header(tensor("a", "U8", "1", "0,18446744073709551615")), 1),
              HasSubstr("cut short"));
  EXPECT_EQ(refusal(header(tensor("b", "U8", "4", "0,4"), tensor("a", "U8", "0", "0,0")), 4), "");
}

/// Cuts and flips of a good file: refused or read, never a crash (run under asan too).
TEST_F(Safetensors, SurvivesDamage) {
  write_safetensors(path(), {{"a", at::arange(7), {}}, {"b", at::zeros({2, 2}), {}}});
  std::ifstream stream(path(), std::ios::binary);
  const std::string good(std::istreambuf_iterator<char>(stream), {});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(refusal(good.substr(0, size)), "") << "cut to " << size;
  }
  int accepted = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char flip : {'\x01', '\x80'}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      accepted += refusal(bad).empty() ? 1 : 0;
    }
  }
  EXPECT_GT(accepted, 0);  // of flips in names and data
}

TEST_F(Safetensors, AreReadByPython) {
  std::vector<SafetensorsItem> items;
  for (const at::ScalarType dtype : kDtypes) {
    items.push_back({"t." + safetensors_dtype(dtype), at::arange(6).view({2, 3}).to(dtype), {}});
  }
  items.push_back({"empty", at::zeros({3, 0, 2}), {}});
  items.push_back({"narrowed", at::arange(4).to(at::kDouble).view({2, 2}).t(), at::kHalf});
  write_safetensors(path(), items);
  const auto found = ask_python({"safetensors", path()});
  if (!found) {
    GTEST_SKIP() << "THAW_TEST_PYTHON has no safetensors";
  }
  using nlohmann::json;
  EXPECT_EQ(found->size(), items.size());
  EXPECT_EQ(found->at("t.F32"), json({"torch.float32", {2, 3}, 15.0}));
  EXPECT_EQ(found->at("t.BF16"), json({"torch.bfloat16", {2, 3}, 15.0}));
  EXPECT_EQ(found->at("t.BOOL"), json({"torch.bool", {2, 3}, 5.0}));
  EXPECT_EQ(found->at("t.I16"), json({"torch.int16", {2, 3}, 15.0}));
  EXPECT_EQ(found->at("empty"), json({"torch.float32", {3, 0, 2}, 0.0}));
  EXPECT_EQ(found->at("narrowed"), json({"torch.float16", {2, 2}, 6.0}));
}

/// A file that Python's safetensors wrote: fixtures/make_safetensors_fixture.py.
TEST_F(Safetensors, ReadsPythonsFile) {
  const SafetensorsFile file(source_path("tests/core/models/fixtures/python.safetensors"));
  EXPECT_EQ(file.metadata().at("made-by"), "safetensors.torch.save_file");
  EXPECT_EQ(file.entries().size(), kDtypes.size() + 2);
  for (const at::ScalarType dtype : kDtypes) {
    const SafetensorsEntry* entry = file.find("t." + safetensors_dtype(dtype));
    ASSERT_NE(entry, nullptr) << safetensors_dtype(dtype);
    EXPECT_TRUE(at::equal(file.view(*entry), at::arange(-1, 5).view({2, 3}).to(dtype)));
  }
  EXPECT_EQ(file.find("empty")->shape, (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(file.view(*file.find("scalar")).item().toDouble(), 0.5);
}

/// Two parts and what an index says of them.
void write_parts(const std::string& folder, const std::string& index) {
  std::filesystem::create_directories(folder);
  write_safetensors(folder + "/a.safetensors", {{"x", at::arange(5, at::kFloat), {}}});
  write_safetensors(folder + "/b.safetensors",
                    {{"y", at::arange(3, at::kDouble), {}}, {"z", at::arange(2, at::kLong), {}}});
  std::ofstream(folder + "/model.safetensors.index.json") << index;
}

TEST_F(Safetensors, ReadsAModelInParts) {
  write_parts(path("parts"), R"({"metadata": {"total_size": 60}, "weight_map":
      {"x": "a.safetensors", "y": "b.safetensors", "z": "b.safetensors"}})");
  for (const char* name : {"parts", "parts/model.safetensors.index.json"}) {
    const SafetensorsFile file(path(name));
    ASSERT_EQ(file.entries().size(), 3);
    EXPECT_TRUE(at::equal(file.copy(*file.find("x")), at::arange(5, at::kFloat)));
    EXPECT_TRUE(at::equal(file.view(*file.find("y")), at::arange(3, at::kDouble)));
    EXPECT_TRUE(at::equal(file.view(*file.find("z")), at::arange(2, at::kLong)));
    EXPECT_EQ(file.metadata().at("format"), "pt");
  }
}

TEST_F(Safetensors, RefusesPartsThatDoNotFitTheirIndex) {
  const auto refusal_of = [&](const std::string& index) -> std::string {
    write_parts(path("parts"), index);
    try {
      SafetensorsFile file(path("parts"));
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  const auto with = [&](const std::string& map) {
    return refusal_of("{\"weight_map\": {" + map + "}}");
  };
  EXPECT_EQ(with(R"("x": "a.safetensors")"), "");
  EXPECT_THAT(with(R"("w": "a.safetensors")"), HasSubstr("names tensor \"w\", which "));
  EXPECT_THAT(with(R"("x": "c.safetensors")"),
              HasSubstr("c.safetensors: cannot open: No such file"));
  EXPECT_THAT(with(R"("x": "../parts/a.safetensors")"), HasSubstr("must be in a file beside it"));
  EXPECT_THAT(with(R"("x": 1)"), HasSubstr("must be in a file beside it"));
  EXPECT_THAT(with(""), HasSubstr("is no index of weights in several parts"));
  EXPECT_THAT(refusal_of(std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  std::filesystem::copy(path("parts") + "/a.safetensors", path("parts") + "/copy.safetensors");
  EXPECT_THAT(with(R"("x": "a.safetensors", "y": "copy.safetensors")"),
              HasSubstr("tensor \"x\" is in another part of "));
  std::filesystem::create_directories(path("empty"));
  EXPECT_THROW(SafetensorsFile{path("empty")}, InputError);
}

}  // namespace
}  // namespace thaw
