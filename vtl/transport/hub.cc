#include "vtl/transport/hub.h"

#include <algorithm>
#include <utility>

#include "vtl/base/log.h"

namespace vtl::transport {
namespace {

struct Entry {
  std::string_view kind;
  wire::SocketAddress local;
  std::weak_ptr<Hub> hub;
};

}  // namespace

std::shared_ptr<Hub> Hub::get(const Kind& kind, const wire::SocketAddress& local) {
  static std::mutex mutex;
  static std::vector<Entry>& entries = *new std::vector<Entry>;
  const std::lock_guard lock(mutex);
  std::erase_if(entries, [](const Entry& entry) { return entry.hub.expired(); });
  if (local.port.value() != 0) {
    for (const Entry& entry : entries)
      if (entry.kind == kind.name && entry.local == local)
        if (auto hub = entry.hub.lock()) return hub;
  }
  auto hub = std::make_shared<Hub>(kind);
  entries.push_back({kind.name, local, hub});
  return hub;
}

Outcome<void> Hub::join(HubMember& member) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = members_.empty();
    members_.push_back(&member);
  }
  if (!first) return {};
  auto home = member.become_home();
  if (!home) leave(member);
  return home;
}

void Hub::leave(HubMember& member) {
  const std::lock_guard lock(mutex_);
  const bool was_home = !members_.empty() && members_.front() == &member;
  std::erase(members_, &member);
  if (!was_home || members_.empty()) return;
  HubMember* next = members_.front();
  next->reactor().post([next, alive = next->alive()] {
    if (alive.expired()) return;
    if (const auto ok = next->become_home(); !ok) log::error("{}", ok.error().message);
  });
}

std::optional<Key> Hub::find_key(const KeyId& id) {
  const std::lock_guard lock(mutex_);
  for (const HubMember* member : members_)
    if (member->own_key().id() == id) return member->own_key();
  return std::nullopt;
}

HubMember* Hub::find(const HubMember& from, const KeyId& id, Bytes preface) {
  HubMember* any = nullptr;
  for (HubMember* member : members_) {
    if (member->own_key().id() != id) continue;
    if (any == nullptr || member == &from) any = member;
  }
  if (any == nullptr || !any->options().worker_for) return any;
  const std::uint32_t worker = any->options().worker_for(preface);
  for (HubMember* member : members_)
    if (member->own_key().id() == id && member->reactor().worker() == worker) return member;
  return any;
}

Hub::Route Hub::route(const HubMember& from, const KeyId& id, Bytes preface) {
  const std::lock_guard lock(mutex_);
  const HubMember* member = find(from, id, preface);
  if (member == nullptr) return Route::kNowhere;
  return member == &from ? Route::kHere : Route::kThere;
}

void Hub::hand_over(const HubMember& from, Connection::Moved moved) {
  const std::lock_guard lock(mutex_);
  HubMember* member = find(from, moved.key_id, moved.preface);
  if (member == nullptr) {
    kind_.discard(moved.pipe);
    return;
  }
  auto shared = std::make_shared<Connection::Moved>(std::move(moved));
  member->reactor().post([member, shared, alive = member->alive(), discard = kind_.discard] {
    if (alive.expired())
      discard(shared->pipe);
    else
      member->take_over(std::move(*shared));
  });
}

}  // namespace vtl::transport
