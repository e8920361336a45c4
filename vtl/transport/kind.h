// Kind: one way to carry bytes, as the four functions that make it.
#pragma once

#include <string_view>

#include "vtl/transport/channel.h"
#include "vtl/transport/options.h"

namespace vtl::transport {

struct Kind {
  std::string_view name;
  Outcome<std::unique_ptr<Carrier>> (*make_carrier)(const Options&, Reactor&);
  Outcome<std::unique_ptr<RawListener>> (*make_listener)(const Options&, Reactor&, AcceptFunction);
  DiscardFunction discard;
};

extern const Kind kUdt;
extern const Kind kTcp;

}  // namespace vtl::transport
