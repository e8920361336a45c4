#include "vtl/wire/ipv6.h"

#include "fuzz.h"

using namespace vtl;
using namespace vtl::wire;

namespace {

void check(const Parsed<Ipv6View>& view, Bytes input) {
  if (!view) return;
  FUZZ_CHECK(view->packet().size() <= input.size());
  fuzz::touch(view->packet());
  const Ipv6Fields fields = view->fields();
  auto out = fuzz::emitted(fields);
  out.insert(out.end(), view->payload().begin(), view->payload().end());
  FUZZ_CHECK(Ipv6View::parse(out)->fields() == fields);

  std::size_t length = 0;
  std::size_t headers = 0;
  const auto chain = view->walk([&](const Ipv6Extension& extension) {
    length += extension.bytes.size();
    ++headers;
    fuzz::touch(extension.bytes);
  });
  FUZZ_CHECK(headers <= Ipv6Chain::kMaxExtensions);
  FUZZ_CHECK(length <= view->payload().size());
  if (!chain) return;
  FUZZ_CHECK(chain->offset == Ipv6View::kSize + length && chain->extensions == headers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  check(Ipv6View::parse(input), input);
  check(Ipv6View::parse_super_frame(input), input);
  check(Ipv6View::parse_quoted(input), input);
  return 0;
}
