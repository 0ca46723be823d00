#include "services/runtime/host_port.h"

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(HostPortTest, ReadsNamesAndAddresses) {
  EXPECT_EQ(ParseHostPort("0.0.0.0:8081"), (HostPort{"0.0.0.0", 8081}));
  EXPECT_EQ(ParseHostPort("broker.example:0"), (HostPort{"broker.example", 0}));
  EXPECT_EQ(ParseHostPort("[::1]:65535"), (HostPort{"::1", 65535}));
}

TEST(HostPortTest, RefusesWhatIsNeither) {
  for (const std::string_view text :
       {"", ":", ":8081", "host", "host:", "host:65536", "host:-1", "host:+1", "host:80 ", "::1:80",
        "[]:80", "[::1]80", "[::1:80", "http://host:80", "a b:80", "[a]b]:80"}) {
    EXPECT_EQ(ParseHostPort(text), std::nullopt) << text;
  }
}

TEST(HostPortTest, FormatsWhatItReads) {
  for (const std::string_view text : {"0.0.0.0:8081", "[::]:0", "a:1"}) {
    EXPECT_EQ(FormatHostPort(*ParseHostPort(text)), text);
  }
}

}  // namespace
}  // namespace dunlin
