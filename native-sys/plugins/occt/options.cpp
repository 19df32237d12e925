// Owns the description (formats, options, presets) and the reading of a request by it.
//
// Refuses an option that has no effect on the pair of formats: a user who asks for a unit in a GLB file
// expects something, and would get nothing. An option that is given its preset is let through, for a host
// may fill presets in.
#include "options.hpp"

#include <Standard_Version.hxx>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

namespace occt {
namespace {

constexpr cadmill_format format(const char *id, const char *extensions, const char *title, uint32_t flags) {
    return {sizeof(cadmill_format), id, extensions, title, flags, 0};
}

constexpr uint32_t kText = CADMILL_FORMAT_TEXT;
constexpr uint32_t kSeveral = CADMILL_FORMAT_SEVERAL_FILES;

// In the order of enum Format. The first three are also inputs.
const cadmill_format kFormats[] = {
    format("step", "step stp", "STEP AP203, AP214, AP242", kText),
    format("iges", "iges igs", "IGES 5.3", kText),
    format("brep", "brep brp", "OpenCASCADE BREP", kText),
    format("glb", "glb", "glTF 2.0, binary", 0),
    format("gltf", "gltf", "glTF 2.0", kText | kSeveral),
    format("stl", "stl", "STL, binary", 0),
    format("obj", "obj", "Wavefront OBJ", kText | kSeveral),
    format("vrml", "wrl vrml", "VRML 2.0", kText),
};
const cadmill_format *const kInputs[] = {&kFormats[0], &kFormats[1], &kFormats[2], nullptr};
const cadmill_format *const kOutputs[] = {&kFormats[0], &kFormats[3], &kFormats[4], &kFormats[1], &kFormats[2],
                                          &kFormats[5], &kFormats[6], &kFormats[7], nullptr};

constexpr uint32_t bit(Format f) { return 1u << static_cast<unsigned>(f); }
constexpr uint32_t kStep = bit(Format::Step), kIges = bit(Format::Iges), kBrep = bit(Format::Brep);
constexpr uint32_t kGltf = bit(Format::Glb) | bit(Format::Gltf);
constexpr uint32_t kMeshes = kGltf | bit(Format::Stl) | bit(Format::Obj) | bit(Format::Vrml);
constexpr uint32_t kAll = kStep | kIges | kBrep | kMeshes;

struct Rule {
    cadmill_option option;
    uint32_t inputs, outputs; // Where it has an effect.
    const char *elsewhere;    // The sentence for everywhere else.
};

constexpr cadmill_option option(const char *name, uint32_t kind, const char *choices, const char *preset,
                                double least, double most, const char *help) {
    return {sizeof(cadmill_option), name, help, choices, preset, kind, 0, least, most};
}

const Rule kRules[] = {
    {option("deflection", CADMILL_OPTION_NUMBER, nullptr, nullptr, 1e-9, 1e9,
            "Largest distance between a surface and its triangles, in mm, a millionth of the model's diagonal at least; by default a part of it, see quality."),
     kAll, kMeshes, "deflection applies to outputs of triangles only"},
    {option("angle", CADMILL_OPTION_NUMBER, nullptr, nullptr, 0.01, 1.6,
            "Largest angle between neighbouring segments of a curve, in radians; by default from quality."),
     kAll, kMeshes, "angle applies to outputs of triangles only"},
    {option("quality", CADMILL_OPTION_CHOICE, "coarse normal fine", "normal", 0, 0,
            "Deflection of 0.5 %, 0.1 % or 0.02 % of the model's diagonal, with an angle of 0.8, 0.5 or 0.25."),
     kAll, kMeshes, "quality applies to outputs of triangles only"},
    {option("unit", CADMILL_OPTION_CHOICE, "mm cm m inch", "mm", 0, 0, "Unit of length of the output. glTF is always in metres."),
     kAll, kAll & ~kGltf, "glTF is always in metres, so unit has no effect"},
    {option("input-unit", CADMILL_OPTION_CHOICE, "mm cm m inch", nullptr, 0, 0,
            "Unit of the numbers in the input, whatever the input says; BREP says nothing and is taken as mm."),
     kAll, kAll, ""},
    {option("schema", CADMILL_OPTION_CHOICE, "ap203 ap214 ap242", "ap214", 0, 0, "Application protocol of a STEP output."),
     kAll, kStep, "schema applies to STEP outputs only"},
    {option("heal", CADMILL_OPTION_CHOICE, "no fix sew", "no", 0, 0,
            "Repairs the shapes (fix), or also joins loose faces to shells and solids (sew)."),
     kAll, kAll, ""},
    {option("codepage", CADMILL_OPTION_CHOICE,
            "utf-8 cp949 gbk big5 cp932 cp1250 cp1251 cp1252 cp1253 cp1254 cp1257 iso-8859-1 iso-8859-2 iso-8859-5 "
            "iso-8859-9 iso-8859-15",
            "utf-8", 0, 0, "Character set of the names in a STEP input."),
     kStep, kAll, "codepage applies to STEP inputs only"},
    {option("names", CADMILL_OPTION_CHOICE, "product solid", "product", 0, 0,
            "Names parts after their products, or after the solids in them."),
     kStep, kStep | kIges | kGltf | bit(Format::Obj),
     "names applies to STEP inputs, and to outputs that have names: STEP, IGES, glTF and OBJ"},
    {option("merge-faces", CADMILL_OPTION_YES_NO, nullptr, "yes", 0, 0,
            "Writes the faces of a part that look alike as one piece; no writes a piece for each face."),
     kAll, kGltf, "merge-faces applies to glTF outputs only"},
    {option("lenient", CADMILL_OPTION_YES_NO, nullptr, "no", 0, 0,
            "Converts what can be read of a damaged input and reports what is missing."),
     kAll, kAll, ""},
};
constexpr size_t kRuleCount = sizeof(kRules) / sizeof(kRules[0]);

constexpr Unit kUnits[] = {{"mm", 1.0}, {"cm", 10.0}, {"m", 1000.0}, {"inch", 25.4}};

[[noreturn]] void badOption(const std::string &text) { fail(CADMILL_BAD_OPTION, text); }

bool isChoice(const char *choices, const std::string &value) {
    return (" " + std::string(choices) + " ").find(" " + value + " ") != std::string::npos && !value.empty() &&
           value.find(' ') == std::string::npos;
}

double numberOf(const cadmill_option &option, const std::string &value) {
    char *end = nullptr;
    errno = 0;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != 0 || errno != 0 || !(number >= option.least && number <= option.most))
        badOption(std::string(option.name) + " is not a number between " + std::to_string(option.least) + " and " +
                  std::to_string(option.most) + ": '" + value + "'");
    return number;
}

Unit unitOf(const std::string &value) {
    for (const Unit &unit : kUnits)
        if (value == unit.name) return unit;
    badOption("not a unit: '" + value + "'");
}

void checkValue(const cadmill_option &option, const std::string &value) {
    if (option.kind == CADMILL_OPTION_CHOICE && !isChoice(option.choices, value))
        badOption(std::string(option.name) + " is one of " + option.choices + ", not '" + value + "'");
    if (option.kind == CADMILL_OPTION_YES_NO && value != "yes" && value != "no")
        badOption(std::string(option.name) + " is yes or no, not '" + value + "'");
}

void apply(Options &options, const cadmill_option &option, const std::string &value) {
    const std::string name = option.name;
    if (name == "deflection") options.deflection = numberOf(option, value);
    if (name == "angle") options.angle = numberOf(option, value);
    if (name == "quality" && value == "coarse") options.relativeDeflection = 5e-3, options.qualityAngle = 0.8;
    if (name == "quality" && value == "fine") options.relativeDeflection = 2e-4, options.qualityAngle = 0.25;
    if (name == "unit") options.unit = unitOf(value);
    if (name == "input-unit") options.inputUnit = unitOf(value);
    if (name == "schema") options.schema = value;
    if (name == "heal") options.heal = value == "no" ? Heal::No : value == "fix" ? Heal::Fix : Heal::Sew;
    if (name == "codepage") options.codepage = value;
    if (name == "names") options.solidNames = value == "solid";
    if (name == "merge-faces") options.mergeFaces = value == "yes";
    if (name == "lenient") options.lenient = value == "yes";
}

Options readOptions(const cadmill_request *request, Format in, Format out) {
    Options options;
    bool quality = false;
    for (uint64_t i = 0; i < request->option_count; i++) {
        const std::string name = request->option_names[i], value = request->option_values[i];
        const Rule *rule = nullptr;
        for (const Rule &each : kRules)
            if (name == each.option.name) rule = &each;
        if (!rule) badOption("not an option: '" + name + "'");
        checkValue(rule->option, value);
        const bool preset = rule->option.preset && value == rule->option.preset;
        if (!preset && (!(rule->inputs & bit(in)) || !(rule->outputs & bit(out)))) badOption(rule->elsewhere);
        apply(options, rule->option, value);
        quality = quality || (name == "quality" && !preset);
    }
    if (quality && options.deflection && options.angle)
        badOption("deflection and angle leave quality without effect: give two of the three at most");
    return options;
}

std::string lowerExtension(const std::string &path) {
    const size_t slash = path.rfind('/'), dot = path.rfind('.');
    if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return "";
    std::string extension = path.substr(dot + 1);
    for (char &c : extension)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return extension;
}

// By the content first: the beginning of each of the three is unmistakable. By the name alone if there is no
// file: the host checks again without the input before it reports an invalid option to the owner.
Format inputByContent(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    const bool isThere = file.is_open();
    std::string head(2048, '\0');
    file.read(&head[0], static_cast<std::streamsize>(head.size()));
    head.resize(static_cast<size_t>(file.gcount()));
    if (head.find("ISO-10303-21") != std::string::npos) return Format::Step;
    if (head.find("CASCADE Topology") != std::string::npos) return Format::Brep;
    const size_t line = head.find_first_of("\r\n");
    if (line != std::string::npos && line >= 73 && (head[72] == 'S' || head[72] == 's')) return Format::Iges;
    const std::string extension = lowerExtension(path);
    for (int i = 0; i < 3; i++)
        if (isChoice(kFormats[i].extensions, extension)) return static_cast<Format>(i);
    reject(isThere ? "the input is neither STEP, IGES nor BREP" : "the input cannot be opened");
}

Format formatById(const char *id, size_t count, const char *what) {
    for (size_t i = 0; i < count; i++)
        if (id && std::strcmp(id, kFormats[i].id) == 0) return static_cast<Format>(i);
    badOption(std::string("not an ") + what + " format: '" + (id ? id : "") + "'");
}

} // namespace

const cadmill_description *description() {
    static const cadmill_option *options[kRuleCount + 1];
    for (size_t i = 0; i < kRuleCount; i++) options[i] = &kRules[i].option;
    static const cadmill_description it = {
        sizeof(cadmill_description), "OpenCASCADE", OCC_VERSION_COMPLETE, "Open Cascade SAS",
        "LGPL-2.1-only WITH OCCT-exception-1.0", kInputs, kOutputs, options, nullptr,
        CADMILL_DETERMINISTIC | CADMILL_THREADS | CADMILL_ASKS_CANCELLED};
    return &it;
}

Job readRequest(const cadmill_request *request, const cadmill_host *host) {
    const Format out = formatById(request->output_format, sizeof(kFormats) / sizeof(kFormats[0]), "output");
    const Format in = request->input_format ? formatById(request->input_format, 3, "input")
                                            : inputByContent(request->input);
    return Job{Host(host), request, in, out, readOptions(request, in, out)};
}

} // namespace occt
