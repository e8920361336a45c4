#include "vtl/iface/seal.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/iface/claim.h"

namespace vtl::iface {
namespace {

constexpr Duration kWarnings = 1s;  // at most one for each loss in so long; all are counted

std::uint32_t draw_mark() {
  std::random_device source;
  std::uint32_t mark = 0;
  while (mark == 0) mark = source();
  return mark;
}

std::string refusal(const std::string& step, int error) {
  return fmt::format("{}: {}{}", step, std::strerror(error),
                     error == EPERM ? "; run as root or with CAP_NET_ADMIN" : "");
}

std::unexpected<Error> failed(const std::string& device, const std::string& why) {
  return fail(fmt::format("seal {}: {}", device, why));
}

std::string claim_of(const std::string& device) {
  return "vtl-seal-" + device;
}

std::expected<MnlSocket, int> open_events() {
  MnlSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return std::unexpected(errno);
  }
  for (unsigned int group : {RTNLGRP_LINK, RTNLGRP_TC}) {
    if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
      return std::unexpected(errno);
    }
  }
  return socket;
}

// The fixed part of a message; nothing when the message is cut short.
template <class Header>
std::optional<Header> header_of(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
  return header;
}

// The name that a link's message tells; empty when it tells none.
std::string_view link_name(const nlmsghdr* message) {
  std::string_view name;
  (void)mnl_attr_parse(
      message, MNL_ALIGN(sizeof(ifinfomsg)),
      [](const nlattr* attribute, void* out) -> int {
        if (mnl_attr_get_type(attribute) == IFLA_IFNAME &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0) {
          *static_cast<std::string_view*>(out) = mnl_attr_get_str(attribute);
        }
        return MNL_CB_OK;
      },
      &name);
  return name;
}

bool is_removal(const nlmsghdr* message, const Device& device) {
  if (message->nlmsg_type != RTM_DELLINK) return false;
  const auto link = header_of<ifinfomsg>(message);
  // The other families tell that the device has left something: a bridge, say.
  return link && link->ifi_family == AF_UNSPEC && link->ifi_index == device.index();
}

// Whether the message may mean that the device, or what is sealed of it, is not what it was.
bool concerns(const nlmsghdr* message, const Device& device) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const auto link = header_of<ifinfomsg>(message);
      if (!link) return true;
      const bool same_index = link->ifi_index == device.index();
      if (message->nlmsg_type == RTM_DELLINK) return same_index;
      // Its state may change as often as the guest likes: that is no concern of the seal.
      return same_index != (link_name(message) == device.name());
    }
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER:
    case RTM_NEWCHAIN:
    case RTM_DELCHAIN: {
      const auto control = header_of<tcmsg>(message);
      return !control || control->tcm_ifindex == device.index();
    }
    default:
      return false;
  }
}

}  // namespace

Seal::Seal(Device device, SealUse use, OwnedFd claim, SealFilters filters, MnlSocket events)
    : device_(std::move(device)),
      wanted_use_(use),
      use_(use),
      claim_(std::move(claim)),
      filters_(std::move(filters)),
      events_(std::move(events)),
      mark_(draw_mark()) {}

Outcome<std::shared_ptr<Seal>> Seal::open(const std::string& device, SealUse use) {
  auto found = Device::find("seal", device);
  if (!found) return std::unexpected(found.error());
  auto claim = take_claim(claim_of(device));
  if (!claim && claim.error() == EADDRINUSE) {
    return failed(device,
                  fmt::format("another process, a running vtl most likely, has the claim on "
                              "it; stop that one first (ss -xlp | grep {})",
                              claim_of(device)));
  }
  if (!claim) return failed(device, refusal("claim", claim.error()));
  auto filters = SealFilters::open();
  if (!filters) return failed(device, refusal("netlink", filters.error()));
  auto events = open_events();
  if (!events) return failed(device, refusal("watching the device", events.error()));
  std::shared_ptr<Seal> seal(
      new Seal(std::move(*found), use, std::move(*claim), std::move(*filters), std::move(*events)));
  if (auto closed = seal->close_device(true); !closed) {
    return failed(device, closed.error().message);
  }
  seal->settle({}, false);
  return seal;
}

// True when anything had to be put. `fresh`: no filter that is there yet is of this seal.
Outcome<bool> Seal::close_device(bool fresh) {
  const int device = device_.index();
  bool put = false;
  for (const SealSide side : kSealSides) {
    const int there = filters_.look(device, side, mark_);
    // Of one that died or was told to leave it: not ours to take away.
    if (fresh && (there == 0 || there == EILSEQ)) use_ = SealUse::kKeep;
    if (there == 0) continue;
    if (const int error = filters_.add_clsact(device); error != 0) {
      return fail(refusal("clsact", error));
    }
    if (const int error = filters_.put(device, side, mark_); error != 0) {
      return fail(refusal(fmt::format("filter at the {}", name(side)), error));
    }
    put = true;
  }
  return put;
}

