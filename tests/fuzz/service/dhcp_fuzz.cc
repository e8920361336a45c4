// DHCP messages of guests, one after the other: every answer is whole and stays within the
// network and its bound. Each message: seconds that pass (one octet, squared), a change to the
// transaction's client (one octet), its length (two), itself.
#include "../fuzz.h"
#include "vtl/service/anonymizer/dhcp_server.h"

using namespace vtl;
using namespace vtl::service;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  DhcpServerOptions options;
  options.network = *wire::IpNetwork::parse("10.137.0.0/28");
  options.gateway = wire::Ipv4Address(10, 137, 0, 1);
  options.max_leases = 8;
  DhcpServer server(options);
  Time now{1h};
  Bytes left(data, size);
  while (left.size() >= 4) {
    now += std::chrono::seconds(left[0] * left[0]);
    const std::uint8_t client = left[1];
    const std::size_t length = std::min<std::size_t>(load_be16(left, 2), left.size() - 4);
    std::vector<std::uint8_t> message(left.begin() + 4,
                                      left.begin() + 4 + static_cast<std::ptrdiff_t>(length));
    left = left.subspan(4 + length);
    if (message.size() > 33) message[33] ^= client;
    const wire::Ipv4Address source =
        message.size() > 16 ? wire::Ipv4Address::load(message, 12) : wire::Ipv4Address{};
    const auto reply = server.answer(message, source, now);
    if (!reply) continue;
    const std::vector<std::uint8_t> emitted = fuzz::emitted(reply->message);
    const auto view = wire::DhcpView::parse(emitted);
    FUZZ_CHECK(view && view->fields() == reply->message);
    FUZZ_CHECK(reply->message.reply && reply->message.server == options.gateway);
    FUZZ_CHECK(reply->message.transaction == load_be32(message, 4));
    const wire::Ipv4Address yours = reply->message.yours;
    FUZZ_CHECK(yours.is_unspecified() || options.network.contains(yours));
    FUZZ_CHECK(yours != options.gateway);
    FUZZ_CHECK(server.counters().leased.value() <= options.max_leases);
  }
  return 0;
}
