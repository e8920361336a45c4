// What it takes to take a reduction of the window back (RFC 4015), beside the proof: undo.cc.
//
// Thread rule: values.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstddef>
#include <cstdint>

#include "vtl/endpoint/congestion.h"
#include "vtl/wire/seq.h"

namespace vtl::endpoint {

/// The octets that were sent a second time and that the peer has not reported as duplicates
/// (RFC 3708). A report counts for those that it names: a duplicate that the network made, or
/// one that is older, proves nothing. Where octets went a third time a report no longer tells of
/// which; there, and where more than kMost pieces would have to be remembered, it proves nothing,
/// either.
class ResentRanges {
 public:
  static constexpr std::size_t kMost = 64;

  /// [begin, end) was sent again; `once_more`: not for the first time.
  void add(wire::SeqNum begin, wire::SeqNum end, bool once_more);
  /// [begin, end) came twice. True: by now that is said of all that was sent again.
  [[nodiscard]] bool explain(wire::SeqNum begin, wire::SeqNum end);

 private:
  struct Range {
    wire::SeqNum begin, end;
  };
  absl::InlinedVector<Range, 4> ranges_;  // disjoint
  bool told_ = false;                     // something of it was explained
  bool unprovable_ = false;
};

struct Undo {
  explicit Undo(const CongestionControl& congestion) noexcept : before(congestion) {}

  CongestionControl before;
  ResentRanges resent;
  wire::SeqNum first;         ///< the first octet that was sent again
  std::uint32_t stamp = 0;    ///< our timestamp then
  bool sent = false;          ///< something was sent again
  bool echo_decided = false;  ///< the acknowledgement that covers `first` has come
  bool over = false;          ///< the recovery ended; the offer ends with ...
  wire::SeqNum until;         ///< ... the acknowledgement of this
};

}  // namespace vtl::endpoint
