#include "services/store/tool/dump_control.h"

#include <gtest/gtest.h>

#include <string>

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/strong_int.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/control_page.h"

namespace dunlin::store {
namespace {

std::string Printed(const std::string& store, int status) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(DumpControl(store), status);
  return testing::internal::GetCapturedStdout();
}

TEST(DumpControlTest, PrintsEveryField) {
  TempDir directory;
  EXPECT_EQ(Printed(directory.path(), 1), "");
  auto page = ControlPage::Open(RealFiles(), directory.path() + "/control");
  ASSERT_OK(page);
  EXPECT_EQ(Printed(directory.path(), 0),
            "log      epoch=0 start=0 appended=0 flushed=0 cuts=0\n"
            "orders   none since this machine was started\n"
            "answers  state=stopped serial=0 viewed=0 shown=0 heartbeat=0\n");
  (*page)->SetLogEpoch(Epoch(2));
  (*page)->SetLogStart(LogOffset(3));
  (*page)->SetAppended(LogOffset(5));
  (*page)->SetFlushed(LogOffset(4));
  (*page)->CountCut();
  (*page)->BeginOrders();
  (*page)->SetReplicated(ControlPage::kEverything);
  (*page)->SetLeaseUntil(ControlPage::kNoLease);
  (*page)->SetSends(Sends::kTooFewInSync);
  (*page)->SetMasterStart(LogOffset(6));
  (*page)->SetMember({.id = 4, .learner = true});
  (*page)->Want(Role::kMaster, Epoch(2));
  (*page)->Report({BrokerState::kFailed, 2});
  (*page)->SetViewed(LogOffset(7));
  (*page)->SetShown(LogOffset(8), (*page)->cuts());
  (*page)->Beat();
  EXPECT_EQ(Printed(directory.path(), 0),
            "log      epoch=2 start=3 appended=5 flushed=4 cuts=1\n"
            "orders   role=master epoch=2 serial=2 replicated=everything lease-left=none-needed "
            "sends=too-few-in-sync master-start=6\n"
            "member   id=4 learner\n"
            "answers  state=failed serial=2 viewed=7 shown=8 heartbeat=1\n");
  (*page)->SetLeaseUntil(BootTime());
  EXPECT_NE(Printed(directory.path(), 0).find(" lease-left=over "), std::string::npos);
}

}  // namespace
}  // namespace dunlin::store
