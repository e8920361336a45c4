#include "vtl/iface/seal.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "vtl/base/log.h"
#include "vtl/iface/claim.h"

namespace vtl::iface {
namespace {

std::uint32_t draw_mark() {
  std::random_device source;
  std::uint32_t mark = 0;
  while (mark == 0) mark = source();
  return mark;
}

std::unexpected<Error> refused(const std::string& device, const std::string& step, int error) {
  return fail(fmt::format("seal {}: {}: {}{}", device, step, std::strerror(error),
                          error == EPERM ? "; run as root or with CAP_NET_ADMIN" : ""));
}

}  // namespace

Seal::Seal(Device device, SealUse use, OwnedFd claim, SealFilters filters)
    : device_(std::move(device)),
      use_(use),
      claim_(std::move(claim)),
      filters_(std::move(filters)),
      mark_(draw_mark()) {}

Outcome<std::shared_ptr<Seal>> Seal::open(const std::string& device, SealUse use) {
  auto found = Device::find("seal", device);
  if (!found) return std::unexpected(found.error());
  auto claim = take_claim("vtl-seal-" + device);
  if (!claim && claim.error() == EADDRINUSE) {
    return fail(
        fmt::format("seal {}: another VTL has sealed it and runs; stop that one first", device));
  }
  if (!claim) return refused(device, "claim", claim.error());
  auto filters = SealFilters::open();
  if (!filters) return refused(device, "netlink", filters.error());
  std::shared_ptr<Seal> seal(
      new Seal(std::move(*found), use, std::move(*claim), std::move(*filters)));
  if (auto put = seal->put(); !put) return std::unexpected(put.error());
  return seal;
}

Outcome<void> Seal::put() {
  const int index = device_.index();
  if (const int error = filters_.add_clsact(index); error != 0) {
    return refused(device_.name(), "clsact", error);
  }
  for (const SealSide side : kSealSides) {
    int error = filters_.put(index, side, mark_, false);
    if (error == EEXIST) {  // of one that died or was told to leave it: not ours to take away
      use_ = SealUse::kKeep;
      error = filters_.put(index, side, mark_, true);
    }
    if (error != 0) {
      return refused(device_.name(), fmt::format("filter at the {}", name(side)), error);
    }
  }
  return {};
}

Seal::~Seal() {
  if (use_ == SealUse::kKeep) return;
  for (const SealSide side : kSealSides) {
    const int error = filters_.remove(device_.index(), side);
    // The device may have gone, and the filter with it.
    if (error == 0 || SealFilters::is_absent(error)) continue;
    log::warn("seal: device {} stays sealed: {}; by hand: tc filter del dev {} {} pref {}",
              device_.name(), std::strerror(error), device_.name(), name(side),
              SealFilters::kPreference);
  }
}

}  // namespace vtl::iface
