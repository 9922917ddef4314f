#pragma once

#include <string>
#include <vector>

#include "launch/report/report_model.h"

namespace thaw {

/// What a page is besides its runs.
struct PageOptions {
  int reload_seconds = 0;  ///< it loads itself anew that often; 0: never
  std::string made = {};   ///< when and by what, for its end
};

/// The page of one or more runs: one self-contained file of HTML, light and dark, from 400 pixels
/// on, that loads nothing from elsewhere. All text of the runs is escaped. What it is made of
/// stands in it as JSON too (`report-data`, a list of `report_json`). Pure.
std::string report_page(const std::vector<ReportRun>& runs, const PageOptions& options);

}  // namespace thaw
