// The handlers that OpenCASCADE needs while it reads, and a count of what they caught.
#pragma once

#include <csignal>
#include <cstdint>

namespace occt {

// Installs OpenCASCADE's handlers of SIGSEGV, SIGBUS and SIGFPE for its lifetime and restores those of the
// host afterwards (rule R8). Only one at a time.
class SignalGuard {
public:
    SignalGuard();
    ~SignalGuard();
    SignalGuard(const SignalGuard &) = delete;
    SignalGuard &operator=(const SignalGuard &) = delete;

    // How many signals OpenCASCADE has caught. Each one is an entity that it gave up silently.
    static uint64_t caught();
};

} // namespace occt
