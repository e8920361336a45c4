#include "vtl/transport/socks_handshake.h"

#include <algorithm>

namespace vtl::transport {
namespace {

constexpr std::uint8_t kVersion = 5, kCredentialsVersion = 1;
constexpr std::uint8_t kNoAuthentication = 0, kUserPassword = 2, kNoAcceptableMethod = 0xff;
constexpr std::uint8_t kIpv4 = 1, kName = 3, kIpv6 = 4;
constexpr std::uint8_t kLastReason = 8, kFirstTorReason = 0xf0, kLastTorReason = 0xf7;
constexpr std::size_t kShortAnswer = 2;  // to the method, and to the credentials
// Of a reply: version, reason, reserved, kind of address, and one octet more, which is a name's
// length.
constexpr std::size_t kReplyHead = 5;
constexpr std::size_t kPortSize = 2;
constexpr std::size_t kLeastReply = kReplyHead + kPortSize;  // of a success: with an empty name

void append(std::vector<std::uint8_t>& out, std::string_view text) {
  assert(!text.empty() && text.size() <= SocksRequest::kMaxField);
  out.push_back(static_cast<std::uint8_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

void append(std::vector<std::uint8_t>& out, const wire::IpAddress& address) {
  out.push_back(address.is_v4() ? kIpv4 : kIpv6);
  const std::size_t at = out.size();
  out.resize(at + (address.is_v4() ? wire::Ipv4Address::kSize : wire::Ipv6Address::kSize));
  if (address.is_v4()) {
    address.v4().store(out, at);
  } else {
    address.v6().store(out, at);
  }
}

}  // namespace

std::string_view to_string(SocksFailure failure) noexcept {
  switch (failure) {
    case SocksFailure::kGeneral:
      return "general failure";
    case SocksFailure::kNotAllowed:
      return "not allowed by the proxy";
    case SocksFailure::kNetworkUnreachable:
      return "network unreachable";
    case SocksFailure::kHostUnreachable:
      return "host unreachable";
    case SocksFailure::kRefused:
      return "refused";
    case SocksFailure::kTtlExpired:
      return "TTL expired";
    case SocksFailure::kCommandNotSupported:
      return "the proxy does not know the command";
    case SocksFailure::kAddressNotSupported:
      return "the proxy does not take this kind of address";
    case SocksFailure::kNoMethod:
      return "the proxy asks for another authentication";
    case SocksFailure::kCredentials:
      return "the proxy does not accept the user or the password";
    case SocksFailure::kNotSocks:
      return "what answers is no SOCKS 5 proxy";
    case SocksFailure::kUnknownReason:
      return "unknown reason";
    case SocksFailure::kOnionNotFound:
      return "onion service not found";
    case SocksFailure::kOnionInvalid:
      return "onion service's descriptor is invalid";
    case SocksFailure::kOnionIntroFailed:
      return "introduction to the onion service failed";
    case SocksFailure::kOnionRendezvousFailed:
      return "rendezvous with the onion service failed";
    case SocksFailure::kOnionNeedsAuthorization:
      return "the onion service asks for authorization";
    case SocksFailure::kOnionWrongAuthorization:
      return "the onion service does not accept the authorization";
    case SocksFailure::kOnionBadAddress:
      return "that is no onion address";
    case SocksFailure::kOnionIntroTimedOut:
      return "introduction to the onion service timed out";
  }
  return "unknown";
}

StreamError to_stream_error(SocksFailure failure) noexcept {
  switch (failure) {
    case SocksFailure::kRefused:
    case SocksFailure::kNotAllowed:
    case SocksFailure::kGeneral:  // what Tor says of a destination that refused or did not answer
      return StreamError::kRefused;
    case SocksFailure::kNetworkUnreachable:
    case SocksFailure::kAddressNotSupported:  // no way to addresses of that kind
      return StreamError::kNetworkUnreachable;
    case SocksFailure::kHostUnreachable:
    case SocksFailure::kTtlExpired:
    case SocksFailure::kOnionNotFound:
    case SocksFailure::kOnionInvalid:
    case SocksFailure::kOnionIntroFailed:
    case SocksFailure::kOnionRendezvousFailed:
    case SocksFailure::kOnionNeedsAuthorization:
    case SocksFailure::kOnionWrongAuthorization:
    case SocksFailure::kOnionBadAddress:
      return StreamError::kHostUnreachable;
    case SocksFailure::kOnionIntroTimedOut:
      return StreamError::kTimedOut;
    case SocksFailure::kNoMethod:
    case SocksFailure::kCredentials:
      return StreamError::kNotAuthenticated;
    case SocksFailure::kNotSocks:
      return StreamError::kProtocol;
    // Answers to the request are about the destination: another proxy is not asked for it.
    case SocksFailure::kUnknownReason:
    case SocksFailure::kCommandNotSupported:
      return StreamError::kRefused;
  }
  return StreamError::kPeerDown;
}

bool can_be_asked_for(const std::variant<wire::IpAddress, std::string>& host) noexcept {
  const auto* address = std::get_if<wire::IpAddress>(&host);
  if (address != nullptr) return address->version() != 0;
  const std::size_t size = std::get<std::string>(host).size();
  return size > 0 && size <= SocksRequest::kMaxField;
}

SocksHandshake::SocksHandshake(const SocksRequest& request, bool pipelined)
    : pipelined_(pipelined), credentials_(request.credentials.has_value()) {
  out_ = {kVersion, 1, credentials_ ? kUserPassword : kNoAuthentication};
  after_method_ = out_.size();
  if (request.credentials) {
    out_.push_back(kCredentialsVersion);
    append(out_, request.credentials->user);
    append(out_, request.credentials->password);
  }
  request_at_ = out_.size();
  out_.insert(out_.end(), {kVersion, static_cast<std::uint8_t>(request.command), 0});
  if (const auto* address = std::get_if<wire::IpAddress>(&request.host)) {
    append(out_, *address);
  } else {
    out_.push_back(kName);
    append(out_, std::get<std::string>(request.host));
  }
  out_.resize(out_.size() + kPortSize);
  store_be16(out_, out_.size() - kPortSize, request.port.value());
  allowed_ = pipelined ? out_.size() : after_method_;
}

Bytes SocksHandshake::to_send() const noexcept {
  return state_ == State::kFailed ? Bytes{} : Bytes(out_).subspan(sent_, allowed_ - sent_);
}

void SocksHandshake::sent(std::size_t n) noexcept {
  assert(n <= allowed_ - sent_);
  sent_ += n;
}

void SocksHandshake::fail(SocksFailure failure) noexcept {
  state_ = State::kFailed;
  failure_ = failure;
}

// Octets of the answer that is being read, as far as its head has told.
std::size_t SocksHandshake::wanted() const noexcept {
  if (awaits_ != Awaits::kReply) return kShortAnswer;
  if (answer_.size() < kReplyHead) return kReplyHead;
  const std::size_t before_address = kReplyHead - 1;
  switch (answer_[3]) {
    case kIpv4:
      return before_address + wire::Ipv4Address::kSize + kPortSize;
    case kIpv6:
      return before_address + wire::Ipv6Address::kSize + kPortSize;
    default:  // a name; another kind was refused by take_answer()
      return kReplyHead + answer_[kReplyHead - 1] + kPortSize;
  }
}

std::size_t SocksHandshake::missing() const noexcept {
  if (state_ != State::kUnderWay) return 0;
  switch (awaits_) {
    case Awaits::kMethod: {
      const bool may_leave_out = answer_.empty() ? pipelined_ : method_left_out();
      return kShortAnswer - answer_.size() + (credentials_ && !may_leave_out ? kShortAnswer : 0) +
             kLeastReply;
    }
    case Awaits::kCredentials:
      return kShortAnswer - answer_.size() + kLeastReply;
    case Awaits::kReply:
      break;
  }
  return std::max(wanted(), kLeastReply) - answer_.size();
}

std::size_t SocksHandshake::receive(Bytes bytes) {
  std::size_t taken = 0;
  while (state_ == State::kUnderWay) {
    const std::size_t missing = wanted() - answer_.size();
    const Bytes part = bytes.subspan(taken, std::min(missing, bytes.size() - taken));
    answer_.insert(answer_.end(), part.begin(), part.end());
    taken += part.size();
    if (part.size() < missing) break;
    take_answer();
  }
  return taken;
}

// As much of an answer as wanted() asked for has come.
void SocksHandshake::take_answer() {
  switch (awaits_) {
    case Awaits::kMethod:
      if (method_left_out()) return take_credentials_answer();
      if (answer_[0] != kVersion) return fail(SocksFailure::kNotSocks);
      if (answer_[1] == kNoAcceptableMethod) return fail(SocksFailure::kNoMethod);
      if (answer_[1] != (credentials_ ? kUserPassword : kNoAuthentication)) {
        return fail(SocksFailure::kNotSocks);  // it chose what nobody offered
      }
      return next(credentials_ ? Awaits::kCredentials : Awaits::kReply);
    case Awaits::kCredentials:
      return take_credentials_answer();
    case Awaits::kReply:
      return take_reply();
  }
}

void SocksHandshake::take_credentials_answer() {
  if (answer_[0] != kCredentialsVersion) return fail(SocksFailure::kNotSocks);
  if (answer_[1] != 0) return fail(SocksFailure::kCredentials);
  next(Awaits::kReply);
}

// The first octet of the first answer has come, and is that of the second.
bool SocksHandshake::method_left_out() const noexcept {
  return pipelined_ && credentials_ && answer_.front() == kCredentialsVersion;
}

void SocksHandshake::next(Awaits awaits) noexcept {
  awaits_ = awaits;
  answer_.clear();
  if (!pipelined_) allowed_ = awaits == Awaits::kReply ? out_.size() : request_at_;
}

void SocksHandshake::take_reply() {
  const std::uint8_t reason = answer_[1];
  if (answer_[0] != kVersion) return fail(SocksFailure::kNotSocks);
  // A failure says all in its head; what follows it is of no use.
  if (reason >= kFirstTorReason && reason <= kLastTorReason) {
    return fail(static_cast<SocksFailure>(reason));
  }
  if (reason > kLastReason) return fail(SocksFailure::kUnknownReason);
  if (reason != 0) return fail(static_cast<SocksFailure>(reason));
  const std::uint8_t kind = answer_[3];
  if (kind != kIpv4 && kind != kIpv6 && kind != kName) return fail(SocksFailure::kNotSocks);
  if (answer_.size() < wanted()) return;  // the head only
  const std::size_t at = kReplyHead - 1;
  if (kind == kIpv4) {
    host_ = wire::IpAddress(wire::Ipv4Address::load(answer_, at));
  } else if (kind == kIpv6) {
    host_ = wire::IpAddress(wire::Ipv6Address::load(answer_, at));
  } else {
    host_ = std::string(answer_.begin() + kReplyHead, answer_.end() - kPortSize);
  }
  port_ = wire::Port(load_be16(answer_, answer_.size() - kPortSize));
  state_ = State::kDone;
}

}  // namespace vtl::transport
