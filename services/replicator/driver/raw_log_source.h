// The log of this member for the lanes to its slaves: store::RawReader behind LogSource.

#pragma once

#include <string>

#include "services/base/file.h"
#include "services/replicator/transport/log_source.h"

namespace dunlin::replicator {

// `directory`: of the store. `files` must outlive what is opened.
OpenLogSource OpenRawLog(FileSystem& files, const std::string& directory);

}  // namespace dunlin::replicator
