// The version of a route: a number that stands for all that a client makes of it, the same whoever
// tells it and however often that server was started anew. Pure.

#pragma once

#include <cstdint>

#include "proto/dunlin/nameservice/v1/routes.pb.h"

namespace dunlin::nameservice {

// Of everything but the topic's name and the texts of statuses, which may change with the program.
// Never 0.
uint64_t VersionOf(const v1::Route& route);

}  // namespace dunlin::nameservice
