// Bridge: frames pass as they are.
//
// What: forwards every frame in both directions, untouched: VLAN tags, IPv6, ARP, unknown
//   EtherTypes, super-frames and partial checksums included. A link without any service does the
//   same at the same cost; this one says so in the configuration.
// Configuration: `bridge: {}`. No keys.
// Cut through: every flow; the kernel forwards it once the link has seen how it begins.
// Counters: none of its own; the link counts frames and bytes, the interfaces what they send, drop
//   and miss.
// Limits: holds nothing. A frame longer than the other interface's MTU is that interface's to cut
//   (a super-frame) or to drop (tx-too-large).
// Example:
//   links:
//     - { name: vm1, guest: vm1, network: uplink, services: [ bridge: {} ] }
#pragma once

#include "vtl/engine/service.h"

namespace vtl::service {

/// Thread rule: as engine::Service.
class Bridge final : public engine::Service {
 public:
  [[nodiscard]] std::string_view kind() const noexcept override { return "bridge"; }
  void start(engine::ServiceContext& context) override { (void)context; }
  void process(engine::Direction direction, Batch& batch) override {
    (void)direction;
    (void)batch;
  }
  [[nodiscard]] bool may_cut_through(const wire::FlowKey& flow) const override {
    (void)flow;
    return true;
  }
};

[[nodiscard]] engine::ServiceFactory make_bridge();

}  // namespace vtl::service
