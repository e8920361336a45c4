// Any line as a request and as an answer: refused, or what is written back reads as the same.
#include "vtl/control/protocol.h"

#include <string>
#include <string_view>

#include "fuzz.h"

using namespace vtl;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string line(data, data + size);
  if (const auto request = control::parse_request(line)) {
    const std::string again = control::format_request(*request);
    FUZZ_CHECK(again.ends_with('\n'));
    const auto same = control::parse_request(std::string_view(again).substr(0, again.size() - 1));
    // Escapes may make the same text longer than a request may be.
    if (again.size() <= control::kMaxRequest) {
      FUZZ_CHECK(same.has_value() && same->command == request->command);
      FUZZ_CHECK(same->dump.link == request->dump.link &&
                 same->dump.boundary == request->dump.boundary &&
                 same->dump.snap_length == request->dump.snap_length &&
                 same->dump.filter == request->dump.filter);
    }
  } else {
    FUZZ_CHECK(!request.error().message.empty());
  }
  if (const auto answer = control::parse_response(line)) {
    const auto same = control::parse_response(control::success_line(*answer));
    FUZZ_CHECK(same.has_value() && *same == *answer);
  } else {
    FUZZ_CHECK(!control::parse_response(control::failure_line(line)).has_value());
  }
  return 0;
}
