#include "services/broker/delivery/cold_reads.h"

#include <gtest/gtest.h>

namespace dunlin::broker {
namespace {

config::v1::BrokerConfig ConfigOf(uint64_t memory, uint32_t percent) {
  config::v1::BrokerConfig config;
  config.set_cold_read_memory_bytes(memory);
  config.set_cold_read_percent(percent);
  return config;
}

TEST(ColdReadsTest, WhoIsFurtherBehindThanTheShareOfMemoryIsCold) {
  const ColdReads master(ConfigOf(1000, 40), ColdReads::Role::kMaster);
  EXPECT_FALSE(master.IsCold(LogOffset(5000), LogOffset(5000)));
  EXPECT_FALSE(master.IsCold(LogOffset(4600), LogOffset(5000)));
  EXPECT_TRUE(master.IsCold(LogOffset(4599), LogOffset(5000)));
  EXPECT_FALSE(master.IsCold(LogOffset(6000), LogOffset(5000))) << "the end was looked at before";
}

TEST(ColdReadsTest, ASlaveKeepsReadersUntilTheyAreWellWithinTheLimit) {
  const ColdReads slave(ConfigOf(1000, 40), ColdReads::Role::kSlave);
  EXPECT_TRUE(slave.IsCold(LogOffset(4699), LogOffset(5000)));
  EXPECT_FALSE(slave.IsCold(LogOffset(4700), LogOffset(5000)));
}

TEST(ColdReadsTest, NobodyIsColdWhereNobodyElseServesOrTheShareIsNone) {
  const LogOffset far_end(uint64_t{1} << 60);
  EXPECT_TRUE(
      ColdReads(ConfigOf(1000, 40), ColdReads::Role::kMaster).IsCold(LogOffset(0), far_end));
  EXPECT_FALSE(
      ColdReads(ConfigOf(1000, 40), ColdReads::Role::kAlone).IsCold(LogOffset(0), far_end));
  EXPECT_FALSE(
      ColdReads(ConfigOf(1000, 0), ColdReads::Role::kMaster).IsCold(LogOffset(0), far_end));
}

TEST(ColdReadsTest, TheMachinesMemoryCountsUnlessAnotherIsSet) {
  const ColdReads master(ConfigOf(0, 40), ColdReads::Role::kMaster);
  EXPECT_FALSE(master.IsCold(LogOffset(0), LogOffset(1 << 20))) << "no machine is that small";
  EXPECT_TRUE(master.IsCold(LogOffset(0), LogOffset(uint64_t{1} << 60)));
}

}  // namespace
}  // namespace dunlin::broker
