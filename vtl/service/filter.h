// Filter: a pcap-filter(7) expression, compiled once, asked per frame.
//
// A tagged frame matches as it is or with its VLAN tags taken away: "tcp port 80" means what people
// expect on a trunk too, and "vlan 5 and tcp" works as well.
// Thread rule: compile on any thread; matches() is const and may be called from any.
#pragma once

#include <memory>
#include <string>

#include "vtl/base/bytes.h"
#include "vtl/base/result.h"
#include "vtl/packet/layout.h"

namespace vtl::service {

class Filter {
 public:
  /// Error: what libpcap says of the expression.
  [[nodiscard]] static Outcome<Filter> compile(const std::string& expression);
  Filter(Filter&&) noexcept;
  Filter& operator=(Filter&&) noexcept;
  ~Filter();

  [[nodiscard]] bool matches(Bytes frame, const Layout& layout) const;
  [[nodiscard]] const std::string& expression() const noexcept { return expression_; }

 private:
  struct Program;
  Filter(std::string expression, std::unique_ptr<Program> program);
  std::string expression_;
  std::unique_ptr<Program> program_;
};

}  // namespace vtl::service
