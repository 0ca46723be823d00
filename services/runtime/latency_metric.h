// A LatencyHistogram (base/latency_histogram.h) as a metric of Prometheus, in seconds.

#pragma once

#include <prometheus/client_metric.h>

#include "services/base/latency_histogram.h"

namespace dunlin {

// Without labels.
prometheus::ClientMetric LatencyMetric(const LatencyHistogram::Snapshot& read);

}  // namespace dunlin
