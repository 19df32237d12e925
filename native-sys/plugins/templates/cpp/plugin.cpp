// @NAME@: a plugin of cadmill to begin with. SPDX-License-Identifier: 0BSD
//
// It reads points as text, "x y z" and perhaps a label on each line, and writes them as vertices of a Wavefront OBJ
// file, which has no labels. What is marked VENDOR is to be replaced by calls of your library.
#include "cadmill_plugin.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// How many points are handled between two looks at cancellation. Look at least every 2 s.
constexpr std::size_t often = 4096;

// ---- VENDOR: the formats and options that you have. Constant, and made without opening a file. ----

constexpr cadmill_format xyz{sizeof xyz, "xyz", "xyz", "Points as text", CADMILL_FORMAT_TEXT, 0};
constexpr cadmill_format obj{sizeof obj, "obj", "obj", "Wavefront OBJ", CADMILL_FORMAT_TEXT, 0};
constexpr const cadmill_format *inputs[] = {&xyz, nullptr};
constexpr const cadmill_format *outputs[] = {&obj, nullptr};
constexpr cadmill_option scale{
    sizeof scale, "scale", "Factor for all coordinates.", nullptr, "1", CADMILL_OPTION_NUMBER, 0, 1e-9, 1e9};
constexpr const cadmill_option *options[] = {&scale, nullptr};
constexpr cadmill_description description{
    sizeof description, "@NAME@", "0.1.0", nullptr, nullptr, inputs, outputs, options, nullptr,
    CADMILL_DETERMINISTIC | CADMILL_ASKS_CANCELLED};

// ---- Helpers ---------------------------------------------------------------------------------------

// Ends a conversion, by whom it concerns: a status of the interface and the reason.
struct Failure : std::runtime_error {
    Failure(std::int32_t status, const std::string &reason) : std::runtime_error(reason), status(status) {}
    std::int32_t status;
};

// The value of an option. The host has checked it against the description.
const char *option(const cadmill_request &request, const char *name, const char *preset) {
    for (std::uint64_t i = 0; i < request.option_count; i++)
        if (std::strcmp(request.option_names[i], name) == 0) return request.option_values[i];
    return preset;
}

// Reports progress, and ends the conversion if that is wanted.
void step(const cadmill_host &host, std::uint32_t stage, double fraction) {
    host.progress(host.context, stage, fraction);
    if (host.cancelled(host.context)) throw Failure(CADMILL_CANCELLED, "cancelled");
}

// ---- VENDOR: your document, and the calls that read and write it -----------------------------------

struct Document {
    std::vector<std::array<double, 3>> points;
    std::size_t labels = 0;
};

Document read_document(const char *path, const cadmill_host &host) {
    Document document;
    std::ifstream in(path, std::ios::binary);
    if (!in) throw Failure(CADMILL_FAILED, "the input cannot be opened");
    std::string text;
    for (std::size_t line = 1; std::getline(in, text); line++) {
        const auto begin = text.find_first_not_of(" \t\r");
        if (begin == std::string::npos || text[0] == '#') continue;
        std::istringstream words(text);
        std::array<double, 3> at{};
        // Nothing is left out in silence: what is not understood ends the conversion.
        if (!(words >> at[0] >> at[1] >> at[2]) || text.find('\0') != std::string::npos)
            throw Failure(CADMILL_REJECTED, "line " + std::to_string(line) + ": expected three numbers");
        document.points.push_back(at);
        std::string label;
        if (words >> label) document.labels++;
        // How much is left is not known here: if your library knows, say so.
        if (line % often == 0) step(host, CADMILL_STAGE_READ, 0.1);
    }
    if (in.bad()) throw Failure(CADMILL_REJECTED, "it cannot be read");
    if (document.points.empty()) throw Failure(CADMILL_REJECTED, "it has no points");
    return document;
}

void write_document(const Document &document, const char *path, double factor, const cadmill_host &host) {
    std::ofstream out(path, std::ios::binary);
    out.precision(17);
    for (std::size_t i = 0; i < document.points.size(); i++) {
        const auto &at = document.points[i];
        const double x = factor * at[0], y = factor * at[1], z = factor * at[2];
        if (!std::isfinite(x + y + z))
            throw Failure(CADMILL_UNFIT, "point " + std::to_string(i + 1) + " is too large for the scale");
        out << "v " << x << ' ' << y << ' ' << z << '\n';
        if (i % often == 0) step(host, CADMILL_STAGE_WRITE, 0.5 + 0.5 * double(i) / double(document.points.size()));
    }
    // A full disk may show only when the last bytes are written.
    out.close();
    if (!out) throw Failure(CADMILL_FAILED, "the output cannot be written");
}

// ---- The conversion --------------------------------------------------------------------------------

void convert(const cadmill_request &request, const cadmill_host &host) {
    const Document document = read_document(request.input, host);
    write_document(document, request.output, std::strtod(option(request, "scale", "1"), nullptr), host);
    // What the result lacks is counted, and refused if the owner wants everything.
    const auto lost = "labels left out, which OBJ does not have: " + std::to_string(document.labels);
    if (document.labels > 0) host.log(host.context, CADMILL_LOG_LOSS, lost.c_str());
    host.fact(host.context, "points", std::to_string(document.points.size()).c_str());
}

// No exception leaves the plugin.
std::int32_t convert_caught(const cadmill_request *request, const cadmill_host *host) {
    const auto failed = [&](std::int32_t status, const char *reason) {
        host->fail(host->context, reason);
        return status;
    };
    try {
        convert(*request, *host);
        return CADMILL_OK;
    } catch (const Failure &failure) {
        return failed(failure.status, failure.what());
    } catch (const std::bad_alloc &) {
        return failed(CADMILL_NO_MEMORY, "no memory");
    } catch (const std::exception &error) {
        return failed(CADMILL_FAILED, error.what());
    } catch (...) {
        return failed(CADMILL_FAILED, "an unknown exception");
    }
}

constexpr cadmill_plugin plugin{
    sizeof plugin, CADMILL_ABI, 0, [] { return &description; }, nullptr, convert_caught, nullptr, nullptr};

} // namespace

extern "C" const cadmill_plugin *cadmill_plugin_entry_v1(std::uint32_t host_abi) {
    return host_abi >= CADMILL_ABI ? &plugin : nullptr;
}
