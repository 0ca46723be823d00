#include "services/runtime/connection_table.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <chrono>
#include <vector>

#include "services/runtime/unique_fd.h"

namespace dunlin {
namespace {

using Verdict = ConnectionTable::Verdict;
using std::chrono::milliseconds;

constexpr PeerAddress kOne{1};
constexpr PeerAddress kTwo{2};

UniqueFd MakeSocket() { return UniqueFd(socket(AF_INET, SOCK_STREAM, 0)); }

class ConnectionTableTest : public ::testing::Test {
 protected:
  ConnectionTable::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(ConnectionTableTest, LimitsTheTotalAndEachPeer) {
  ConnectionTable table({.total = 3, .per_peer = 2});
  std::vector<UniqueFd> fds;
  for (int i = 0; i < 5; ++i) fds.push_back(MakeSocket());
  EXPECT_EQ(table.Add(fds[0].get(), kOne, now_), Verdict::kAdmitted);
  EXPECT_EQ(table.Add(fds[1].get(), kOne, now_), Verdict::kAdmitted);
  EXPECT_EQ(table.Add(fds[2].get(), kOne, now_), Verdict::kTooManyFromPeer);
  EXPECT_EQ(table.Add(fds[2].get(), kTwo, now_), Verdict::kAdmitted);
  EXPECT_EQ(table.Add(fds[3].get(), kTwo, now_), Verdict::kTooMany);
  EXPECT_EQ(table.size(), 3u);
  table.Remove(fds[0].get());
  EXPECT_EQ(table.Add(fds[3].get(), kOne, now_), Verdict::kAdmitted);
}

TEST_F(ConnectionTableTest, NoticesWhatOthersClosed) {
  ConnectionTable table({.total = 1, .per_peer = 1});
  UniqueFd first = MakeSocket();
  UniqueFd second = MakeSocket();
  EXPECT_EQ(table.Add(first.get(), kOne, now_), Verdict::kAdmitted);
  EXPECT_EQ(table.Add(second.get(), kOne, now_), Verdict::kTooMany);
  first.Reset();
  // It looks again, but not in the middle of a flood.
  EXPECT_EQ(table.Add(second.get(), kOne, now_), Verdict::kTooMany);
  EXPECT_EQ(table.Add(second.get(), kOne, now_ + milliseconds(50)), Verdict::kAdmitted);
}

TEST_F(ConnectionTableTest, TellsAReusedNumberFromItsFormerSocket) {
  ConnectionTable table({.total = 2, .per_peer = 1});
  UniqueFd first = MakeSocket();
  const int number = first.get();
  EXPECT_EQ(table.Add(number, kOne, now_), Verdict::kAdmitted);
  first.Reset();
  const UniqueFd stranger = MakeSocket();
  ASSERT_EQ(stranger.get(), number);  // the lowest free number
  table.Sweep(now_);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.Add(number, kTwo, now_), Verdict::kAdmitted);
  EXPECT_EQ(table.Add(number, kOne, now_), Verdict::kAdmitted);
  EXPECT_EQ(table.size(), 1u);
}

TEST(PeerAddressTest, KnowsIpv4InBothForms) {
  sockaddr_storage plain{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(plain);
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(0x0a000001);
  sockaddr_storage mapped{};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(mapped);
  v6.sin6_family = AF_INET6;
  const uint8_t bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
  std::copy(std::begin(bytes), std::end(bytes), v6.sin6_addr.s6_addr);
  EXPECT_EQ(PeerOf(plain), PeerOf(mapped));
}

}  // namespace
}  // namespace dunlin
