// RandomText: what nobody can guess. Any thread.

#pragma once

#include <string>

namespace dunlin::op {

// Two hexadecimal digits for each of so many bytes.
std::string RandomText(int bytes);

}  // namespace dunlin::op
