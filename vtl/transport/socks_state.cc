#include "vtl/transport/socks_state.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/transport/tor_control_lines.h"

namespace vtl::transport {
namespace {

// What may stand in a user's name is told nowhere; letters and digits may everywhere.
std::string hexadecimal(std::string_view octets) {
  return to_hex({reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()});
}

}  // namespace

SocksState::~SocksState() {
  assert(in_use_ == 0 && "streams and look-ups are destroyed before their proxy");
}

bool SocksState::enter(SocksUser* user) noexcept {
  if (in_use_ >= options_.max_streams) return false;
  if (user != nullptr) {
    if (user->in_use >= std::max(1U, options_.max_streams / std::max(1U, users_))) return false;
    ++user->in_use;
  }
  ++in_use_;
  return true;
}

void SocksState::leave(SocksUser* user) noexcept {
  --in_use_;
  if (user != nullptr) --user->in_use;
}

std::optional<SocksCredentials> SocksState::credentials_for(std::string_view isolation) const {
  if (options_.credentials) return options_.credentials;
  if (isolation.empty()) return std::nullopt;
  // Two different values give two different pairs: Tor looks at both (IsolateSOCKSAuth). Of 128
  // octets each field has 64.
  constexpr std::size_t kInUser = Proxy::kMaxIsolation / 2;
  const std::string_view in_password =
      isolation.substr(std::min(isolation.size(), kInUser), kInUser);
  return SocksCredentials{hexadecimal(isolation.substr(0, kInUser)),
                          in_password.empty() ? "-" : hexadecimal(in_password)};
}

void SocksState::reached() {
  tried_ = true;
  if (up_ && error_.empty()) return;
  error_.clear();
  if (std::exchange(up_, true)) return;
  log::info("proxy {}: up", options_.name);
  on_change();
}

void SocksState::unreachable(std::string why, bool credentials) {
  tried_ = true;
  counters_.connect_failures.add();
  failed_with_credentials_ = credentials;
  error_ = std::move(why);
  if (!std::exchange(up_, false)) return;
  log::warn("proxy {}: down: {}; tried again until it answers", options_.name, error_);
  on_change();
}

void SocksState::lacking(std::string why) {
  if (error_.empty()) log::warn("proxy {}: {}", options_.name, why);
  error_ = std::move(why);
}

}  // namespace vtl::transport
