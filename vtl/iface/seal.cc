#include "vtl/iface/seal.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "vtl/base/log.h"
#include "vtl/iface/device.h"

namespace vtl::iface {
namespace {

constexpr std::uint32_t kPriority = 1;  // the first that the kernel asks
constexpr std::uint32_t kHandle = 0x56544c;
constexpr std::size_t kMessage = 512;

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

// One request to the kernel and its answer; 0 or the error's number.
class Request {
 public:
  Request(int device, std::uint16_t type, std::uint16_t flags) {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    header_->nlmsg_seq = 1;
    message_ = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(tcmsg)));
    message_->tcm_family = AF_UNSPEC;
    message_->tcm_ifindex = device;
  }
  [[nodiscard]] nlmsghdr* header() noexcept { return header_; }
  [[nodiscard]] tcmsg& message() noexcept { return *message_; }

  [[nodiscard]] int send() {
    const std::unique_ptr<mnl_socket, CloseSocket> socket(
        mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_sendto(socket.get(), header_, header_->nlmsg_len) < 0) {
      return errno;
    }
    std::array<char, 8192> answer{};
    const auto size = mnl_socket_recvfrom(socket.get(), answer.data(), answer.size());
    if (size < 0) return errno;
    const auto port = mnl_socket_get_portid(socket.get());
    return mnl_cb_run(answer.data(), static_cast<std::size_t>(size), 1, port, nullptr, nullptr) < 0
               ? errno
               : 0;
  }

 private:
  alignas(nlmsghdr) std::array<char, kMessage> buffer_{};
  nlmsghdr* header_;
  tcmsg* message_;
};

int add_clsact(int device) {
  Request request(device, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
  request.message().tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  request.message().tcm_parent = TC_H_CLSACT;
  mnl_attr_put_strz(request.header(), TCA_KIND, "clsact");
  const int error = request.send();
  return error == EEXIST ? 0 : error;
}

void name_filter(Request& request) {
  request.message().tcm_handle = kHandle;
  request.message().tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  request.message().tcm_info = TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL));
  mnl_attr_put_strz(request.header(), TCA_KIND, "bpf");
}

int add_filter(int device, std::uint16_t flags) {
  constexpr sock_filter kDrop{BPF_RET | BPF_K, 0, 0, TC_ACT_SHOT};
  Request request(device, RTM_NEWTFILTER, static_cast<std::uint16_t>(NLM_F_CREATE | flags));
  name_filter(request);
  nlattr* const options = mnl_attr_nest_start(request.header(), TCA_OPTIONS);
  mnl_attr_put_u16(request.header(), TCA_BPF_OPS_LEN, 1);
  mnl_attr_put(request.header(), TCA_BPF_OPS, sizeof kDrop, &kDrop);
  mnl_attr_put_u32(request.header(), TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  mnl_attr_nest_end(request.header(), options);
  return request.send();
}

int remove_filter(int device) {
  Request request(device, RTM_DELTFILTER, 0);
  name_filter(request);
  return request.send();
}

}  // namespace

Outcome<std::shared_ptr<Seal>> Seal::open(const std::string& device, SealUse use) {
  const auto found = Device::find("seal", device);
  if (!found) return std::unexpected(found.error());
  const auto refused = [&](const char* step, int error) {
    return fail(fmt::format("seal {}: {}: {}{}", device, step, std::strerror(error),
                            error == EPERM ? "; run as root or with CAP_NET_ADMIN" : ""));
  };
  if (const int error = add_clsact(found->index()); error != 0) return refused("clsact", error);
  int error = add_filter(found->index(), NLM_F_EXCL);
  if (error == EEXIST) {  // another's who stands beside us, or who died: not ours to take away
    use = SealUse::kKeep;
    error = add_filter(found->index(), 0);
  }
  if (error != 0) return refused("filter at the ingress", error);
  return std::shared_ptr<Seal>(new Seal(found->index(), use));
}

Seal::~Seal() {
  if (use_ == SealUse::kKeep) return;
  const int error = remove_filter(device_);
  // The device may have gone, and the filter with it.
  if (error != 0 && error != ENODEV && error != ENOENT && error != EINVAL) {
    log::warn("seal: device {} stays sealed: {}; by hand: tc filter del dev DEVICE ingress pref {}",
              device_, std::strerror(error), kPriority);
  }
}

}  // namespace vtl::iface
