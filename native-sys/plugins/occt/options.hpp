// What the plugin says of itself, and the options of a request read by it.
#pragma once

#include "job.hpp"

namespace occt {

const cadmill_description *description();

// Formats and options of a request. Refuses what is unknown, contradictory or without effect.
Job readRequest(const cadmill_request *request, const cadmill_host *host);

} // namespace occt
