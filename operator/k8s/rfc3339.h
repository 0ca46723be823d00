// Times as the API writes them. Pure; any thread.

#pragma once

#include <string>

#include "services/base/clock.h"

namespace dunlin::k8s {

std::string FormatTime(Timestamp time);       // "2026-01-02T03:04:05Z": metav1.Time
std::string FormatMicroTime(Timestamp time);  // "2026-01-02T03:04:05.678000Z": metav1.MicroTime

}  // namespace dunlin::k8s
