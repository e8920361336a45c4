#include "vtl/engine/service.h"

#include <fmt/format.h>

namespace vtl::engine {

Outcome<void> Service::act(std::string_view action) {
  return fail(fmt::format("{}: there is no action '{}'", kind(), action));
}

}  // namespace vtl::engine
