// Words that are typed in a shell, and the texts that `thaw new` fills in.

#include "launch/starter/starter.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "launch/command/shell_word.h"

namespace thaw {
namespace {

TEST(ShellWord, IsQuotedWhereItNeedsIt) {
  EXPECT_EQ(shell_word("runs/a-1.toml"), "runs/a-1.toml");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("my file"), "'my file'");
  EXPECT_EQ(shell_word("it's $HOME"), "'it'\\''s $HOME'");
}

TEST(Starter, LinesStayByWhetherThereIsAModel) {
  const std::string text = "a @data@ b\n@model?with @model@\n@no-model?without @model@\n";
  StarterFacts facts{.thaw = "thaw",
                     .prepare = "prepare.py",
                     .model = "",
                     .data = "x.csv",
                     .text_column = "text",
                     .label_column = "label"};
  EXPECT_EQ(filled(text, facts), "a x.csv b\nwithout model\n");
  facts.model = "/m";
  EXPECT_EQ(filled(text, facts), "a x.csv b\nwith /m\n");
  EXPECT_THROW(filled("@nothing@\n", facts), RunError);
}

TEST(Starter, EachIsFilledWholly) {
  for (const Starter& starter : starters()) {
    for (const char* model : {"", "/models/some"}) {
      const StarterFacts facts{.thaw = "thaw",
                               .prepare = "prepare.py",
                               .model = model,
                               .data = starter.data,
                               .text_column = starter.text_column,
                               .label_column = starter.label_column};
      for (const std::string& text : {starter.configuration, starter.read_me}) {
        const std::string result = filled(text, facts);
        EXPECT_EQ(result.find('@'), std::string::npos) << starter.name;
        EXPECT_EQ(result.find("\n\n\n"), std::string::npos) << starter.name;
        EXPECT_GT(result.size(), 300U);
      }
    }
  }
}

}  // namespace
}  // namespace thaw
