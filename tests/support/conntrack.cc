#include "tests/support/conntrack.h"

#include <arpa/inet.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>

#include "lab/must.h"

namespace vtl::test {
namespace {

constexpr std::array<const char*, TCP_CONNTRACK_MAX> kNames{
    "NONE",       "SYN_SENT", "SYN_RECV",  "ESTABLISHED", "FIN_WAIT",
    "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",       "SYN_SENT2"};

void set_address(nf_conntrack* ct, const wire::IpAddress& address, bool source) {
  if (address.is_v4()) {
    nfct_set_attr_u32(ct, source ? ATTR_IPV4_SRC : ATTR_IPV4_DST, htonl(address.v4().value()));
  } else {
    nfct_set_attr(ct, source ? ATTR_IPV6_SRC : ATTR_IPV6_DST, address.v6().octets().data());
  }
}

int keep_state(nf_conntrack_msg_type, nf_conntrack* ct, void* into) {
  const std::uint8_t state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
  *static_cast<std::string*>(into) = state < kNames.size() ? kNames[state] : "unknown";
  return NFCT_CB_CONTINUE;
}

}  // namespace

Conntrack::Conntrack(const lab::Host& host) {
  const auto inside = host.enter();
  handle_ = nfct_open(CONNTRACK, 0);
  if (handle_ == nullptr) {
    throw lab::LabError(Error{std::string("conntrack: ") + std::strerror(errno)});
  }
}

Conntrack::~Conntrack() {
  nfct_close(handle_);
}

std::string Conntrack::tcp_state(const wire::FlowKey& key) const {
  std::string state = "gone";
  nf_conntrack* ct = nfct_new();
  nfct_set_attr_u8(ct, ATTR_L3PROTO, key.source.address.is_v4() ? AF_INET : AF_INET6);
  nfct_set_attr_u8(ct, ATTR_L4PROTO, IPPROTO_TCP);
  set_address(ct, key.source.address, true);
  set_address(ct, key.destination.address, false);
  nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons(key.source.port.value()));
  nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(key.destination.port.value()));
  nfct_callback_register(handle_, NFCT_T_ALL, keep_state, &state);
  const int rc = nfct_query(handle_, NFCT_Q_GET, ct);
  const int error = errno;
  nfct_callback_unregister(handle_);
  nfct_destroy(ct);
  if (rc != 0 && error != ENOENT) {
    throw lab::LabError(Error{std::string("conntrack: ") + std::strerror(error)});
  }
  return state;
}

}  // namespace vtl::test
