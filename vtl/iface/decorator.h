// Decorator: an interface around another, which it passes everything on to. But for frames in
// pieces: those become one frame, which the decorator sees (Interface::write_gathered()).
//
// Base of capture and trace. Thread rule and limits are the inner interface's.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "vtl/iface/interface.h"

namespace vtl::iface {

class Decorator : public Interface {
 public:
  [[nodiscard]] const std::string& name() const noexcept override { return inner_->name(); }
  [[nodiscard]] int fd() const noexcept override { return inner_->fd(); }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return inner_->capabilities();
  }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return inner_->mac(); }
  [[nodiscard]] bool is_up() const noexcept override { return inner_->is_up(); }
  [[nodiscard]] bool signals_writable() const noexcept override {
    return inner_->signals_writable();
  }
  [[nodiscard]] int events_fd() const noexcept override { return inner_->events_fd(); }
  void attend() override { inner_->attend(); }
  [[nodiscard]] std::optional<SealState> seal() const override { return inner_->seal(); }
  [[nodiscard]] const InterfaceCounters& counters() const noexcept override {
    return inner_->counters();
  }

 protected:
  explicit Decorator(std::unique_ptr<Interface> inner) : inner_(std::move(inner)) {}
  std::unique_ptr<Interface> inner_;
};

}  // namespace vtl::iface
