#include "common/trace/trace_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/files/durable_file.h"
#include "common/log/log.h"

namespace cddp {
namespace {

std::string Microseconds(int64_t nanoseconds) {  // a double would round times since 1970
  return absl::StrFormat("%d.%03d", nanoseconds / 1000, nanoseconds % 1000);
}

std::string Arguments(const TraceLabels& labels) {
  std::string text;
  for (const auto& [name, value] :
       {std::pair{"step", labels.step}, std::pair{"bucket", labels.bucket}, std::pair{"bytes", labels.bytes}}) {
    if (value == TraceLabels::kNone) continue;
    absl::StrAppend(&text, text.empty() ? "" : ",", "\"", name, "\":", value);
  }
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<TraceFile>> TraceFile::Create(const std::string& path, absl::string_view process_name,
                                                             uint32_t process) {
  // Opening a pipe would wait for a reader.
  if (absl::Status status = CheckReplaceable(path); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--trace=", status.message()));
  }
  File file(std::fopen(path.c_str(), "w"));
  if (file == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("--trace=", path, ": cannot be written: ", std::strerror(errno)));
  }
  std::shared_ptr<TraceFile> trace(new TraceFile(path, std::move(file), process));
  std::fputs("[\n", trace->file_.get());
  std::fputs(absl::StrFormat(R"({"ph":"M","pid":%d,"name":"process_name","args":{"name":"%s"}})", process, process_name)
                 .c_str(),
             trace->file_.get());
  for (const auto& [row, name] : {std::pair{Row::kTraining, "training"}, std::pair{Row::kExchange, "exchange"}}) {
    trace->Write(absl::StrFormat(R"({"ph":"M","pid":%d,"tid":%d,"name":"thread_name","args":{"name":"%s"}})", process,
                                 static_cast<int>(row), name));
  }
  return trace;
}

TraceFile::~TraceFile() {
  std::fputs("\n]\n", file_.get());
  if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0) {
    LogError(absl::StrCat("event=trace_incomplete file=", path_, " reason=\"", std::strerror(errno), "\""));
  }
}

void TraceFile::Span(Row row, absl::string_view name, absl::Time begin, absl::Time end, const TraceLabels& labels) {
  Write(absl::StrFormat(R"({"ph":"X","pid":%d,"tid":%d,"name":"%s","ts":%s,"dur":%s,"args":{%s}})", process_,
                        static_cast<int>(row), name, Microseconds(absl::ToUnixNanos(begin)),
                        Microseconds(absl::ToInt64Nanoseconds(end - begin)), Arguments(labels)));
}

void TraceFile::UnderWay(absl::string_view name, absl::Time begin, absl::Time end, const TraceLabels& labels) {
  const std::string same = absl::StrFormat(R"("pid":%d,"tid":%d,"cat":"bucket","id":%d,"name":"%s")", process_,
                                           static_cast<int>(Row::kExchange), labels.bucket, name);
  Write(absl::StrFormat("{\"ph\":\"b\",%s,\"ts\":%s,\"args\":{%s}},\n{\"ph\":\"e\",%s,\"ts\":%s}", same,
                        Microseconds(absl::ToUnixNanos(begin)), Arguments(labels), same,
                        Microseconds(absl::ToUnixNanos(end))));
}

void TraceFile::Write(const std::string& event) {
  MutexLock lock(mutex_);
  std::fputs(",\n", file_.get());
  std::fputs(event.c_str(), file_.get());
}

}  // namespace cddp
