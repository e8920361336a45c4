// Frames of a guest, as they are answered at once: ARP, neighbour discovery, echo, DHCP. An answer
// is whole, from our MAC address where it is ours to say, and in the VLAN of the question. First
// octet: 0 leaves the checksums as they are, else they are made right before.
#include "../fuzz.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/service/anonymizer/dhcp_server.h"
#include "vtl/service/anonymizer/echo_responder.h"
#include "vtl/service/anonymizer/neighbour_responder.h"

using namespace vtl;
using namespace vtl::service;

namespace {

constexpr wire::MacAddress kOurs({2, 0, 0, 0, 0, 1});
constexpr wire::Ipv4Address kGateway(10, 137, 0, 1);

NeighbourOptions neighbour_options() {
  NeighbourOptions out;
  out.mac = kOurs;
  out.gateway = kGateway;
  out.ours = {*wire::IpNetwork::parse("198.18.0.0/15")};
  out.ipv6 = Ipv6Router{.prefix = *wire::IpNetwork::parse("fd5a:1::/64"),
                        .resolver = *wire::Ipv6Address::parse("fd5a:1::1")};
  return out;
}

DhcpServerOptions dhcp_options() {
  DhcpServerOptions out;
  out.network = *wire::IpNetwork::parse("10.137.0.0/24");
  out.gateway = kGateway;
  out.mac = kOurs;
  return out;
}

void check(const Packet& answer, const Packet& question) {
  if (!answer) return;
  FUZZ_CHECK(!is_malformed(answer) && verify_checksums(answer));
  FUZZ_CHECK(answer.layout().vlan == question.layout().vlan);
  FUZZ_CHECK(answer.layout().vlan_tags == question.layout().vlan_tags);
  fuzz::touch(answer.bytes());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 15 || size > 4096) return 0;
  PacketPool pool;
  Packet question = pool.copy_of(Bytes(data + 1, size - 1));
  if (data[0] != 0 && !is_malformed(question) && is_ip(question)) compute_checksums(question);
  Rng rng(1);
  NeighbourResponder neighbours(neighbour_options(), rng);
  DhcpServer dhcp(dhcp_options());
  check(echo_reply_for(question), question);
  if (dhcp.is_for(question)) check(dhcp.answer(question, Time{1h}), question);
  for (int i = 0; i < 2 && neighbours.is_for(question); ++i) {
    const Packet answer = neighbours.answer(question, Time{1h});
    FUZZ_CHECK(!answer || source_mac(answer) == kOurs);
    check(answer, question);
  }
  neighbours.dispatch(pool, Time{1h}, [&](const Packet& sent) {
    FUZZ_CHECK(!is_malformed(sent) && verify_checksums(sent) && source_mac(sent) == kOurs);
  });
  return 0;
}
