// ServiceOptions: one of the services with its options.
#pragma once

#include <variant>

#include "vtl/service/anonymizer/options.h"
#include "vtl/service/gateway/options.h"
#include "vtl/service/impair/impair.h"
#include "vtl/service/split/options.h"

namespace vtl::config {

/// The bridge has none: it forwards everything.
struct BridgeOptions {};

using ServiceOptions = std::variant<BridgeOptions, service::ImpairConfig, service::GatewayOptions,
                                    service::SplitOptions, service::AnonymizerOptions>;

}  // namespace vtl::config
