#include "vtl/iface/trace.h"

#include <fmt/format.h>

#include "vtl/iface/decorator.h"
#include "vtl/wire/print.h"

namespace vtl::iface {
namespace {

class Trace final : public Decorator {
 public:
  Trace(std::unique_ptr<Interface> inner, TraceSink sink)
      : Decorator(std::move(inner)), sink_(std::move(sink)) {}

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    const std::size_t before = batch.size();
    const ReadStatus status = inner_->read(pool, now, batch);
    for (std::size_t i = before; i < batch.size(); ++i) tell("in", batch[i]);
    return status;
  }

  [[nodiscard]] std::size_t write(std::span<Packet> batch) override {
    // What was told and not taken comes again: the last write()'s remainder is at the front.
    for (std::size_t i = std::min(told_, batch.size()); i < batch.size(); ++i) {
      if (batch[i]) tell("out", batch[i]);
    }
    const std::size_t done = inner_->write(batch);
    told_ = batch.size() - done;
    return done;
  }

 private:
  void tell(std::string_view direction, const Packet& packet) {
    const Gso& gso = packet.meta().gso;
    const std::string super =
        gso.is_super() ? fmt::format(" super-frame/{}", gso.segment_size) : std::string();
    const std::string what = wire::print_frame(packet.bytes(), {.super_frame = gso.is_super()});
    sink_(fmt::format("{} {} {}{} {}", name(), direction, packet.size(), super, what));
  }

  TraceSink sink_;
  std::size_t told_ = 0;
};

}  // namespace

std::unique_ptr<Interface> make_trace(std::unique_ptr<Interface> inner, TraceSink sink) {
  return std::make_unique<Trace>(std::move(inner), std::move(sink));
}

}  // namespace vtl::iface
