// Arguments: the command line that every benchmark and fault run understands.

#pragma once

#include <cstdint>
#include <string>

namespace dunlin::e2e {

struct Arguments {
  std::string program;      // the dunlin to run
  uint64_t count = 0;       // cycles or items; 0: as the run chooses
  bool quick = false;       // a cut that ends within a minute
  uint64_t seed = 0;        // of everything random; printed, never 0 after parsing
  std::string directory;    // a fresh directory for data, logs and evidence
  bool serve_echo = false;  // unary-vs-echo only: be the other server
};

// Ends the program when the line is wrong. The directory is made below $TEST_TMPDIR, $TMPDIR or
// /var/tmp.
Arguments ParseArguments(int argc, char** argv, const std::string& description);

// Removes the directory after a run that kept its promises; otherwise says where the evidence is.
void CleanUp(const Arguments& arguments, bool ok);

// A line about how far the run is, on standard error.
void Progress(const std::string& line);

}  // namespace dunlin::e2e
