#include "vtl/base/drop_reason.h"

#include <array>
#include <cassert>

namespace vtl {
namespace {

struct Entry {
  std::string_view name;
  Severity severity;
  std::string_view meaning;
};

constexpr std::array<Entry, kDropReasons> kEntries{{
#define VTL_DROP(id, name, severity, meaning) {name, Severity::severity, meaning},
#include "vtl/base/drop_reason.def"
#undef VTL_DROP
}};

const Entry& entry(DropReason reason) noexcept {
  assert(reason < DropReason::kCount);
  return kEntries[static_cast<std::size_t>(reason)];
}

}  // namespace

std::string_view name(DropReason reason) noexcept {
  return entry(reason).name;
}
Severity severity(DropReason reason) noexcept {
  return entry(reason).severity;
}
std::string_view meaning(DropReason reason) noexcept {
  return entry(reason).meaning;
}

}  // namespace vtl
