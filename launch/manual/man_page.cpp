#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/manual/manual.h"

namespace thaw {
namespace {

/// Text for troff: nothing in it is a request or an escape, and a dash is one that can be pasted.
std::string plain(const std::string& text) {
  std::string result;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) result += "\\&";
    at_start = c == '\n';
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result;
}

/// A tag in bold, what stands for its value in italics, the paragraph behind it.
std::string item(const std::string& tag, const std::string& value, const std::string& text) {
  const std::string shown = value.empty() ? "" : " \\fI" + plain(value) + "\\fR";
  return fmt::format(".TP\n\\fB{}\\fR{}\n{}\n", plain(tag), shown,
                     text.empty() ? "\\&" : plain(text));
}

std::string with_default(const std::string& text, const std::string& fallback) {
  return fallback.empty() ? text : fmt::format("{} [default: {}]", text, fallback);
}

std::string section_of(const CommandManual& command) {
  const ArgumentList& list = command.arguments;
  std::string text = fmt::format(".SS {}\n\\fBthaw\\fR {}\n.PP\n{}\n", plain(command.name),
                                 plain(list.usage), plain(list.summary));
  for (const auto& argument : list.positionals) text += item(argument.name, "", argument.help);
  for (const auto& option : list.options) {
    text += item(dashed(option.name), option.takes_value ? "VALUE" : "",
                 with_default(option.help, option.fallback));
  }
  if (list.takes_configuration) {
    text += item("--SECTION.KEY", "VALUE", "any option of the configuration: see below");
  }
  return text;
}

std::string section_of(const std::string& section, const Manual& manual) {
  std::string text = fmt::format(".SS [{}]\n", plain(section));
  for (const ConfigurationManual& option : manual.options) {
    if (option.section != section) continue;
    std::string help = option.unit.empty() ? "" : "[" + option.unit + "] ";
    help += fmt::format("{}", fmt::join(option.choices, " | "));
    if (!option.choices.empty() && !option.help.empty()) help += ": ";
    text +=
        item("--" + option.name, option.type, with_default(help + option.help, option.fallback));
  }
  return text;
}

}  // namespace

std::string man_page(const Manual& manual) {
  std::string text = fmt::format(
      ".TH THAW 1 \"\" \"Thaw {}\" \"User Commands\"\n.SH NAME\n"
      "thaw \\- distributed fine\\-tuning by gradual unfreezing\n"
      ".SH SYNOPSIS\n\\fBthaw\\fR \\fISUBCOMMAND\\fR [\\fIARGUMENTS\\fR]\n.br\n"
      "\\fBthaw\\fR \\fISUBCOMMAND\\fR \\fB\\-\\-help\\fR | \\fB\\-\\-help\\-config\\fR\n.br\n"
      "\\fBthaw\\fR \\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR\n"
      ".SH DESCRIPTION\nThaw fine\\-tunes pre\\-trained networks by gradual unfreezing, on one "
      "process or on several ranks, which \\fBmpirun\\fR(1), \\fBsrun\\fR(1) or "
      "\\fBthaw launch\\fR start.\n.SH SUB\\-COMMANDS\n",
      plain(manual.version));
  for (const CommandManual& command : manual.commands) text += section_of(command);
  text +=
      ".SH CONFIGURATION\nEach scalar option of the configuration, a file in TOML, is a flag of "
      "the same name. A stage's are \\fB\\-\\-schedule.stage.\\fINAME\\fB.\\fIKEY\\fR, where KEY "
      "is one of ";
  text += plain(fmt::format("{}", fmt::join(manual.stage_keys, ", "))) + ".\n";
  std::string section;
  for (const ConfigurationManual& option : manual.options) {
    if (option.section == section) continue;
    section = option.section;
    text += section_of(section, manual);
  }
  text += ".SH EXIT STATUS\n";
  text += item("0", "", "done");
  text += item("2", "", "bad input or configuration, found before training");
  text += item("3", "", "failed while running");
  text += item("4", "", "the ranks disagree, or one does not answer");
  text += item("75", "", "stopped on request with everything saved: start it again");
  text += ".SH ENVIRONMENT\n";
  text += item("THAW_MPIEXEC", "",
               "the mpirun that thaw launch, compare, scale and check --predict start");
  text += item("THAW_PYTHON", "", "the Python that makes tokens of prompts and texts");
  text += item("THAW_TORCH", "",
               "of a packaged command: the Python environment, torch folder or unpacked zip with "
               "LibTorch; else the active environment and python3 are asked");
  return text + ".SH SEE ALSO\n\\fBmpirun\\fR(1), \\fBsrun\\fR(1)\n";
}

}  // namespace thaw
