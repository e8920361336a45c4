// DNS queries of a guest: whatever comes, the answer is a whole message that answers it, or
// nothing. First octet: mode (bit 0), IPv6 (1), names denied (2), a pool of one name (3), octets of
// room that are missing (the upper four, by 32).
#include <array>

#include "../fuzz.h"
#include "vtl/service/anonymizer/dns_responder.h"

using namespace vtl;
using namespace vtl::service;

namespace {

void check(Bytes answer, Bytes query, bool short_room) {
  const auto view = wire::DnsMessageView::parse(answer);
  FUZZ_CHECK(view && view->header().response && view->header().id == load_be16(query, 0));
  FUZZ_CHECK(answer.size() <= DnsResponder::kMaxAnswer);
  FUZZ_CHECK(short_room || !view->header().truncated);
  const auto asked = wire::DnsMessageView::parse(query);
  if (asked && view->question()) FUZZ_CHECK(view->question() == asked->question());
  for (auto it = view->records(); const auto record = it.next();) {
    FUZZ_CHECK(record->name().has_value());
    fuzz::touch(record->data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes query(data + 1, size - 1);
  static const EgressList open, closed({{false, *EgressPattern::parse("*.example.org"), {}},
                                        {true, *EgressPattern::parse("*.org"), {{80, 443}}},
                                        {false, *EgressPattern::parse("any"), {}}});
  NamePoolOptions options;
  if ((data[0] & 2) != 0) options.v6 = *wire::IpNetwork::parse("fd5a:1::/96");
  if ((data[0] & 8) != 0) options.max_names = 1;
  Rng rng(1);
  NamePool pool(options, rng);
  (void)pool.give("taken.example", AddressFamily::kV4, 2, Time{1h});
  DnsResponder responder((data[0] & 1) != 0 ? DnsMode::kResolve : DnsMode::kPool, pool,
                         (data[0] & 4) != 0 ? closed : open);
  std::array<std::uint8_t, DnsResponder::kMaxAnswer> buffer;
  buffer.fill(0xaa);
  const std::size_t missing = (data[0] >> 4) * 32U;
  const MutableBytes out = MutableBytes(buffer).first(buffer.size() - missing);
  const DnsOutcome outcome = responder.answer(query, out, 1, Time{1h});
  FUZZ_CHECK(outcome.answer.empty() || !outcome.look_up);
  if (!outcome.answer.empty()) check(outcome.answer, query, missing > 0);
  if (!outcome.look_up) return 0;
  using Found = Result<transport::Host, transport::StreamError>;
  for (const Found& found :
       {Found(*wire::IpAddress::parse("1.1.1.1")), Found(*wire::IpAddress::parse("2606::1")),
        Found(*wire::IpAddress::parse("10.0.0.1")), Found(std::string("a.example")),
        Found(std::string(300, 'a')), Found(std::unexpected(transport::StreamError::kTimedOut)),
        Found(std::unexpected(transport::StreamError::kHostUnreachable))}) {
    check(responder.finish(outcome.look_up->asked, found, out), query, missing > 0);
  }
  return 0;
}
