#include "vtl/service/anonymizer/identities.h"

#include <fmt/format.h>

#include <cstdint>

#include "vtl/base/secure_random.h"

namespace vtl::service {
namespace {

std::string text_of(const transport::Host& host) {
  const auto* const name = std::get_if<std::string>(&host);
  return name != nullptr ? *name : to_string(std::get<wire::IpAddress>(host));
}

}  // namespace

void Identities::renew() {
  for (SipKey& key : keys_) fill_random(key);
}

std::string Identities::of(const wire::IpAddress& guest, std::uint16_t vlan,
                           const transport::Host& destination) const {
  if (!any()) return {};
  // A blank stands in neither part, so no two pairs read the same.
  std::string whom;
  if (by_ == IsolateBy::kGuest || by_ == IsolateBy::kBoth) {
    whom += fmt::format("{}@{}", to_string(guest), vlan);
  }
  if (by_ == IsolateBy::kDestination || by_ == IsolateBy::kBoth) whom += " " + text_of(destination);
  const Bytes octets(reinterpret_cast<const std::uint8_t*>(whom.data()), whom.size());
  std::string out;
  for (const SipKey& key : keys_) {
    std::uint64_t hash = siphash(key, octets);
    for (std::size_t i = 0; i < sizeof hash; ++i, hash >>= 8) {
      out += static_cast<char>(hash & 0xff);
    }
  }
  return out;
}

}  // namespace vtl::service
