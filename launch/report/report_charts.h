#pragma once

#include <string>
#include <vector>

#include "launch/report/report_model.h"

namespace thaw {

// Parts of the page as HTML, each "" where nothing is known for it. With several runs, a colour is
// a run's, and stages are marked where there is one run alone.

/// Training and validation loss over steps, the stages as bands, resumes as upright lines.
std::string loss_chart(const std::vector<ReportRun>& runs);
/// A chart for each of the task's metrics on the validation split.
std::string metric_charts(const std::vector<ReportRun>& runs);
/// Samples a second.
std::string speed_chart(const std::vector<ReportRun>& runs);
/// Learning rates of the groups; neighbours that have always had the same share a line.
std::string rate_chart(const ReportRun& run);
/// How far each group had moved at each evaluation: a row a group, the output at the top.
std::string moved_map(const ReportRun& run);
/// Of one run: seconds and shares of what its time went to.
std::string time_table(const ReportRun& run);
/// True classes against predicted ones.
std::string confusion_table(const ReportRun& run);

/// For `<style>`.
std::string report_css();

}  // namespace thaw
