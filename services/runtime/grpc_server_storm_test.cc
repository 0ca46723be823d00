// A storm of connections uses up the server's file descriptors; it must serve again after it.
//
// In a program of its own, because it lowers the limit of open files and forks.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/testing/echo.h"
#include "services/runtime/testing/raw_client.h"

namespace dunlin {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kStormConnections = 400;
constexpr rlim_t kServerDescriptors = 200;

struct Pipe {
  Pipe() { EXPECT_EQ(pipe(ends.data()), 0); }
  std::array<int, 2> ends{};
  template <typename T>
  void Write(T value) {
    EXPECT_EQ(write(ends[1], &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
  }
  template <typename T>
  T Read() {
    T value{};
    EXPECT_EQ(read(ends[0], &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
    return value;
  }
};

// The other process: connects, says so, holds the connections until told to go.
[[noreturn]] void Storm(Pipe& to_storm, Pipe& to_test) {
  const auto port = to_storm.Read<uint16_t>();
  {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < kStormConnections; ++i) {
      clients.push_back(std::make_unique<RawClient>(port));
      clients.back()->Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }
    to_test.Write('c');
    to_storm.Read<char>();
  }
  to_test.Write('d');
  _exit(0);
}

TEST(GrpcServerStormTest, RecoversFromDescriptorExhaustion) {
  Pipe to_storm;
  Pipe to_test;
  const pid_t storm = fork();  // before there are threads
  ASSERT_GE(storm, 0);
  if (storm == 0) Storm(to_storm, to_test);

  const TempDir dir;
  config::v1::ServerConfig config;
  config.set_listen_address("127.0.0.1:0");
  EchoService echo;
  absl::StatusOr<std::unique_ptr<GrpcServer>> server =
      GrpcServer::Start(config, dir.path(), {.services = {}, .generic = &echo});
  ASSERT_OK(server);
  const std::string address = "127.0.0.1:" + std::to_string((*server)->port());
  const auto channel = OwnChannel(address, grpc::InsecureChannelCredentials());
  ASSERT_TRUE(Echo(channel, "before").status.ok());

  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = kServerDescriptors;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  to_storm.Write((*server)->port());
  ASSERT_EQ(to_test.Read<char>(), 'c');
  // An existing connection goes on working in the middle of it.
  EXPECT_TRUE(Echo(channel, "during").status.ok());
  const auto patience = std::chrono::steady_clock::now() + seconds(5);
  while ((*server)->connections().out_of_descriptors == 0 &&
         std::chrono::steady_clock::now() < patience) {
    std::this_thread::yield();
  }
  EXPECT_GT((*server)->connections().out_of_descriptors, 0u);

  to_storm.Write('g');
  ASSERT_EQ(to_test.Read<char>(), 'd');
  const auto start = std::chrono::steady_clock::now();
  bool served = false;
  while (!served && std::chrono::steady_clock::now() < start + seconds(2)) {
    served =
        Echo(OwnChannel(address, grpc::InsecureChannelCredentials()), "after", milliseconds(500))
            .status.ok();
  }
  EXPECT_TRUE(served) << "no new connection within 2 s of the storm's end";
  int status = 0;
  EXPECT_EQ(waitpid(storm, &status, 0), storm);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace dunlin
