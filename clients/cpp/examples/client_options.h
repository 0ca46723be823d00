// What the examples know of the broker: where it is, by their first argument, and the keys that
// they sign with, by DUNLIN_ACCESS_KEY and DUNLIN_SECRET_KEY. A broker without access control needs
// none.

#pragma once

#include <dunlin/client.h>

#include <cstdlib>

inline dunlin::ClientOptions ClientOptionsOf(const char* endpoint) {
  dunlin::ClientOptions options;
  if (endpoint != nullptr) options.endpoint = endpoint;
  if (const char* const key = std::getenv("DUNLIN_ACCESS_KEY")) options.access_key = key;
  if (const char* const key = std::getenv("DUNLIN_SECRET_KEY")) options.secret_key = key;
  return options;
}
