// Confirmation: what cannot be undone is asked about on a terminal, and elsewhere refused unless
// the command says --yes.

#pragma once

#include <string_view>

#include <CLI/CLI.hpp>

namespace dunlin::cli {

// The option that Confirmed() is given.
void AddYes(CLI::App& command, bool& yes);

// Whether to go on; else says on stderr why not. `consequence`: what happens then, in a sentence
// without its end.
bool Confirmed(bool yes, std::string_view consequence);

}  // namespace dunlin::cli
