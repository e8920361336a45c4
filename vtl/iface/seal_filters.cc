#include "vtl/iface/seal_filters.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

namespace vtl::iface {
namespace {

constexpr std::uint32_t kHandle = 0x56544c;
constexpr std::size_t kRequestRoom = 512;
constexpr std::size_t kAnswerRoom = 8192;

std::vector<sock_filter> program_of(SealSide side, std::uint32_t mark) {
  constexpr sock_filter kDrop{BPF_RET | BPF_K, 0, 0, TC_ACT_SHOT};
  if (side == SealSide::kIngress) return {kDrop};
  constexpr auto kMark = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_MARK);
  constexpr auto kNextFilter = static_cast<std::uint32_t>(TC_ACT_UNSPEC);
  return {{BPF_LD | BPF_W | BPF_ABS, 0, 0, kMark},
          {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, mark},
          {BPF_RET | BPF_K, 0, 0, kNextFilter},
          kDrop};
}

std::uint32_t parent_of(SealSide side) {
  return TC_H_MAKE(TC_H_CLSACT, side == SealSide::kIngress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

}  // namespace

void CloseMnlSocket::operator()(mnl_socket* socket) const noexcept {
  mnl_socket_close(socket);
}

class SealFilters::Request {
 public:
  Request(int device, std::uint16_t type, std::uint16_t flags) {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    message_ = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(tcmsg)));
    message_->tcm_family = AF_UNSPEC;
    message_->tcm_ifindex = device;
  }
  // The filter's place.
  Request(int device, SealSide side, std::uint16_t type, std::uint16_t flags)
      : Request(device, type, flags) {
    message_->tcm_handle = kHandle;
    message_->tcm_parent = parent_of(side);
    message_->tcm_info = TC_H_MAKE(kPreference << 16, htons(ETH_P_ALL));
    mnl_attr_put_strz(header_, TCA_KIND, "bpf");
  }
  [[nodiscard]] nlmsghdr* header() noexcept { return header_; }
  [[nodiscard]] tcmsg& message() noexcept { return *message_; }

 private:
  alignas(nlmsghdr) std::array<char, kRequestRoom> buffer_{};
  nlmsghdr* header_;
  tcmsg* message_;
};

struct SealFilters::Wanted {
  std::vector<sock_filter> program;
  bool found = false;

  // A filter as the kernel tells it; what is cut short or of another kind is not the one.
  static int take(const nlmsghdr* message, void* self) {
    auto& wanted = *static_cast<Wanted*>(self);
    if (message->nlmsg_type != RTM_NEWTFILTER) return MNL_CB_OK;
    if (mnl_nlmsg_get_payload_len(message) < sizeof(tcmsg)) return MNL_CB_OK;
    const auto attributes = attributes_of<TCA_MAX>([&](auto take_one, void* into) {
      return mnl_attr_parse(message, MNL_ALIGN(sizeof(tcmsg)), take_one, into);
    });
    const nlattr* const kind = attributes[TCA_KIND];
    const nlattr* const options = attributes[TCA_OPTIONS];
    if (kind == nullptr || mnl_attr_validate(kind, MNL_TYPE_NUL_STRING) < 0) return MNL_CB_OK;
    if (std::string_view(mnl_attr_get_str(kind)) != "bpf") return MNL_CB_OK;
    if (options != nullptr) wanted.found = wanted.is_described_by(options);
    return MNL_CB_OK;
  }

 private:
  // The attributes by type, each within its message: whoever parses them is given.
  template <std::uint16_t kLast, class Parse>
  static std::array<const nlattr*, kLast + 1> attributes_of(Parse parse) {
    std::array<const nlattr*, kLast + 1> out{};
    (void)parse(
        [](const nlattr* attribute, void* into) -> int {
          const std::uint16_t type = mnl_attr_get_type(attribute);
          if (type <= kLast) (*static_cast<decltype(&out)>(into))[type] = attribute;
          return MNL_CB_OK;
        },
        &out);
    return out;
  }

  [[nodiscard]] bool is_described_by(const nlattr* options) const {
    const auto attributes = attributes_of<TCA_BPF_MAX>(
        [&](auto take_one, void* into) { return mnl_attr_parse_nested(options, take_one, into); });
    const nlattr* const flags = attributes[TCA_BPF_FLAGS];
    const nlattr* const code = attributes[TCA_BPF_OPS];
    if (flags == nullptr || mnl_attr_validate(flags, MNL_TYPE_U32) < 0 || code == nullptr) {
      return false;
    }
    const std::size_t size = program.size() * sizeof(sock_filter);
    return (mnl_attr_get_u32(flags) & TCA_BPF_FLAG_ACT_DIRECT) != 0 &&
           mnl_attr_get_payload_len(code) == size &&
           std::memcmp(mnl_attr_get_payload(code), program.data(), size) == 0;
  }
};

std::expected<SealFilters, int> SealFilters::open() {
  // The kernel has answered when the request was taken: nothing is waited for.
  MnlSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return std::unexpected(errno);
  }
  return SealFilters(std::move(socket));
}

int SealFilters::ask(Request& request, Wanted* wanted) {
  request.header()->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), request.header(), request.header()->nlmsg_len) < 0) {
    return errno;
  }
  alignas(nlmsghdr) std::array<char, kAnswerRoom> answer{};
  const auto port = mnl_socket_get_portid(socket_.get());
  for (;;) {
    const auto size = mnl_socket_recvfrom(socket_.get(), answer.data(), answer.size());
    if (size < 0) return errno;
    const int more = mnl_cb_run(answer.data(), static_cast<std::size_t>(size), sequence_, port,
                                wanted == nullptr ? nullptr : &Wanted::take, wanted);
    if (more < 0 && errno == EPROTO) continue;  // the rest of an answer that was given up
    if (more < 0) return errno;
    if (more == MNL_CB_STOP) return 0;
  }
}

int SealFilters::add_clsact(int device) {
  Request request(device, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
  request.message().tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  request.message().tcm_parent = TC_H_CLSACT;
  mnl_attr_put_strz(request.header(), TCA_KIND, "clsact");
  const int error = ask(request);
  return error == EEXIST ? 0 : error;
}

int SealFilters::put(int device, SealSide side, std::uint32_t mark) {
  const auto program = program_of(side, mark);
  Request request(device, side, RTM_NEWTFILTER, NLM_F_CREATE);
  nlattr* const options = mnl_attr_nest_start(request.header(), TCA_OPTIONS);
  mnl_attr_put_u16(request.header(), TCA_BPF_OPS_LEN, static_cast<std::uint16_t>(program.size()));
  mnl_attr_put(request.header(), TCA_BPF_OPS, program.size() * sizeof(sock_filter), program.data());
  mnl_attr_put_u32(request.header(), TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  mnl_attr_nest_end(request.header(), options);
  return ask(request);
}

int SealFilters::look(int device, SealSide side, std::uint32_t mark) {
  Request request(device, side, RTM_GETTFILTER, 0);
  Wanted wanted{.program = program_of(side, mark)};
  if (const int error = ask(request, &wanted); error != 0) return error;
  return wanted.found ? 0 : EILSEQ;
}

int SealFilters::remove(int device, SealSide side) {
  Request request(device, side, RTM_DELTFILTER, 0);
  return ask(request);
}

bool SealFilters::is_absent(int error) noexcept {
  return error == ENODEV || error == ENOENT || error == EINVAL;
}

}  // namespace vtl::iface
