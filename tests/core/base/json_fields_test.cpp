// Whole numbers out of JSON: those that are there, and nothing that the library would cut to fit.
#include "core/base/json_fields.h"

#include <gtest/gtest.h>

#include <limits>

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;
using Lists = std::vector<std::vector<std::int64_t>>;
using Counts = std::map<std::string, std::int64_t>;

TEST(WholeNumbers, AreTakenInTheirTypesRange) {
  EXPECT_EQ(whole_number<int>(Json(-3)), -3);
  EXPECT_EQ(whole_number<std::uint8_t>(Json(255)), 255);
  EXPECT_EQ(whole_number<std::int64_t>(Json(std::numeric_limits<std::int64_t>::min())),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(whole_number<std::uint64_t>(Json(std::numeric_limits<std::uint64_t>::max())),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(whole_if_any<std::uint8_t>(Json(256)));
  EXPECT_FALSE(whole_if_any<std::uint64_t>(Json(-1)));
  EXPECT_FALSE(whole_if_any<std::int64_t>(Json(std::numeric_limits<std::uint64_t>::max())));
}

TEST(WholeNumbers, AreNothingElse) {
  for (const char* text : {"1.0", "1.9", "1e300", "true", "null", "\"1\"", "[1]", "{}"}) {
    EXPECT_FALSE(whole_if_any<std::int64_t>(Json::parse(text))) << text;
    EXPECT_THROW(whole_number<std::int64_t>(Json::parse(text)), Json::type_error) << text;
  }
}

TEST(WholeNumbers, StandInListsAndByName) {
  EXPECT_EQ(whole_number<Lists>(Json::parse("[[1, 2], []]")), (Lists{{1, 2}, {}}));
  EXPECT_EQ(whole_number<Counts>(Json::parse(R"({"a": 1, "b": -2})")),
            (Counts{{"a", 1}, {"b", -2}}));
  for (const char* text : {"[[1, 2.5]]", "[[true]]", "[1]", "[[1], null]", "1", "{\"a\": [1]}"}) {
    EXPECT_FALSE(whole_if_any<Lists>(Json::parse(text))) << text;
  }
  for (const char* text : {R"({"a": 1.5})", R"({"a": 18446744073709551615})", "[1]", "1"}) {
    EXPECT_FALSE(whole_if_any<Counts>(Json::parse(text))) << text;
  }
}

struct Kept {
  std::vector<std::int64_t> shape;
  Counts counts;
  std::vector<double> rows;
};

void describe(auto fields, Described<Kept> auto& kept) {
  fields("shape", kept.shape);
  fields("counts", kept.counts);
  fields("rows", kept.rows);
}
THAW_JSON_BY_DESCRIPTION(Kept)

TEST(DescribedValues, AreReadAsTheyWereWritten) {
  const Kept kept = {{2, 3}, {{"head", 4}}, {0.5}};
  const Kept read = Json::parse(Json(kept).dump()).get<Kept>();
  EXPECT_EQ(read.shape, kept.shape);
  EXPECT_EQ(read.counts, kept.counts);
  EXPECT_EQ(read.rows, kept.rows);
}

// Also within lists and values by name, where the library's own conversion would cut them.
TEST(DescribedValues, NameTheFieldWhoseNumbersAreNotWhole) {
  for (const auto& [field, wrong] :
       std::map<std::string, Json>{{"shape", {2, 1.9}}, {"counts", {{"head", true}}}}) {
    Json json = Kept{{2, 3}, {{"head", 4}}, {0.5}};
    json[field] = wrong;
    try {
      json.get<Kept>();
      ADD_FAILURE() << field;
    } catch (const InputError& error) {
      EXPECT_EQ(std::string(error.what()).find(field), 0U) << error.what();
    }
  }
}

}  // namespace
}  // namespace thaw
