// DNS messages and names.
#include <array>

#include "fuzz.h"
#include "vtl/wire/dns.h"

using namespace vtl;
using namespace vtl::wire;

namespace {

void check_name(const DnsName& name) {
  FUZZ_CHECK(name.octets().size() <= DnsName::kMaxSize);
  FUZZ_CHECK(DnsName::parse(to_string(name)) == name);
  FUZZ_CHECK(name.is_within(DnsName{}));
  if (const auto address = name.reversed_address())
    FUZZ_CHECK(DnsName::reverse_of(*address) == name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  const auto view = DnsMessageView::parse(input);
  if (!view) return 0;
  FUZZ_CHECK(!to_string(*view).empty());
  (void)view->edns();
  for (auto it = view->records(); const auto record = it.next();) {
    fuzz::touch(record->data());
    if (const auto name = record->name()) check_name(*name);
    if (const auto target = record->target()) check_name(*target);
  }
  const auto question = view->question();
  if (!question) return 0;
  check_name(question->name);
  // What answers it can be read, and answers it.
  std::array<std::uint8_t, 600> buffer{};
  DnsWriter writer(buffer, view->header());
  FUZZ_CHECK(writer.question(*question));
  FUZZ_CHECK(writer.address(question->name, 1, Ipv4Address(192, 0, 2, 1)));
  FUZZ_CHECK(writer.edns({}, DnsCode::kNoError));
  const auto answer = DnsMessageView::parse(writer.message());
  FUZZ_CHECK(answer && answer->question() == question && answer->header() == view->header());
  return 0;
}
