#include "services/runtime/certificate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/certificate_metric.h"

namespace dunlin {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CertificateTest : public ::testing::Test {
 protected:
  TempDir dir_;
  const std::string tls_ = dir_.path() + "/a/tls";
};

TEST_F(CertificateTest, IsMadeOnceWithAPrivateKey) {
  const absl::StatusOr<CertificateFiles> files = SelfSignedCertificate(tls_);
  ASSERT_OK(files);
  struct stat status {};
  ASSERT_EQ(stat(files->private_key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const std::string made = ReadText(files->certificate);
  EXPECT_THAT(made, HasSubstr("BEGIN CERTIFICATE"));
  ASSERT_OK(SelfSignedCertificate(tls_));
  EXPECT_EQ(ReadText(files->certificate), made);
}

TEST_F(CertificateTest, TellsWhenItEnds) {
  const absl::StatusOr<CertificateFiles> files = SelfSignedCertificate(tls_);
  ASSERT_OK(files);
  constexpr int64_t kTenYears = int64_t{10} * 365 * 24 * 60 * 60;
  const absl::StatusOr<int64_t> end = CertificateExpiry(files->certificate);
  ASSERT_OK(end);
  EXPECT_NEAR(static_cast<double>(*end - std::time(nullptr)), kTenYears, 60);
  EXPECT_THAT(CertificateExpiry(files->private_key),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a PEM certificate")));

  const auto told = [](const std::string& file) {
    const auto families = CertificateMetric(file).Collect();
    return families.empty() ? -1 : families[0].metric[0].gauge.value;
  };
  EXPECT_EQ(told(files->certificate), static_cast<double>(*end));
  EXPECT_EQ(told(tls_ + "/missing"), 0);
  EXPECT_EQ(told(""), -1);
}

TEST_F(CertificateTest, FinishesAnAttemptThatWasCutShort) {
  const absl::StatusOr<CertificateFiles> files = SelfSignedCertificate(tls_);
  ASSERT_OK(files);
  std::filesystem::remove(files->certificate);
  std::ofstream(files->private_key + ".new") << "half";
  ASSERT_OK(SelfSignedCertificate(tls_));
  EXPECT_OK(CheckCertificate(*files));
}

TEST_F(CertificateTest, IsMadeOnceByManyAtTheSameTime) {
  for (int round = 0; round < 20; ++round) {
    const std::string directory = fmt::format("{}/{}", tls_, round);
    std::vector<std::string> seen(4);
    std::vector<std::thread> threads;
    for (std::string& certificate : seen) {
      threads.emplace_back([&] {
        const absl::StatusOr<CertificateFiles> files = SelfSignedCertificate(directory);
        certificate = files.ok() ? ReadText(files->certificate) : files.status().ToString();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(seen[0], HasSubstr("BEGIN CERTIFICATE"));
    EXPECT_THAT(seen, Each(seen[0]));
  }
}

TEST_F(CertificateTest, NeverReplacesWhatItCannotUse) {
  const absl::StatusOr<CertificateFiles> files = SelfSignedCertificate(tls_);
  ASSERT_OK(files);
  std::ofstream(files->certificate) << "precious";
  EXPECT_THAT(SelfSignedCertificate(tls_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a PEM certificate")));
  EXPECT_EQ(ReadText(files->certificate), "precious");
}

TEST_F(CertificateTest, ChecksThatKeyAndCertificateBelongTogether) {
  const absl::StatusOr<CertificateFiles> one = SelfSignedCertificate(dir_.path() + "/1");
  const absl::StatusOr<CertificateFiles> two = SelfSignedCertificate(dir_.path() + "/2");
  ASSERT_OK(one);
  ASSERT_OK(two);
  EXPECT_OK(CheckCertificate(*one));
  const auto check = [](const std::string& certificate, const std::string& key) {
    return CheckCertificate({.certificate = certificate, .private_key = key});
  };
  EXPECT_THAT(check(one->certificate, two->private_key),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not the key of")));
  EXPECT_THAT(check(one->certificate, one->certificate),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a PEM private key")));
  EXPECT_THAT(check("/missing", one->private_key),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot read /missing")));
}

}  // namespace
}  // namespace dunlin