int Seal::events_fd() const noexcept {
  return mnl_socket_get_fd(events_.get());
}

void Seal::attend() {
  if (missed_something() || device_number() == 0) look();
}

// Reads the notifications; true when one concerns the device, or may have been lost.
bool Seal::missed_something() {
  bool concerned = false;
  alignas(nlmsghdr) std::array<char, kDatagram> datagram;
  for (int i = 0; i < kDatagrams; ++i) {
    const auto size = mnl_socket_recvfrom(events_.get(), datagram.data(), datagram.size());
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) break;
    const bool told = size < 0 || is_told_of(datagram.data(), static_cast<std::size_t>(size));
    concerned = concerned || told;
  }
  return concerned;
}

bool Seal::is_told_of(const void* datagram, std::size_t size) {
  bool concerned = false;
  const auto* message = static_cast<const nlmsghdr*>(datagram);
  for (int left = static_cast<int>(size); mnl_nlmsg_ok(message, left);
       message = mnl_nlmsg_next(message, &left)) {
    removed_ = removed_ || is_removal(message, device_);
    concerned = concerned || concerns(message, device_);
  }
  return concerned;
}

void Seal::look() {
  const int before = device_.index();
  if (!device_.find_again()) {
    settle("the device has gone; it is sealed and used again when it is back", false);
    return;
  }
  // One may have been made again with the number that it had.
  const bool fresh = std::exchange(removed_, false) || device_.index() != before;
  if (fresh) {
    use_ = wanted_use_;
    ++devices_;
  }
  const auto put = close_device(fresh);
  if (put) {
    if (fresh) log::info("device {} was made again: sealed, and used", device_.name());
    settle({}, *put && !fresh);
    return;
  }
  settle(fmt::format("{}; nothing is carried until it can be sealed; what stands in the way is in "
                     "`tc filter show dev {} ingress` and `egress`",
                     put.error().message, device_.name()),
         false);
}

void Seal::settle(std::string trouble, bool put_back) {
  const bool whole = trouble.empty();
  device_number_.store(whole ? devices_ : 0, std::memory_order_relaxed);
  const std::scoped_lock lock(mutex_);
  if (put_back) {
    ++state_.reseals;
    const Time now = SystemClock().now();
    if (now >= warned_ + kWarnings)
      log::warn("device {} had lost its seal; it is sealed again ({} times so far)", device_.name(),
                state_.reseals);
    warned_ = now;
  }
  if (!whole && trouble != state_.trouble) {
    log::warn("device {} is not sealed: {}", device_.name(), trouble);
  }
  state_.whole = whole;
  state_.trouble = std::move(trouble);
}

SealState Seal::state() const {
  const std::scoped_lock lock(mutex_);
  return state_;
}

Outcome<bool> Seal::remove(const std::string& device) {
  const auto found = Device::find("unseal", device);
  if (!found) return std::unexpected(found.error());
  const auto claim = take_claim(claim_of(device));
  if (!claim && claim.error() == EADDRINUSE) {
    return fail(
        fmt::format("unseal {}: another process, a running vtl most likely, has the claim on "
                    "it; stop that one first: vtl stop (ss -xlp | grep {})",
                    device, claim_of(device)));
  }
  auto filters = SealFilters::open();
  if (!filters)
    return fail(fmt::format("unseal {}: {}", device, refusal("netlink", filters.error())));
  bool removed = false;
  for (const SealSide side : kSealSides) {
    const int error = filters->remove(found->index(), side);
    if (error != 0 && !SealFilters::is_absent(error)) {
      return fail(fmt::format("unseal {}: {}", device,
                              refusal(fmt::format("filter at the {}", name(side)), error)));
    }
    removed = removed || error == 0;
  }
  return removed;
}

Seal::~Seal() {
  if (use_ == SealUse::kKeep) return;
  for (const SealSide side : kSealSides) {
    const int error = filters_.remove(device_.index(), side);
    // The device may have gone, and the filter with it.
    if (error == 0 || SealFilters::is_absent(error)) continue;
    log::warn("device {} stays sealed: {}; to take it away: vtl unseal {}", device_.name(),
              std::strerror(error), device_.name());
  }
}

}  // namespace vtl::iface
