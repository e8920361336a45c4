#include "vtl/service/bridge/bridge.h"

namespace vtl::service {

engine::ServiceFactory make_bridge() {
  return [](std::uint32_t) { return std::make_unique<Bridge>(); };
}

}  // namespace vtl::service
