// Prints the control page of a store (docs/formats/control_page.md).

#pragma once

#include <string>

namespace dunlin::store {

// `store`: the directory with the page in it, which may be open in a broker and a replicator. The
// exit status of the program: 0, or 1 when there is no page of this version.
int DumpControl(const std::string& store);

}  // namespace dunlin::store
