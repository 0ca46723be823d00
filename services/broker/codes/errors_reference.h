// docs/reference/errors.md as text, printed from the table of public codes.

#pragma once

#include <string>

namespace dunlin::broker {

std::string ErrorsReference();

}  // namespace dunlin::broker
