#include "services/broker/registration/external_address.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/file.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/host_port.h"

namespace dunlin::broker {
namespace {

class ExternalAddressTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) const { std::ofstream(File()) << text; }
  std::string File() const { return dir_.path() + "/address"; }
  // As soon as it is looked at again.
  static bool Becomes(ExternalAddress& address, const std::optional<HostPort>& wanted) {
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         std::chrono::steady_clock::now() < end; std::this_thread::yield()) {
      if (address.Get() == wanted) return true;
    }
    return false;
  }

  const TempDir dir_;
  config::v1::BrokerConfig config_;
};

TEST_F(ExternalAddressTest, WithoutConfigurationThereIsNone) {
  ExternalAddress address(config_, RealFiles());
  EXPECT_EQ(address.Get(), std::nullopt);
}

TEST_F(ExternalAddressTest, TheConfiguredOneHoldsWithoutAFile) {
  config_.set_external_address("mq.example.com:8181");
  config_.set_external_address_file(File());
  ExternalAddress address(config_, RealFiles());
  EXPECT_EQ(address.Get(), (HostPort{"mq.example.com", 8181}));
}

TEST_F(ExternalAddressTest, TheFileIsFollowed) {
  config_.set_external_address_file(File());
  Write("[2001:db8::1]:30081\n");
  ExternalAddress address(config_, RealFiles());
  EXPECT_EQ(address.Get(), (HostPort{"2001:db8::1", 30081}));
  Write("mq.example.com:8181");
  EXPECT_TRUE(Becomes(address, HostPort{"mq.example.com", 8181}));
  std::filesystem::remove(File());
  EXPECT_TRUE(Becomes(address, std::nullopt));
}

TEST_F(ExternalAddressTest, TextThatIsNoAddressChangesNothing) {
  config_.set_external_address_file(File());
  Write("mq.example.com:8181");
  ExternalAddress address(config_, RealFiles());
  ASSERT_EQ(address.Get(), (HostPort{"mq.example.com", 8181}));
  Write("mq.example.com:0");
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'500);
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_EQ(address.Get(), (HostPort{"mq.example.com", 8181}));
    std::this_thread::yield();
  }
  Write("mq.example.com:8182");
  EXPECT_TRUE(Becomes(address, HostPort{"mq.example.com", 8182}));
}

}  // namespace
}  // namespace dunlin::broker
