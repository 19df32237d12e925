// Owns the signal handlers during a conversion.
//
// OpenCASCADE 7.6 follows null pointers in damaged STEP files and relies on its handler to turn SIGSEGV
// into an exception, which it catches in its readers, and then goes on without the entity. That saves the
// process and hides the loss, so each signal is counted and read_step.cpp refuses a result after one.
//
// Outside of its own try blocks it follows null pointers as well: in IGES files whose entities have a wrong number of
// parameters, for instance. That ends the reading (survives()), and the input is refused.
//
// Not hidden: any other signal outside of OpenCASCADE's own try blocks, and a stack overflow. There the host's
// handler is put back and the instruction runs again, so that the host names the crash. SIGABRT, SIGILL
// and SIGSYS always stay with the host. Floating-point traps are never armed.
//
// The handlers are ours and not those of OSD::SetSignal: that takes SIGSYS too, even for a moment, which the
// host forbids, because it names a forbidden call by that signal.
#include "signals.hpp"

#include <OSD_SIGBUS.hxx>
#include <OSD_SIGSEGV.hxx>
#include <Standard_ErrorHandler.hxx>
#include <Standard_NumericError.hxx>

#include <atomic>
#include <csetjmp>
#include <pthread.h>
#include <ucontext.h>

namespace occt {
namespace {

constexpr int kSignals = 32;
constexpr int kCaught[] = {SIGSEGV, SIGBUS, SIGFPE};

std::atomic<uint64_t> caughtSignals{0};
struct sigaction hostActions[kSignals];

// Where a step that survives() runs is left to, and the thread that it runs in.
sigjmp_buf *volatile landing = nullptr;
pthread_t landingThread;

// Leaves by longjmp to the innermost try block of OpenCASCADE, as the handlers of OSD::SetSignal do.
void jump(int signal) {
    switch (signal) {
    case SIGBUS: OSD_SIGBUS::NewInstance("SIGBUS")->Jump(); break;
    case SIGFPE: Standard_NumericError::NewInstance("SIGFPE")->Jump(); break;
    default: OSD_SIGSEGV::NewInstance("SIGSEGV")->Jump();
    }
}

bool isStackOverflow(int signal, const siginfo_t *info, const void *context) {
#if defined(__x86_64__)
    if (signal != SIGSEGV || !info || !context) return false;
    const auto *machine = static_cast<const ucontext_t *>(context);
    const auto stack = static_cast<uintptr_t>(machine->uc_mcontext.gregs[REG_RSP]);
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    return address + 65536 > stack && address < stack + 65536;
#else
    (void)signal, (void)info, (void)context;
    return false;
#endif
}

bool isNullPointer(int signal, const siginfo_t *info) {
    return signal == SIGSEGV && info && info->si_code == SEGV_MAPERR && reinterpret_cast<uintptr_t>(info->si_addr) < 65536;
}

void onSignal(int signal, siginfo_t *info, void *context) {
    const bool isCaught = Standard_ErrorHandler::IsInTryBlock();
    if (!isCaught && landing && pthread_equal(pthread_self(), landingThread) && isNullPointer(signal, info)) {
        caughtSignals.fetch_add(1, std::memory_order_relaxed);
        siglongjmp(*landing, 1);
    }
    if (isStackOverflow(signal, info, context) || !isCaught) {
        sigaction(signal, &hostActions[signal], nullptr);
        // A signal that was sent, not raised by an instruction, would not come again by itself.
        if (info && info->si_code <= 0) raise(signal);
        return;
    }
    caughtSignals.fetch_add(1, std::memory_order_relaxed);
    jump(signal);
}

} // namespace

SignalGuard::SignalGuard() {
    caughtSignals = 0;
    for (int signal : kCaught) sigaction(signal, nullptr, &hostActions[signal]);
    for (int signal : kCaught) {
        struct sigaction action = {};
        action.sa_sigaction = onSignal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        sigaction(signal, &action, nullptr);
    }
}

SignalGuard::~SignalGuard() {
    for (int signal : kCaught) sigaction(signal, &hostActions[signal], nullptr);
}

bool SignalGuard::survives(const std::function<void()> &step) {
    // However the step is left.
    struct Landing {
        ~Landing() { landing = nullptr; }
    };
    sigjmp_buf place;
    const Landing end;
    if (sigsetjmp(place, 1) != 0) return false;
    landingThread = pthread_self();
    landing = &place;
    step();
    return true;
}

uint64_t SignalGuard::caught() { return caughtSignals.load(); }

} // namespace occt
