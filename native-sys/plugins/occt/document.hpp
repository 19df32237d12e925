// Changing the shapes of a document without losing what hangs on them.
#pragma once

#include "model.hpp"

#include <XCAFDoc_ShapeTool.hxx>

#include <functional>
#include <memory>

namespace occt {

// Given a shape, returns what replaces it and sets a function from a part of the old one to that of the new one.
using ShapeChange = std::function<TopoDS_Shape(const TopoDS_Shape &, std::function<TopoDS_Shape(const TopoDS_Shape &)> &)>;

// Replaces the shape of each part; colours, names and layers of its faces and solids move along.
void changeShapes(const Handle(TDocStd_Document) &document, const ShapeChange &change);

} // namespace occt
