// The handlers that OpenCASCADE needs while it reads, and a count of what they caught.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>

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

    // Runs a step. Returns false if OpenCASCADE followed a null pointer outside of its own try blocks. The step is left
    // by longjmp then, so nothing of it may be used and the conversion must end.
    static bool survives(const std::function<void()> &step);
};

} // namespace occt
