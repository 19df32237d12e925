// A model in memory, and what is missing of it.
#pragma once

#include "job.hpp"

#include <Standard_Handle.hxx>
#include <TDocStd_Document.hxx>
#include <TopoDS_Shape.hxx>

#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

namespace occt {

// Collects what is missing of the input, and refuses the result unless the user asked for leniency.
class Findings {
public:
    void missing(std::string what) { all_.push_back(std::move(what)); }
    bool empty() const { return all_.empty(); }
    // Throws Failure with what was found so far; with lenient, reports each as a loss instead.
    void settle(const Job &job);
    // Throws Failure if there is anything, lenient or not.
    void refuse() const;

private:
    std::string text() const;

    std::vector<std::string> all_;
};

struct Model {
    Handle(TDocStd_Document) document; // In millimetres.
    std::string inputUnit;             // As the input says; empty if it says nothing.
    double inputUnitMillimetres = 1.0;
    std::map<const TopoDS_TShape *, std::string> solidNames; // With names=solid.
};

using Faces = std::unordered_set<const TopoDS_TShape *>;

Handle(TDocStd_Document) newDocument();

// All free shapes in one compound, or the only one as it is.
TopoDS_Shape wholeShape(const Handle(TDocStd_Document) &document);

// Multiplies all coordinates, with the sub-shapes that carry colours and names, and all placements.
void scaleModel(const Handle(TDocStd_Document) &document, double factor);

// Controllers of STEP and IGES. Called in a directory that nothing of the input gets into.
void loadControllers();
void resetParameters(const Options &options);

Model readStep(const Job &job);
Model readIges(const Job &job);
Model readBrep(const Job &job);

void healModel(const Job &job, Model &model);
// Refuses a model of curves and points alone, and names parts that have no shape.
void requireFaces(const Job &job, const Model &model);
// Returns the deflection, in mm.
double meshModel(const Job &job, const Model &model);

// Reports as well, once it is known what the output holds.
void writeExact(const Job &job, const Model &model, const std::string &path);
void writeMesh(const Job &job, const Model &model, const std::string &path);

// What is known of the output of a model.
struct Written {
    Faces lost;           // Faces without an entity.
    std::set<int> levels; // Of IGES: numbers of layers.
};

// Facts of the output, and a line for each kind of content that it does not hold.
void report(const Job &job, const Model &model, const Written &written);

} // namespace occt
