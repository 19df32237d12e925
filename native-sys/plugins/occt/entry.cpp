// Owns the exported function, the order of the steps, and the border that no exception crosses.
#include "edge_check.hpp"
#include "messages.hpp"
#include "model.hpp"
#include "options.hpp"
#include "places.hpp"
#include "signals.hpp"
#include "solid_names.hpp"

#include <Standard_DomainError.hxx>
#include <Standard_Failure.hxx>
#include <Standard_OutOfMemory.hxx>
#include <Standard_RangeError.hxx>

#include <exception>
#include <new>
#ifdef __GLIBC__
#include <nss.h>
#endif

namespace occt {
namespace {

// OpenCASCADE looks for XSTEP.us and other settings in the current directory when it is first used, and an
// archive may hold a file of that name. Nothing of the input is in the root directory.
void loadSettings() {
    const CurrentDirectory root("/");
#ifdef __GLIBC__
    // IGES asks for the user's name, and glibc would ask a daemon for it through a socket (rule R10).
    __nss_configure_lookup("passwd", "files");
#endif
    loadControllers();
}

// What is wrong with a file, by the exception that OpenCASCADE meets in it.
const char *damageOf(const Standard_Failure &failure) {
    if (failure.IsKind(STANDARD_TYPE(Standard_RangeError))) return "a number in it refers to nothing";
    if (failure.IsKind(STANDARD_TYPE(Standard_DomainError))) return "a placement, a direction or a curve in it is impossible";
    return "OpenCASCADE cannot make sense of it";
}

Model read(const Job &job) {
    try {
        Model model = job.in == Format::Step ? readStep(job) : job.in == Format::Iges ? readIges(job) : readBrep(job);
        checkEdges(job, wholeShape(model.document));
        return model;
    } catch (const Standard_OutOfMemory &) {
        throw;
    } catch (const Standard_Failure &failure) {
        static const char *const names[] = {"STEP", "IGES", "BREP"};
        job.host.log(CADMILL_LOG_DEBUG, std::string(failure.DynamicType()->Name()) + ": " + failure.GetMessageString());
        reject(std::string("the ") + names[static_cast<int>(job.in)] + " file is damaged: " + damageOf(failure));
    }
}

void convertJob(const cadmill_request *request, const cadmill_host *host) {
    const Job job = readRequest(request, host);
    const Messages messages(job.host);
    const SignalGuard signals;
    loadSettings();
    resetParameters(job.options);
    Output output(job);
    Model model;
    const CurrentDirectory here("."); // Reading leaves it, and may not come back.
    if (!SignalGuard::survives([&] { model = read(job); }))
        reject("OpenCASCADE follows a reference to nothing in the file: an entity has other parameters than its type");
    if (job.options.inputUnit) scaleModel(model.document, job.options.inputUnit->millimetres / model.inputUnitMillimetres);
    if (job.options.solidNames) nameAfterSolids(model);
    healModel(job, model);
    requireFaces(job, model);
    if (isMesh(job.out)) job.host.fact("deflection-mm", std::to_string(meshModel(job, model)));
    if (isMesh(job.out)) report(job, model, {}), writeMesh(job, model, output.path());
    else writeExact(job, model, output.path());
    if (SignalGuard::caught() > 0 && !job.options.lenient)
        reject("OpenCASCADE met " + count(SignalGuard::caught(), "invalid memory access", "invalid memory accesses") + ", so the output may be incomplete");
    job.host.throwIfCancelled();
    output.complete();
    job.host.progress(CADMILL_STAGE_WRITE, 1);
}

// Runs a step and turns what it throws into a status.
template <class Step> int32_t guarded(const cadmill_host *host, Step step) noexcept {
    int32_t status = CADMILL_FAILED;
    try {
        const auto stopped = [&](int32_t value, const char *text) {
            // A step that was cancelled may fail in any way.
            const Host reporter(host);
            status = reporter.cancelled() ? CADMILL_CANCELLED : value;
            reporter.reason(status == CADMILL_CANCELLED ? "cancelled" : text);
        };
        try {
            step();
            return CADMILL_OK;
        } catch (const Failure &failure) {
            stopped(failure.status, failure.text.c_str());
        } catch (const Standard_OutOfMemory &) {
            stopped(CADMILL_NO_MEMORY, "OpenCASCADE ran out of memory");
        } catch (const std::bad_alloc &) {
            stopped(CADMILL_NO_MEMORY, "out of memory");
        } catch (const Standard_Failure &failure) {
            const char *text = failure.GetMessageString();
            stopped(CADMILL_REJECTED, (std::string("OpenCASCADE: ") + failure.DynamicType()->Name() + (text && *text ? ": " : "") + (text ? text : "")).c_str());
        } catch (const std::exception &failure) {
            stopped(CADMILL_FAILED, failure.what());
        } catch (...) {
            stopped(CADMILL_FAILED, "an exception of an unknown type");
        }
    } catch (...) {
        // Reporting failed too.
    }
    return status;
}

int32_t prepare(const cadmill_host *host) {
    return guarded(host, [&] {
        const Messages messages{Host(host)};
        loadSettings();
    });
}

int32_t convert(const cadmill_request *request, const cadmill_host *host) {
    return guarded(host, [&] { convertJob(request, host); });
}

const cadmill_plugin plugin = {sizeof(cadmill_plugin), CADMILL_ABI, 0, description, prepare, convert, nullptr, nullptr};

} // namespace
} // namespace occt

extern "C" CADMILL_EXPORT const cadmill_plugin *cadmill_plugin_entry_v1(uint32_t host_abi) {
    return host_abi >= CADMILL_ABI ? &occt::plugin : nullptr;
}
