#include "clients/cli/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <set>
#include <string>

namespace dunlin::cli {
namespace {

using ::testing::HasSubstr;

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() { unsetenv(kSecretKeyVariable); }
  ~CredentialsTest() override { unsetenv(kSecretKeyVariable); }

  std::string Write(const std::string& contents) {
    std::string path = ::testing::TempDir() + "secret";
    std::ofstream(path, std::ios::binary) << contents;
    return path;
  }
  // What is wrong; empty: nothing.
  std::string Complete(const std::string& access_key, const std::string& file) {
    credentials_ = {access_key, ""};
    return std::string(CompleteCredentials(file, credentials_).message());
  }

  Credentials credentials_;
};

TEST_F(CredentialsTest, NoneAreGood) {
  EXPECT_EQ(Complete("", ""), "");
  EXPECT_TRUE(credentials_.empty());
}

TEST_F(CredentialsTest, TheSecretIsWhatIsInTheFile) {
  EXPECT_EQ(Complete("ann", Write(" \tse cret\r\n\n")), "");
  EXPECT_EQ(credentials_.access_key, "ann");
  EXPECT_EQ(credentials_.secret_key, "se cret");
}

TEST_F(CredentialsTest, OrInTheEnvironmentWhenNoFileIsNamed) {
  setenv(kSecretKeyVariable, "of-environment", 1);
  EXPECT_EQ(Complete("ann", ""), "");
  EXPECT_EQ(credentials_.secret_key, "of-environment");
  EXPECT_EQ(Complete("ann", Write("of-file")), "");
  EXPECT_EQ(credentials_.secret_key, "of-file");
}

TEST_F(CredentialsTest, OneWithoutTheOtherSaysHowToMendIt) {
  EXPECT_THAT(Complete("ann", ""), HasSubstr("--secret-key-file FILE"));
  EXPECT_THAT(Complete("", Write("secret")), HasSubstr("--access-key NAME"));
  setenv(kSecretKeyVariable, "secret", 1);
  EXPECT_THAT(Complete("", ""), HasSubstr("--access-key NAME"));
}

TEST_F(CredentialsTest, FilesWithoutASecretAreTold) {
  EXPECT_THAT(Complete("ann", "/nowhere/secret"), HasSubstr("/nowhere/secret"));
  EXPECT_THAT(Complete("ann", ::testing::TempDir()), HasSubstr("cannot read a secret"));
  EXPECT_THAT(Complete("ann", Write("")), HasSubstr("it is empty"));
  EXPECT_THAT(Complete("ann", Write(" \n")), HasSubstr("no secret in"));
}

TEST_F(CredentialsTest, WhatFitsNoHeaderIsNoAccessKey) {
  EXPECT_THAT(Complete("a\nb", Write("secret")), HasSubstr("printable ASCII"));
}

TEST(CheckSecretTest, EightToTwoHundredAndFiftySixPrintableCharacters) {
  EXPECT_TRUE(CheckSecret("12345678").ok());
  EXPECT_TRUE(CheckSecret(std::string(256, '~')).ok());
  for (const std::string& secret :
       {std::string("1234567"), std::string(257, 'a'), std::string("with space"),
        std::string("gr\xc3\xbc\xc3\x9f!!!"), std::string(8, '\0'), std::string()}) {
    EXPECT_FALSE(CheckSecret(secret).ok()) << secret;
  }
}

TEST(GenerateSecretTest, ThirtyTwoCharactersThatAreNeverTheSame) {
  std::set<std::string> secrets;
  for (int i = 0; i < 100; ++i) {
    const std::string secret = GenerateSecret();
    EXPECT_EQ(secret.size(), 32u);
    EXPECT_TRUE(CheckSecret(secret).ok());
    secrets.insert(secret);
  }
  EXPECT_EQ(secrets.size(), 100u);
}

}  // namespace
}  // namespace dunlin::cli
