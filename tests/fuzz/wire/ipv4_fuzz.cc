#include "vtl/wire/ipv4.h"

#include "fuzz.h"

using namespace vtl;
using namespace vtl::wire;

namespace {

void check(const Parsed<Ipv4View>& view, Bytes input, bool whole) {
  if (!view) return;
  FUZZ_CHECK(view->header_size() >= Ipv4View::kMinSize);
  FUZZ_CHECK(view->packet().size() <= input.size());
  FUZZ_CHECK(view->header_size() + view->payload().size() == view->packet().size());
  fuzz::touch(view->packet());
  std::size_t options = 0;
  for (auto it = view->options(); const auto option = it.next();) {
    fuzz::touch(option->data);
    ++options;
  }
  FUZZ_CHECK(options <= Ipv4Fields::kMaxOptions / 2);
  const Ipv4Fields fields = view->fields();
  auto out = fuzz::emitted(fields);
  FUZZ_CHECK(out.size() == view->header_size());
  if (!whole) return;
  out.insert(out.end(), view->payload().begin(), view->payload().end());
  const auto again = Ipv4View::parse(out);
  FUZZ_CHECK(again && again->fields() == fields && again->verify_checksum());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  check(Ipv4View::parse(input), input, true);
  check(Ipv4View::parse_super_frame(input), input, true);
  check(Ipv4View::parse_quoted(input), input, false);
  return 0;
}
