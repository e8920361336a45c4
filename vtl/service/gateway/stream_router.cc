#include "vtl/service/gateway/stream_router.h"

#include <algorithm>
#include <utility>

namespace vtl::service {

using transport::StreamError;

struct StreamRouter::Desk {
  std::vector<StreamTaker*> takers;
};

namespace {

/// The taker with the longest prefix that holds `address`; null: none has one.
StreamTaker* find_by_network(const std::vector<StreamTaker*>& takers,
                             const wire::IpAddress& address) {
  StreamTaker* best = nullptr;
  int longest = -1;
  for (StreamTaker* taker : takers) {
    for (const wire::IpNetwork& network : taker->guest_networks()) {
      if (!network.contains(address) || network.length() <= longest) continue;
      best = taker;
      longest = network.length();
    }
  }
  return best;
}

/// A stream whose server several gateways look for.
struct Search {
  std::unique_ptr<transport::IncomingStream> incoming;  // null once given away, or cancelled
  Preface preface;
  std::size_t open = 0;  // who has not answered
};

}  // namespace

void StreamRouter::join(StreamTaker& taker, transport::Transport& transport) {
  const std::scoped_lock lock(mutex_);
  auto& desk = desks_[&transport];
  if (!desk) {
    desk = std::make_shared<Desk>();
    transport.listen([weak = std::weak_ptr(desk)](std::unique_ptr<transport::IncomingStream> in) {
      if (const auto at = weak.lock()) route(at, std::move(in));
    });
  }
  desk->takers.push_back(&taker);
}

void StreamRouter::leave(StreamTaker& taker, transport::Transport& transport) {
  const std::scoped_lock lock(mutex_);
  const auto it = desks_.find(&transport);
  if (it == desks_.end()) return;
  std::erase(it->second->takers, &taker);
  if (!it->second->takers.empty()) return;
  desks_.erase(it);
  transport.listen({});
}

void StreamRouter::route(const std::shared_ptr<Desk>& desk,
                         std::unique_ptr<transport::IncomingStream> incoming) {
  const auto preface = Preface::parse(incoming->preface());
  if (!preface) {
    desk->takers.front()->refused_stream(true);
    incoming->refuse(StreamError::kProtocol);
    return;
  }
  if (StreamTaker* taker = find_by_network(desk->takers, preface->key.destination.address)) {
    taker->take_stream(std::move(incoming), *preface);
    return;
  }
  std::vector<StreamTaker*> rest;
  for (StreamTaker* taker : desk->takers) {
    if (taker->guest_networks().empty()) rest.push_back(taker);
  }
  if (rest.empty()) {
    desk->takers.front()->refused_stream(false);
    incoming->refuse(StreamError::kNetworkUnreachable);
    return;
  }
  const auto known =
      std::ranges::find_if(rest, [&](StreamTaker* taker) { return taker->knows_server(*preface); });
  if (rest.size() == 1 || known != rest.end()) {
    (rest.size() == 1 ? rest.front() : *known)->take_stream(std::move(incoming), *preface);
    return;
  }
  const auto search = std::make_shared<Search>();
  search->incoming = std::move(incoming);
  search->preface = *preface;
  search->open = rest.size();
  search->incoming->on_cancelled([weak = std::weak_ptr(search)] {
    if (const auto s = weak.lock()) s->incoming.reset();
  });
  for (StreamTaker* taker : rest) {
    if (search->incoming == nullptr) break;  // found at once
    taker->find_server(*preface, [search, desk, taker](bool found) {
      --search->open;
      const bool here = std::ranges::find(desk->takers, taker) != desk->takers.end();
      if (search->incoming == nullptr) return;
      if (found && here) {
        taker->take_stream(std::exchange(search->incoming, nullptr), search->preface);
      } else if (search->open == 0) {
        std::exchange(search->incoming, nullptr)->refuse(StreamError::kHostUnreachable);
      }
    });
  }
}

}  // namespace vtl::service
