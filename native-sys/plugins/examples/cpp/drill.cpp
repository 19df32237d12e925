// An example of a cadmill plugin in C++: reads a drill file (Excellon, as layout programs of circuit boards write it)
// and draws it as DXF: holes as circles, slots as lines, in millimetres, with a layer for each tool.
// SPDX-License-Identifier: 0BSD
//
//     c++ -std=c++17 -O2 -Wall -Wextra -shared -fPIC -fvisibility=hidden -I../../../include
//         -Wl,--version-script=exports.map drill.cpp -o libdrill.so
//
// What is not drilling, such as milling and repetition, is refused: no hole is left out in silence.
#include "cadmill_plugin.h"

#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

constexpr cadmill_format drl{sizeof drl, "drl", "drl xln", "Excellon drill file", CADMILL_FORMAT_TEXT, 0};
constexpr cadmill_format dxf{sizeof dxf, "dxf", "dxf", "AutoCAD R12", CADMILL_FORMAT_TEXT, 0};
constexpr const cadmill_format *inputs[] = {&drl, nullptr}, *outputs[] = {&dxf, nullptr};
constexpr cadmill_option unit{
    sizeof unit, "unit", "Unit of a file that names none.", "mm inch", nullptr, CADMILL_OPTION_CHOICE, 0, 0, 0};
constexpr const cadmill_option *options[] = {&unit, nullptr};
constexpr cadmill_description description{
    sizeof description, "drill", "1.0", "cadmill", "0BSD", inputs, outputs, options, nullptr,
    CADMILL_DETERMINISTIC | CADMILL_ASKS_CANCELLED};

struct Failure : std::runtime_error {
    Failure(std::int32_t status, const std::string &reason) : std::runtime_error(reason), status(status) {}
    std::int32_t status;
};

struct Point { double x, y; }; // In millimetres.
// Draws while it reads: a file may have any number of holes.
struct Drawing {
    Drawing(std::ostream &out, const char *unit) : out(out) {
        if (unit) scale = unit[0] == 'm' ? 1 : 25.4;
        out.precision(12);
        out << "0\nSECTION\n2\nENTITIES\n";
    }

    void read(std::istream &in, double size, const cadmill_host &host) {
        for (std::string text; std::getline(in, text) && text.rfind("M30", 0) != 0;) {
            if (++line % 1024 == 0) host.progress(host.context, CADMILL_STAGE_WORK, double(in.tellg()) / size);
            if (line % 1024 == 0 && host.cancelled(host.context)) throw Failure(CADMILL_CANCELLED, "cancelled");
            text.erase(text.find_last_not_of(" \t\r") + 1);
            if (text.size() > 200) refuse(CADMILL_REJECTED, "it is too long");
            if (!text.empty() && text[0] != ';') statement(text);
        }
        if (!in) throw Failure(CADMILL_REJECTED, "it has no end, M30");
        if (!(out << "0\nENDSEC\n0\nEOF\n").flush()) throw Failure(CADMILL_FAILED, "the output cannot be written");
    }

    void statement(const std::string &text) {
        static const std::string n = R"((?:\d+\.?\d*|\.\d+))", xy = "(?:X([+-]?" + n + "))?(?:Y([+-]?" + n + "))?";
        static const std::string feed = "((?:[BFHSZ][+-]?" + n + ")*)";
        static const std::regex ignored("M48|M95|%|G90|G05|FMAT,2"), units("(METRIC|INCH)(?:,([LT])Z)?|M7[12]");
        static const std::regex tool("T(\\d{1,4})" + feed + "(?:C(" + n + "))?" + feed);
        static const std::regex hole("(?=[XY])" + xy + "(G85" + xy + ")?");
        std::smatch part;
        if (std::regex_match(text, part, units)) {
            scale = text[0] == 'M' && text != "M72" ? 1 : 25.4;
            if (part[2].length() > 0) zeros = part[2].str()[0];
        } else if (std::regex_match(text, part, tool)) {
            current = std::stoi(part[1]);
            if (part[3].length() > 0) diameters[current] = std::stod(part[3]) * millimetres();
            feeds += part[2].length() + part[4].length() > 0;
        } else if (std::regex_match(text, part, hole)) {
            const Point from = moved(part[1], part[2]);
            draw(from, part[3].length() > 0 ? moved(part[4], part[5]) : from);
        } else if (!std::regex_match(text, ignored)) {
            refuse(CADMILL_UNFIT, "it is not drilling, or not known");
        }
    }

