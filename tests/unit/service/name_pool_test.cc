#include "vtl/service/anonymizer/name_pool.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

namespace vtl::service {
namespace {

using wire::IpAddress, wire::IpNetwork;

constexpr Time kStart{1h};
constexpr GuestId kGuest = 1, kOther = 2;

class Pool {
 public:
  explicit Pool(const NamePoolOptions& options = {}, std::uint64_t seed = 1)
      : rng_(seed), pool_(options, rng_) {}
  NamePool* operator->() { return &pool_; }
  std::optional<IpAddress> give(std::string_view name, GuestId guest = kGuest) {
    return pool_.give(name, AddressFamily::kV4, guest, now);
  }
  std::optional<std::string> find(const IpAddress& address) {
    const auto name = pool_.find(address, now);
    return name ? std::optional<std::string>(*name) : std::nullopt;
  }
  Time now = kStart;

 private:
  Rng rng_;
  NamePool pool_;
};

NamePoolOptions small(std::size_t names, std::size_t per_guest) {
  NamePoolOptions options;
  options.max_names = names;
  options.max_names_per_guest = per_guest;
  return options;
}

TEST(NamePool, OneNameOneAddress) {
  Pool pool;
  const auto first = pool.give("www.example.org");
  ASSERT_TRUE(first);
  EXPECT_TRUE(pool->contains(*first));
  EXPECT_EQ(pool.give("WWW.Example.ORG."), first);
  EXPECT_EQ(pool.give("www.example.org", kOther), first);
  EXPECT_NE(pool.give("example.org"), first);
  EXPECT_EQ(pool.find(*first), "www.example.org");
  EXPECT_EQ(pool->size(), 2U);
  EXPECT_EQ(pool->counters().names.value(), 2U);
}

// A guest that goes through the addresses learns no name that another asked for.
TEST(NamePool, ANameIsToldToThoseWhoAskedForIt) {
  Pool pool;
  const auto address = *pool.give("private.example");
  const auto told = [&](GuestId guest) {
    const auto name = pool->find_for(address, guest, pool.now);
    return name ? std::string(*name) : "";
  };
  EXPECT_EQ(told(kGuest), "private.example");
  EXPECT_EQ(told(kOther), "");
  EXPECT_EQ(pool.give("private.example", kOther), address);
  EXPECT_EQ(told(kOther), "private.example");
  EXPECT_EQ(told(kGuest), "private.example");
  EXPECT_FALSE(pool->find_for(*IpAddress::parse("192.0.2.1"), kGuest, pool.now));
}

TEST(NamePool, AStrangersQuestionKeepsNoName) {
  Pool pool;
  const auto address = *pool.give("a");
  pool.now += pool->options().lifetime - 1s;
  EXPECT_FALSE(pool->find_for(address, kOther, pool.now));
  pool.now += 1s;
  EXPECT_FALSE(pool.find(address));
  EXPECT_EQ(pool.give("b"), pool.give("b"));
  EXPECT_FALSE(pool->find_for(address, kGuest, pool.now)) << "forgotten";
}

TEST(NamePool, OfManyWhoAsked_TheLastAreKnown) {
  Pool pool;
  const auto address = *pool.give("a", 1);
  for (GuestId guest = 2; guest <= NamePool::kMaxAskers; ++guest) (void)pool.give("a", guest);
  EXPECT_TRUE(pool->find_for(address, 1, pool.now));
  (void)pool.give("a", 1);    // young again
  (void)pool.give("a", 100);  // one too many: the oldest, 2, is not known any more
  EXPECT_TRUE(pool->find_for(address, 1, pool.now));
  EXPECT_FALSE(pool->find_for(address, 2, pool.now));
  EXPECT_TRUE(pool->find_for(address, 3, pool.now));
  EXPECT_TRUE(pool->find_for(address, 100, pool.now));
}

// The place of a name that went is another's, with none of its askers.
TEST(NamePool, WhoAskedForAForgottenName_IsNotToldTheNext) {
  NamePoolOptions options = small(1, 1);
  options.v4 = *IpNetwork::parse("198.18.0.0/30");
  Pool pool(options);
  std::set<IpAddress> mine;
  for (int i = 0; i < 4; ++i) {
    mine.insert(*pool.give(fmt::format("mine{}", i)));
    pool.now += pool->options().lifetime;
  }
  const auto address = *pool.give("other", kOther);
  EXPECT_TRUE(mine.contains(address));
  EXPECT_FALSE(pool->find_for(address, kGuest, pool.now));
  EXPECT_TRUE(pool->find_for(address, kOther, pool.now));
}

TEST(NamePool, NoNames_NoAddress) {
  Pool pool;
  EXPECT_FALSE(pool.give(""));
  EXPECT_FALSE(pool.give("."));
  EXPECT_TRUE(pool.give(std::string(255, 'a')));
  EXPECT_FALSE(pool.give(std::string(256, 'a')));
  EXPECT_FALSE(pool->give("a", AddressFamily::kV6, kGuest, pool.now)) << "IPv6 is off";
  EXPECT_FALSE(pool.find(*IpAddress::parse("198.18.0.0")));
  EXPECT_FALSE(pool.find(*IpAddress::parse("198.19.255.255")));
  EXPECT_FALSE(pool.find(*IpAddress::parse("192.0.2.1")));
  EXPECT_FALSE(pool.find(*IpAddress::parse("fd00::1")));
}

TEST(NamePool, BothFamiliesStandForTheSameName) {
  for (const char* network : {"fd5a:1::/64", "fd5a:1::/96", "fd5a::/48"}) {
    NamePoolOptions options;
    options.v6 = *IpNetwork::parse(network);
    Pool pool(options);
    const auto six = pool->give("a.onion", AddressFamily::kV6, kGuest, pool.now);
    const auto four = pool.give("a.onion");
    ASSERT_TRUE(six && four);
    EXPECT_TRUE(options.v6.contains(*six)) << network;
    EXPECT_TRUE(options.v4.contains(*four));
    EXPECT_EQ(pool.find(*six), "a.onion");
    EXPECT_EQ(pool.find(*four), "a.onion");
    EXPECT_EQ(pool->size(), 1U);
    EXPECT_FALSE(pool.find(*IpAddress::parse("fd5a:0:0:1::1"))) << network;
  }
}

TEST(NamePool, NotUsedForItsLifetime_Forgotten) {
  Pool pool;
  const auto address = *pool.give("a");
  pool.now += 10min - 1ns;
  EXPECT_EQ(pool.find(address), "a") << "and young again";
  pool.now += 10min - 1ns;
  EXPECT_EQ(pool.give("a"), address) << "and young again";
  EXPECT_EQ(pool->poll_at(), pool.now + 10min);
  pool.now += 10min;
  EXPECT_FALSE(pool.find(address));
  EXPECT_EQ(pool->size(), 0U);
  EXPECT_EQ(pool->counters().forgotten.value(), 1U);
  EXPECT_EQ(pool->poll_at(), kNever);
}

TEST(NamePool, Forget_TheOldOnesOnly) {
  Pool pool;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(pool.give(fmt::format("n{}", i)));
    pool.now += 1min;
  }
  pool->forget(pool.now, 100);
  EXPECT_EQ(pool->size(), 9U);
  pool.now += 4min;
  pool->forget(pool.now, 3);
  EXPECT_EQ(pool->size(), 6U);
  pool->forget(pool.now, 100);
  EXPECT_EQ(pool->size(), 5U);
}

TEST(NamePool, LifetimeBelowTwiceTheTtl_Raised) {
  NamePoolOptions options;
  options.lifetime = 1s;
  Pool pool(options);
  const auto address = *pool.give("a");
  pool.now += 2min - 1ns;
  EXPECT_EQ(pool.find(address), "a");
}

TEST(NamePool, Pinned_StaysUntilAllHaveLetGo) {
  Pool pool(small(2, 2));
  const auto address = *pool.give("a");
  ASSERT_TRUE(pool->pin(address, pool.now));
  ASSERT_TRUE(pool->pin(address, pool.now));
  EXPECT_EQ(pool->counters().pinned.value(), 1U);
  EXPECT_EQ(pool->poll_at(), kNever);
  ASSERT_TRUE(pool.give("b"));
  pool.now += 24h;
  pool->forget(pool.now, 100);
  ASSERT_TRUE(pool.give("c"));
  pool.now += 2min;
  ASSERT_TRUE(pool.give("d")) << "in the place of c";
  EXPECT_EQ(pool.find(address), "a");
  pool->unpin(address, pool.now);
  pool.now += 24h;
  EXPECT_EQ(pool.find(address), "a");
  pool->unpin(address, pool.now);
  pool->unpin(address, pool.now);
  EXPECT_EQ(pool->counters().pinned.value(), 0U);
  EXPECT_EQ(pool.find(address), "a");
  pool.now += 24h;
  EXPECT_FALSE(pool.find(address));
  EXPECT_FALSE(pool->pin(address, pool.now));
  pool->unpin(address, pool.now);
}

TEST(NamePool, AllPinned_NothingToGive) {
  Pool pool(small(2, 2));
  ASSERT_TRUE(pool->pin(*pool.give("a"), pool.now));
  ASSERT_TRUE(pool->pin(*pool.give("b"), pool.now));
  pool.now += 24h;
  EXPECT_FALSE(pool.give("c"));
  EXPECT_TRUE(pool.give("a"));
  EXPECT_EQ(pool->counters().refused.value(), 1U);
}

TEST(NamePool, AtTheBound_TheOldestGoesButNoYoungOne) {
  Pool pool(small(3, 3));
  const auto a = *pool.give("a");
  pool.now += 10s;
  const auto b = *pool.give("b"), c = *pool.give("c");
  EXPECT_FALSE(pool.give("d"));
  pool.now += 50s;
  EXPECT_FALSE(pool.give("d")) << "a cache may hold a for one TTL";
  pool.now += 1ns;
  EXPECT_TRUE(pool.give("d"));
  EXPECT_FALSE(pool.find(a));
  EXPECT_EQ(pool.find(b), "b");
  EXPECT_EQ(pool.find(c), "c");
  EXPECT_EQ(pool->counters().evicted.value(), 1U);
  EXPECT_EQ(pool->counters().refused.value(), 2U);
}

TEST(NamePool, GuestWithManyNames_HarmsItselfAlone) {
  Pool pool(small(100, 60));
  std::vector<IpAddress> mine;
  for (int i = 0; i < 30; ++i) mine.push_back(*pool.give(fmt::format("mine{}", i), kOther));
  pool.now += 2min;
  for (int i = 0; i < 10000; ++i) (void)pool.give(fmt::format("n{}", i));
  EXPECT_EQ(pool->size(), 90U) << "its share and no more";
  pool.now += 2min;
  for (int i = 0; i < 10000; ++i) (void)pool.give(fmt::format("m{}", i));
  EXPECT_EQ(pool->size(), 90U);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(pool.find(mine[i]), fmt::format("mine{}", i));
  EXPECT_TRUE(pool.give("one more", kOther));
}

TEST(NamePool, AtTheBoundOfAll_WhoHasMostLoses) {
  Pool pool(small(100, 60));
  std::vector<IpAddress> mine;
  for (int i = 0; i < 40; ++i) mine.push_back(*pool.give(fmt::format("mine{}", i), kOther));
  pool.now += 1s;
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(pool.give(fmt::format("n{}", i)));
  EXPECT_FALSE(pool.give("third", 3)) << "all are young";
  pool.now += 2min;
  EXPECT_TRUE(pool.give("third", 3));
  for (int i = 0; i < 40; ++i) EXPECT_EQ(pool.find(mine[i]), fmt::format("mine{}", i));
}

TEST(NamePool, PretendingToBeManyGuests_NoMoreThanTheAccounts) {
  Pool pool(small(1000, 10));
  for (GuestId guest = 100; guest < 2100; ++guest) {
    (void)pool.give(fmt::format("n{}", guest), guest);
  }
  EXPECT_EQ(pool->size(), NamePool::kAccounts - 1 + 10);
}

TEST(NamePool, FreedAddress_TheLastToBeUsedAgain) {
  NamePoolOptions options = small(4, 4);
  options.v4 = *IpNetwork::parse("10.0.0.0/28");
  Pool pool(options);
  std::vector<IpAddress> order;
  for (int i = 0; i < 28; ++i) {
    order.push_back(*pool.give(fmt::format("n{}", i)));
    pool.now += 2min;
  }
  EXPECT_EQ(std::set<IpAddress>(order.begin(), order.begin() + 14).size(), 14U);
  for (std::size_t i = 0; i < 14; ++i) EXPECT_EQ(order[i], order[i + 14]);
  EXPECT_EQ(std::set<IpAddress>(order.begin(), order.end()).count(*IpAddress::parse("10.0.0.0")),
            0U);
  EXPECT_EQ(std::set<IpAddress>(order.begin(), order.end()).count(*IpAddress::parse("10.0.0.15")),
            0U);
}

TEST(NamePool, MadeAnew_BeginsElsewhere) {
  std::set<IpAddress> first;
  for (std::uint64_t seed = 0; seed < 20; ++seed) first.insert(*Pool({}, seed).give("a"));
  EXPECT_GT(first.size(), 15U);
}

TEST(NamePool, NetworkSmallerThanTheBound_BoundByIt) {
  NamePoolOptions options;
  options.v4 = *IpNetwork::parse("10.0.0.0/30");
  Pool pool(options);
  ASSERT_TRUE(pool.give("a") && pool.give("b"));
  EXPECT_FALSE(pool.give("c"));
  pool.now += 2min;
  EXPECT_TRUE(pool.give("c"));
}

// Against a plain table: what was used within the TTL or is pinned keeps its address, no address
// stands for two names, and the bounds hold.
RC_GTEST_PROP(NamePoolProperty, YoungAndPinnedNamesKeepTheirAddress, ()) {
  struct Known {
    IpAddress address;
    Time used;
    unsigned pins = 0;
  };
  NamePoolOptions options =
      small(*rc::gen::inRange<std::size_t>(1, 12), *rc::gen::inRange<std::size_t>(1, 12));
  options.v4 = *IpNetwork::parse("10.0.0.0/28");
  Pool pool(options, *rc::gen::arbitrary<std::uint64_t>());
  std::map<std::string, Known> known;
  const auto steps = *rc::gen::inRange(1, 200);
  for (int i = 0; i < steps; ++i) {
    pool.now +=
        *rc::gen::element(Duration{0}, Duration{1s}, Duration{30s}, Duration{61s}, Duration{11min});
    const std::string name = fmt::format("n{}", *rc::gen::inRange(0, 20));
    const auto it = known.find(name);
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        if (it != known.end() && pool->pin(it->second.address, pool.now)) {
          RC_ASSERT(pool.find(it->second.address) == name);
          ++it->second.pins;
          it->second.used = pool.now;
        }
        break;
      case 1:
        if (it != known.end() && it->second.pins > 0) {
          --it->second.pins;
          pool->unpin(it->second.address, pool.now);
          it->second.used = pool.now;
        }
        break;
      default:
        const bool kept =
            it != known.end() && (it->second.pins > 0 || pool.now - it->second.used <= 60s);
        const auto address = pool.give(name, *rc::gen::inRange<GuestId>(0, 3));
        if (kept) RC_ASSERT(address == it->second.address);
        if (address) known[name] = {*address, pool.now, it != known.end() ? it->second.pins : 0};
    }
    std::set<IpAddress> live;
    std::erase_if(known, [&](const auto& entry) {
      return entry.second.pins == 0 && pool.now - entry.second.used > 60s;
    });
    for (const auto& [one, entry] : known) RC_ASSERT(live.insert(entry.address).second);
    RC_ASSERT(pool->size() <= std::min<std::size_t>(options.max_names, 14));
  }
  for (const auto& [name, entry] : known) RC_ASSERT(pool.find(entry.address) == name);
}

}  // namespace
}  // namespace vtl::service
