// Loopback ports that nobody listens on at this moment, for servers that tests start, and start
// again at the same place. Of those that the kernel gives to no connection by itself. Somebody else
// may take one before it is used; in a test's sandbox nobody else is there. For one thread.

#pragma once

#include <string>
#include <vector>

namespace dunlin {

// They differ from each other.
std::vector<int> FreePorts(int count);

// "127.0.0.1:PORT"
std::string FreeAddress();

}  // namespace dunlin
