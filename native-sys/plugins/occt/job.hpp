// The vocabulary of the plugin: one conversion, its formats, its options and how it fails.
//
// A step of the conversion throws Failure; only entry.cpp turns it into a status of the interface.
// Nothing here depends on OpenCASCADE.
#pragma once

#include "../../include/cadmill_plugin.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

namespace occt {

// How a step ends the conversion: a status of the interface and the sentence for the user.
struct Failure {
    int32_t status;
    std::string text;
};

[[noreturn]] inline void fail(int32_t status, std::string text) { throw Failure{status, std::move(text)}; }
[[noreturn]] inline void reject(std::string text) { fail(CADMILL_REJECTED, std::move(text)); }

enum class Format { Step, Iges, Brep, Glb, Gltf, Stl, Obj, Vrml };

inline bool isMesh(Format format) { return format >= Format::Glb; }

// A unit of length, by its size in millimetres. The model itself is always in millimetres.
struct Unit {
    const char *name;
    double millimetres;
};

enum class Heal { No, Fix, Sew };

struct Options {
    std::optional<double> deflection; // In mm.
    std::optional<double> angle;      // In radians.
    double relativeDeflection = 1e-3; // Of the diagonal; from `quality`.
    double qualityAngle = 0.5;
    Unit unit{"mm", 1.0};
    std::optional<Unit> inputUnit;
    std::string schema = "ap214";
    Heal heal = Heal::No;
    std::string codepage; // Empty: UTF-8, and other bytes are refused.
    bool solidNames = false;
    bool mergeFaces = true;
    bool lenient = false;
};

// The host, with its null checks done once.
class Host {
public:
    explicit Host(const cadmill_host *host) : host_(host) {}

    bool cancelled() const { return host_->cancelled && host_->cancelled(host_->context) != 0; }
    void throwIfCancelled() const {
        if (cancelled()) throw Failure{CADMILL_CANCELLED, "cancelled"};
    }
    void progress(uint32_t stage, double fraction) const {
        if (host_->progress) host_->progress(host_->context, stage, fraction);
    }
    // One line, whatever a name in it or OpenCASCADE has.
    void log(uint32_t level, std::string line) const {
        for (char &c : line)
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
        size_t end = std::min<size_t>(line.size(), 4000);
        while (end < line.size() && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) end--;
        line.resize(end);
        if (host_->log) host_->log(host_->context, level, line.c_str());
    }
    void loss(const std::string &line) const { log(CADMILL_LOG_LOSS, line); }
    void warn(const std::string &line) const { log(CADMILL_LOG_WARNING, line); }
    void reason(const std::string &text) const {
        if (host_->fail) host_->fail(host_->context, text.c_str());
    }
    void fact(const char *name, const std::string &value) const {
        if (host_->fact) host_->fact(host_->context, name, value.c_str());
    }
    int threads() const { return host_->max_threads > 0 ? static_cast<int>(host_->max_threads) : 1; }

private:
    const cadmill_host *host_;
};

struct Job {
    Host host;
    const cadmill_request *request;
    Format in;
    Format out;
    Options options;
};

// "1 face", "2 faces"; with a plural of its own, "3 assemblies".
inline std::string count(uint64_t n, const std::string &noun, const char *plural = nullptr) {
    return std::to_string(n) + " " + (n == 1 ? noun : plural ? plural : noun + "s");
}

} // namespace occt