    void draw(Point from, Point to) {
        const bool is_slot = from.x != to.x || from.y != to.y;
        if (!(diameters[current] > 0)) refuse(CADMILL_REJECTED, "a hole without a tool");
        out << "0\n" << (is_slot ? "LINE" : "CIRCLE") << "\n8\nT" << current << '_' // A layer such as T1_800UM.
            << std::lround(diameters[current] * 1000) << "UM\n10\n" << from.x << "\n20\n" << from.y << '\n';
        if (is_slot) out << "11\n" << to.x << "\n21\n" << to.y << '\n', slots++;
        else out << "40\n" << diameters[current] / 2 << '\n', holes++;
    }

    Point moved(const std::string &x, const std::string &y) { // What is not given stays as it was.
        return at = {x.empty() ? at.x : coordinate(x), y.empty() ? at.y : coordinate(y)};
    }

    double coordinate(std::string text) const {
        if (text.find('.') != std::string::npos) return std::stod(text) * millimetres();
        const std::size_t sign = text[0] == '+' || text[0] == '-';
        if (zeros == 0) refuse(CADMILL_REJECTED, "the header does not say which zeros are left out");
        if (text.size() - sign > 6) refuse(CADMILL_REJECTED, "a coordinate has too many digits");
        if (zeros == 'L') text.resize(6 + sign, '0');
        return std::stod(text) / (scale == 1 ? 1000 : 10000) * millimetres();
    }

    double millimetres() const { return scale > 0 ? scale : (refuse(CADMILL_REJECTED, "no unit is known"), 0); }
    [[noreturn]] void refuse(std::int32_t status, const std::string &what) const {
        throw Failure(status, "line " + std::to_string(line) + ": " + what);
    }

    std::ostream &out;
    std::map<int, double> diameters; // In millimetres.
    Point at{0, 0};
    double scale = 0; // Millimetres of a unit; 0 as long as it is not known.
    char zeros = 0;   // Of numbers without a point, those at the beginning (L) or at the end (T) are there.
    std::size_t line = 0, holes = 0, slots = 0, feeds = 0;
    int current = 0;
};

void convert(const cadmill_request &request, const cadmill_host &host) {
    std::ifstream in(request.input, std::ios::binary | std::ios::ate);
    std::ofstream out(request.output, std::ios::binary);
    if (!in || !out) throw Failure(CADMILL_FAILED, "a file cannot be opened");
    const double size = double(in.tellg());
    Drawing drawing(out, request.option_count > 0 ? request.option_values[0] : nullptr);
    drawing.read(in.seekg(0), size, host);
    for (const auto &[count, what] : {std::pair(drawing.slots, "slots drawn by the line of their middle: "),
                                      std::pair(drawing.feeds, "tools without their feed or speed: ")})
        if (count > 0) host.log(host.context, CADMILL_LOG_LOSS, (what + std::to_string(count)).c_str());
    host.fact(host.context, "holes", std::to_string(drawing.holes).c_str());
}

std::int32_t caught(const cadmill_request *request, const cadmill_host *host) { // No exception leaves the plugin.
    const auto failed = [&](std::int32_t status, const char *why) { return host->fail(host->context, why), status; };
    try {
        return convert(*request, *host), CADMILL_OK;
    } catch (const Failure &failure) {
        return failed(failure.status, failure.what());
    } catch (const std::bad_alloc &) {
        return failed(CADMILL_NO_MEMORY, "no memory");
    } catch (const std::exception &error) {
        return failed(CADMILL_FAILED, error.what());
    }
}

constexpr cadmill_plugin plugin{
    sizeof plugin, CADMILL_ABI, 0, [] { return &description; }, nullptr, caught, nullptr, nullptr};

} // namespace

extern "C" const cadmill_plugin *cadmill_plugin_entry_v1(std::uint32_t host_abi) {
    return host_abi >= CADMILL_ABI ? &plugin : nullptr;
}
