// Patterns, fingerprints, facts, suggestions: what texts come to.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/fact.h"
#include "core/base/glob.h"
#include "core/base/hash.h"
#include "core/base/suggest.h"

namespace thaw {
namespace {

struct GlobCase {
  const char* pattern;
  const char* name;
  bool matches;
};

TEST(Glob, MatchesNamesAsAWhole) {
  for (const GlobCase& each : {GlobCase{"head", "head", true},
                               {"head", "heads", false},
                               {"head", "a.head", false},
                               {"", "", true},
                               {"*", "", true},
                               {"*", "encoder.4.weight", true},
                               {"encoder.*", "encoder.4.weight", true},
                               {"encoder.*", "encoder", false},
                               {"*.bias", "encoder.4.bias", true},
                               {"encoder.?", "encoder.4", true},
                               {"encoder.?", "encoder.11", false},
                               {"encoder.[45]", "encoder.5", true},
                               {"encoder.[45]", "encoder.6", false},
                               {"encoder.[0-3]", "encoder.2", true},
                               {"encoder.[!0-3]", "encoder.2", false},
                               {"encoder.[!0-3]", "encoder.4", true},
                               {"\\*", "*", true},
                               {"\\*", "head", false},
                               {"a/*", "a/b/c", true},
                               {"*", ".hidden", true}}) {
    EXPECT_EQ(glob_match(each.pattern, each.name), each.matches)
        << each.pattern << " on " << each.name;
  }
}

// The values that xxHash's own `xxhsum -H128` prints: checkpoints and plans of other hosts and
// versions are told apart by them.
TEST(Fingerprints, AreXxh3s) {
  EXPECT_EQ(fingerprint("").hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(fingerprint("a").hex(), "a96faf705af16834e6c632b61e964e1f");
  EXPECT_EQ(fingerprint("abc").hex(), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ((Fingerprint{.low = 1, .high = 2}.hex()), "00000000000000020000000000000001");
}

TEST(Fingerprints, OfPiecesAreThatOfTheWhole) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>(i * 7 % 251);
  for (const std::size_t piece : {1U, 7U, 256U, 1024U, 5000U}) {
    RunningHash hash;
    EXPECT_EQ(hash.value(), fingerprint(""));
    for (std::size_t at = 0; at < text.size(); at += piece) {
      const std::size_t size = std::min(piece, text.size() - at);
      hash.add(text.data() + at, size);
      EXPECT_EQ(hash.value(), fingerprint(std::string_view(text).substr(0, at + size)));
    }
    EXPECT_EQ(hash.value(), fingerprint(text)) << piece;
  }
}

TEST(FactsText, ReadsBackAsItWas) {
  const Facts facts = {
      {"head.weight", "shape", "[3, 8]"}, {"", "stage", "upper, or so"}, {"a", "", ""}};
  EXPECT_EQ(encode(facts), "head.weight\tshape\t[3, 8]\n\tstage\tupper, or so\na\t\t\n");
  EXPECT_EQ(decode_facts(encode(facts)), facts);
  EXPECT_EQ(encode({}), "");
  EXPECT_EQ(decode_facts(""), Facts{});
}

TEST(Suggestions, CountInsertionsDeletionsAndReplacements) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", "abc"), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("sitting", "kitten"), 3U);
  EXPECT_EQ(edit_distance("batch", "bacth"), 2U);
  EXPECT_EQ(edit_distance("a", std::string(2'000'000, 'a')), 1'999'999U) << "and at once";
}

TEST(Suggestions, NameTheNearestThatMayBeMeant) {
  const std::vector<std::string> names = {"batch", "seed", "weight-decay", "beta1", "beta2"};
  EXPECT_EQ(nearest_name("bacth", names), "batch");
  EXPECT_EQ(nearest_name("sede", names), "seed");
  EXPECT_EQ(nearest_name("weight_decay", names), "weight-decay");
  EXPECT_EQ(nearest_name("beta", names), "beta1") << "the first of equals";
  EXPECT_EQ(nearest_name("momentum", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("seed", {}), "");
  EXPECT_EQ(largest_misspelling("a"), 2U);
  EXPECT_EQ(largest_misspelling("weight-decay"), 6U);
}

}  // namespace
}  // namespace thaw
